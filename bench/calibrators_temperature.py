"""Temperature scaling against its peers: the fit of overconfident logits, and applying it against a copy of them.

Temperatures are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from threading import Thread

import numpy as np
from peers_calibrators import netcal_temperature, probmetrics_temperature, sklearn_temperature

import fastcal as fc

from .race import Call, Trial

FIT, APPLY, ENSEMBLE = "TemperatureScaling.fit", "TemperatureScaling.predict_proba", "EnsembleTemperatureScaling.fit"
SCIKIT_LEARN, TORCH, COPY = "scikit-learn", "torch LBFGS", "copy on two threads"
PROBMETRICS, NETCAL = "probmetrics", "netcal"
LOGITS, FEW, BINARY = "x 100 float32 logits", "x 10 float32 logits", "float32 logits (N,)"
SCALE = 1.7  # how overconfident they are

TRIALS = [
    Trial(FIT, LOGITS, 200_000, {SCIKIT_LEARN: 15, TORCH: 60}, "read", 408, fewer=20),
    Trial(FIT, LOGITS, 20_000, {}, "read", 408, fewer=4, of=(PROBMETRICS, NETCAL)),
    Trial(FIT, FEW, 1_000_000, {}, "read", 48),
    Trial(FIT, BINARY, 2_000_000, {}, "read", 12),
    Trial(ENSEMBLE, LOGITS, 200_000, {}, "read", 408),
    Trial(APPLY, f"{LOGITS}, out=", 1_000_000, {COPY: 0.25, "np.copyto": 0.25}, "copy", 800),
    Trial(APPLY, f"{FEW}, out=", 1_000_000, {}, "copy", 80),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    return {FIT: fits, ENSEMBLE: mixtures, APPLY: applying}[trial.work](trial)


def overconfident(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Logits of which one class mostly stands out, and labels of their softmax; then all logits are too large."""
    rng = np.random.default_rng(0)
    n, n_classes = trial.n_rows, int(trial.given.split()[1]) if trial.given.startswith("x") else 2
    logits = 2 * rng.standard_normal((n, n_classes), np.float32)
    logits[np.arange(n), rng.integers(0, n_classes, n)] += 5
    noise = -np.log(rng.standard_exponential((n, n_classes), np.float32) + np.float32(1e-30))
    labels = (logits + noise).argmax(axis=1)
    logits *= np.float32(SCALE)
    return (logits[:, 1] - logits[:, 0] if trial.given == BINARY else logits), labels


def fits(trial: Trial) -> dict[str, Call]:
    """From logits and labels to the temperature."""
    logits, labels = overconfident(trial)
    ours = fc.TemperatureScaling().fit(logits, labels)
    assert ours.converged_
    assert ours.gradient_norm_ < 1e-8
    calls: dict[str, Call] = {"fastcal": lambda: fc.TemperatureScaling().fit(logits, labels)}
    if SCIKIT_LEARN in trial.aims and find_spec("sklearn"):
        calls[SCIKIT_LEARN] = partial(sklearn_temperature, logits, labels)
        # it works in float32 where the logits are
        np.testing.assert_allclose(sklearn_temperature(logits, labels), ours.temperature_, rtol=1e-3)
        few = slice(5000)
        exact = fc.TemperatureScaling().fit(logits[few].astype(float), labels[few]).temperature_
        np.testing.assert_allclose(sklearn_temperature(logits[few].astype(float), labels[few]), exact, rtol=1e-6)
    if TORCH in trial.aims and find_spec("torch"):
        calls[TORCH] = partial(torch_recipe, logits, labels)
        # 50 steps of a hundredth need not end at the least NLL
        np.testing.assert_allclose(torch_recipe(logits, labels), ours.temperature_, rtol=0.1)
    for name, fit in ((PROBMETRICS, probmetrics_temperature), (NETCAL, netcal_temperature)):
        if name in (trial.of or ()) and find_spec(name):
            given = logits.astype(float) if name == NETCAL else logits  # of float32 it stays at 1
            np.testing.assert_allclose(fit(given, labels), ours.temperature_, rtol=1e-4)
            calls[name] = partial(fit, given, labels)
    return calls


def torch_recipe(logits: np.ndarray, labels: np.ndarray) -> float:
    """The recipe that most torch code follows: L-BFGS of the mean cross-entropy, from T = 1.5."""
    import torch

    scores, classes = torch.from_numpy(logits), torch.from_numpy(labels)
    temperature = torch.nn.Parameter(torch.full((1,), 1.5))
    criterion = torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.LBFGS([temperature], lr=0.01, max_iter=50)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = criterion(scores / temperature, classes)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(temperature.detach())


def mixtures(trial: Trial) -> dict[str, Call]:
    """From logits and labels to the temperature and the weights of the mixture; no peer is installed."""
    logits, labels = overconfident(trial)
    ours = fc.EnsembleTemperatureScaling().fit(logits, labels)
    assert ours.converged_
    assert ours.gradient_norm_ < 1e-8
    return {"fastcal": lambda: fc.EnsembleTemperatureScaling().fit(logits, labels)}


def applying(trial: Trial) -> dict[str, Call]:
    """Probabilities into an array that is there, and copies of the logits into it."""
    logits, _ = overconfident(trial)
    some = overconfident(Trial(FIT, trial.given.split(",")[0], 5000, {}))
    fitted = fc.TemperatureScaling().fit(*some)
    out = np.empty_like(logits)
    expected = fc.softmax(logits[:1000], temperature=fitted.temperature_)
    np.testing.assert_allclose(fitted.predict_proba(logits[:1000]), expected, rtol=2e-6)
    calls: dict[str, Call] = {"fastcal": lambda: fitted.predict_proba(logits, out=out)}
    if trial.aims:
        calls |= {COPY: lambda: copy_on_two_threads(out, logits), "np.copyto": lambda: np.copyto(out, logits)}
    return calls


def copy_on_two_threads(target: np.ndarray, source: np.ndarray) -> None:
    """Half of the rows each."""
    half = len(source) // 2
    other = Thread(target=np.copyto, args=(target[half:], source[half:]))
    other.start()
    np.copyto(target[:half], source[:half])
    other.join()
