"""Ensembles against what everyone writes with torch or scipy: from probabilities, from logits, narrow and wide rows.

"three lines" are the mean, its entropy, the mean of the members' entropies and the difference, with p log(p + epsilon)
as nearly everyone writes it; "entr" is the same with torch.special.entr. Both are less than ours computes; "all seven"
adds the prediction, its probability, the softmax variance and the variation ratio. Answers are asserted to be equal
before anything is timed; both sides take all cores.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from peers_ensemble import scipy_three_lines, torch_all_seven, torch_entr, torch_three_lines

import fastcal as fc

from .machine import taken
from .memory import peak
from .race import Call, Trial, elapsed
from .record import Whole

PROBS, LOGITS = "float32 probabilities", "float32 logits"
FORMS = ("array", ".npy", ".npz", ".parquet")
THREE, ENTR, SEVEN, SCIPY = "torch, three lines", "torch, entr", "torch, all seven", "scipy, three lines"


def trial(m: int, n: int, k: int, form: str, share: float | None = None, **aims: float) -> Trial:
    """Of ensemble_uncertainty: members, rows and classes, and how many times as fast as a peer ours has to be."""
    names = {"three": THREE, "seven": SEVEN, "scipy": SCIPY}
    words = f"rows, {m} members, {k:,} classes, {form}"
    by_peer = {names[key]: value for key, value in aims.items()}
    return Trial("ensemble_uncertainty", words, n, by_peer, "read", 4 * m * k, share, fewer=20, of=(m, k, form))


TRIALS = [
    trial(10, 500_000, 10, PROBS, three=12, scipy=15),
    trial(10, 500_000, 10, LOGITS, three=12),
    trial(5, 50_000, 1000, PROBS, 0.3, three=12),
    trial(5, 50_000, 1000, LOGITS),
    trial(10, 2_000_000, 2, PROBS),
    trial(10, 2_000_000, 2, LOGITS),
]


def contenders(one: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    m, k, form = one.of
    rng = np.random.default_rng(0)
    from_logits = form == LOGITS
    scores = 2 * rng.standard_normal((m, one.n_rows, k), np.float32)
    if not from_logits:
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
    peers = {THREE: torch_three_lines, ENTR: torch_entr, SEVEN: torch_all_seven} if find_spec("torch") else {}
    if SCIPY in one.aims:
        peers[SCIPY] = scipy_three_lines
    calls: dict[str, Call] = {"fastcal": lambda: fc.ensemble_uncertainty(scores, from_logits=from_logits)}
    ours: Any = calls["fastcal"]()
    for name, peer in peers.items():
        calls[name] = lambda peer=peer: peer(scores, from_logits)
        for figure, values in peer(scores, from_logits).items():
            np.testing.assert_allclose(getattr(ours, figure), values, atol=4e-6, err_msg=figure)
    return calls


def memory(*, quick: bool = False) -> Iterator[Whole]:
    """Peak memory beyond members and results."""
    for form in FORMS[:1] if quick else FORMS:
        yield taken(f"extra memory of ensemble_uncertainty, 10 x 500,000 x 10, {form}", 64, "bench.ensembles", form)


def on_top() -> list[Whole]:
    """What an UncertaintyAccumulator takes beyond computing the measures, in turns with computing alone."""
    rng = np.random.default_rng(0)
    n, k = 500_000, 10
    logits = 2 * rng.standard_normal((10, n, k), np.float32)
    y, out = rng.integers(0, k, n), rng.random(n) < 0.1
    accumulator = fc.UncertaintyAccumulator(from_logits=True).update(y, logits, out_of_distribution=out)

    def one_round() -> float:
        whole = elapsed(lambda: accumulator.update(y, logits, out_of_distribution=out))
        return whole - elapsed(lambda: fc.ensemble_uncertainty(logits, from_logits=True))

    one_round()
    ns = statistics.median([one_round() for _ in range(11)]) / n * 1e9
    return [
        Whole("accumulators", "six measures into an UncertaintyAccumulator, beyond computing them", ns, "ns a row", 15)
    ]


def main(form: str) -> None:
    """Print the bytes that the measures take beyond members and results, of members in such a form."""
    rng = np.random.default_rng(0)
    probs = rng.random((10, 500_000, 10), np.float32)
    probs /= probs.sum(-1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        members: Any = probs if form == "array" else written(probs, form, Path(folder))
        few = probs[:, :1000] if form == "array" else written(probs[:, :1000], form, Path(folder) / "few")
        if form != "array":
            del probs
        fc.ensemble_uncertainty(few)
        found: list[Any] = []
        most = peak(lambda: found.append(fc.ensemble_uncertainty(members)))
        print(most - sum(getattr(found[0], place.name).nbytes for place in fields(found[0])))


def written(probs: np.ndarray, form: str, folder: Path) -> list[Path]:
    """Members as files, one each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    paths = [folder / f"{m}{form}" for m in range(len(probs))]
    for path, member in zip(paths, probs, strict=True):
        if form == ".npy":
            np.save(path, member)
        elif form == ".npz":
            np.savez_compressed(path, probs=member)
        else:
            lists = pa.FixedSizeListArray.from_arrays(pa.array(member.ravel()), member.shape[1])
            pq.write_table(pa.table({"probs": lists}), path)
    return paths


if __name__ == "__main__":
    main(sys.argv[1])
