"""Vector and matrix scaling against L-BFGS of torch and of scikit-learn, and applying them against one product.

Both sides start at the same logits and minimise the same mean NLL. Ours is asserted to end no higher than a peer; ours
and a peer run in turns, both with all cores.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from threading import Thread
from typing import Any

import numpy as np

import fastcal as fc
from fastcal.engine import thread_count

from .race import Call, Trial

VECTOR, MATRIX, DIRICHLET = "VectorScaling", "MatrixScaling", "DirichletCalibration"
METHODS: dict[str, Callable[..., Any]] = {
    VECTOR: fc.VectorScaling,
    MATRIX: fc.MatrixScaling,
    DIRICHLET: fc.DirichletCalibration,
}
SCIKIT_LEARN, TORCH = "scikit-learn lbfgs", "torch L-BFGS"
COPY, PRODUCT = "copy on all threads", "np.matmul"
LOGITS, FEW = "x 100 float32 logits", "x 10 float32 logits"
# After a product OpenBLAS's threads wait busily for the next one: within 10 ms of it ours has a fifth less of a core.
BUSY = 0.3
EQUAL = 1e-9  # nats: how much higher ours may end
# Gradients at which fits of matrices end: torch's own tolerance, which float32 does not always let it reach, a tenth of
# scikit-learn's default. Ours at its own, 1e-8, takes half as many passes again.
TOLERANCE = 1e-5

TRIALS = [
    Trial(f"{VECTOR}.fit", LOGITS, 200_000, {TORCH: 10}, "read", 408, fewer=20),
    Trial(f"{VECTOR}.fit", FEW, 1_000_000, {}, "read", 48),
    Trial(f"{MATRIX}.fit", LOGITS, 200_000, {SCIKIT_LEARN: 3, TORCH: 3}, fewer=None, slow=True),
    Trial(f"{MATRIX}.fit", FEW, 1_000_000, {}, of=(SCIKIT_LEARN, TORCH)),
    Trial(f"{VECTOR}.predict_proba", f"{LOGITS}, out=", 1_000_000, {COPY: 0.25}, "copy", 800),
    Trial(f"{MATRIX}.predict_proba", f"{LOGITS}, out=", 1_000_000, {PRODUCT: 0.7}, "copy", 800, pause=BUSY),
    Trial(f"{DIRICHLET}.predict_proba", f"{LOGITS}, out=", 1_000_000, {PRODUCT: 0.7}, "copy", 800, pause=BUSY),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where ours is no minimum, or no softmax."""
    return (fits if trial.work.endswith(".fit") else applying)(trial)


def logits_of(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Logits of groups of classes that are taken for each other, mixed and overconfident, and labels."""
    rng = np.random.default_rng(0)
    n, k = trial.n_rows, int(trial.given.split()[1])
    scores = rng.standard_normal((n, k), np.float32)
    scores += np.float32(0.4) * (rng.standard_normal((n, 10), np.float32) @ rng.standard_normal((10, k), np.float32))
    scores[np.arange(n), rng.integers(0, k, n)] += 7
    noise = -np.log(rng.standard_exponential((n, k), np.float32) + np.float32(1e-30))
    labels = (scores + noise).argmax(axis=1)
    mix = np.eye(k) + 0.3 / np.sqrt(k) * rng.standard_normal((k, k))
    scores = scores @ mix.astype(np.float32) * rng.uniform(1.4, 2.1, k).astype(np.float32)
    return scores + rng.normal(0, 0.5, k).astype(np.float32), labels


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """In nats, in float64."""
    return float((fc.logsumexp(logits) - logits[np.arange(len(labels)), labels]).mean())


def fits(trial: Trial) -> dict[str, Call]:
    """From logits and labels to parameters."""
    logits, labels = logits_of(trial)
    make, full = METHODS[trial.work.split(".")[0]], not trial.work.startswith(VECTOR)

    def fit() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fc.FitWarning)  # a tenth of the rows may be separable by a matrix
            return make(**({"tol": TOLERANCE} if full else {})).fit(logits, labels)

    ours = fit()
    calls: dict[str, Call] = {"fastcal": fit}
    wide = logits.astype(np.float64)
    for name, library, peer in ((SCIKIT_LEARN, "sklearn", scikit_learn), (TORCH, "torch", torch_lbfgs)):
        if name not in (trial.of or trial.aims) or not find_spec(library):
            continue
        weight, bias = peer(logits, labels, full)
        theirs = nll((wide @ weight.T if full else wide * weight) + bias, labels)
        assert ours.nll_ <= theirs + EQUAL, (ours.nll_, theirs)
        assert theirs < ours.nll_ + 1e-2, (ours.nll_, theirs)
        calls[name] = partial(peer, logits, labels, full)
    return calls


def torch_lbfgs(logits: np.ndarray, labels: np.ndarray, full: bool) -> tuple[np.ndarray, np.ndarray]:
    """From the identity, with line search, to where float32 ends it."""
    import torch

    z, y = torch.from_numpy(logits), torch.from_numpy(labels)
    k = z.shape[1]
    weight = torch.eye(k) if full else torch.ones(k)
    bias = torch.zeros(k)
    weight.requires_grad_(), bias.requires_grad_()
    search = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=TOLERANCE, line_search_fn="strong_wolfe")

    def objective() -> Any:
        search.zero_grad()
        mapped = torch.addmm(bias, z, weight.T) if full else z * weight + bias
        loss = torch.nn.functional.cross_entropy(mapped, y)
        loss.backward()
        return loss

    search.step(objective)
    return weight.detach().double().numpy(), bias.detach().double().numpy()


def scikit_learn(logits: np.ndarray, labels: np.ndarray, _: bool) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression without a penalty; newton-cholesky would need a Hessian of 10 100 parameters."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(logits, labels)
    return fitted.coef_.astype(float), fitted.intercept_.astype(float)


def applying(trial: Trial) -> dict[str, Call]:
    """Probabilities of new rows, against what has to be read and written, or the product alone."""
    logits, labels = logits_of(trial)
    few = slice(20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)  # which map it is does not matter
        fitted = METHODS[trial.work.split(".")[0]](max_iter=3).fit(logits[few], labels[few])
    out = np.empty_like(logits)
    fitted.predict_proba(logits, out=out)
    np.testing.assert_allclose(out[few], fitted.predict_proba(logits[few].astype(np.float64)), atol=1e-5)
    calls: dict[str, Call] = {"fastcal": lambda: fitted.predict_proba(logits, out=out)}
    if COPY in trial.aims:
        calls[COPY] = partial(copied, logits, out)
    if PRODUCT in trial.aims:
        weight = fitted.weight_.astype(np.float32)
        calls[PRODUCT] = lambda: np.matmul(logits, weight.T, out=out)
    return calls


def copied(source: np.ndarray, target: np.ndarray) -> None:
    """Each thread a part."""
    cuts = np.linspace(0, len(source), thread_count() + 1).astype(int)
    threads = [
        Thread(target=np.copyto, args=(target[start:stop], source[start:stop]))
        for start, stop in itertools.pairwise(cuts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
