"""Fitted calibrators of every class, and their files taken apart, for the tests of files."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field

import numpy as np
from conftest import JIT

from fastcal import FitWarning
from fastcal.calibrators.files import digest, header_line
from fastcal.calibrators.methods import CLASSES, class_of

SCORES = np.array(
    [[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.125, 0.375, 0.5], [0.9, 0.05, 0.05], [0.34, 0.33, 0.33], [0.1, 0.8, 0.1]]
)
LABELS = np.array(["bird", "cat", "dog"])


def rows(n_classes=3, n=120):
    """Probabilities made without an exponential, so that every machine has the same bits."""
    odds = (1 + np.arange(n)[:, None] * (7 + 4 * np.arange(n_classes)) % 31) / 32
    odds = odds * odds
    scores = odds / odds.sum(axis=1, keepdims=True)
    return scores, (scores.cumsum(axis=1) < ((np.arange(n) * 13 % 64 + 0.5) / 64)[:, None]).sum(axis=1)


def fitted(name, n_classes=3, **options):
    scores, y = rows(n_classes if n_classes > 1 else 2)
    labels = LABELS if n_classes == 3 else None
    made = class_of(name)(input="probs", classes=labels, **options)
    held = (scores[100:], y[100:] if labels is None else labels[y[100:]])
    if n_classes == 1:
        return made.fit(scores[:100, 1], y[:100], held_out=(scores[100:, 1], y[100:]))
    return made.fit(scores[:100], y[:100] if labels is None else labels[y[:100]], held_out=held)


def all_saved(folder):
    """A fitted calibrator of each class, binary, of two and of three classes, and its file."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        for name in CLASSES if JIT else ["TemperatureScaling", "HistogramBinning"]:
            for n_classes in (1, 2, 3):
                path = folder / f"{name}-{n_classes}.json"
                calibrator = fitted(name, n_classes)
                calibrator.save(path)
                found[name, n_classes] = calibrator, path
    return found


@dataclass
class File:
    """A file taken apart, to be changed by someone who knows how its checksum is made."""

    header: dict
    arrays: dict
    entries: list = field(default=None)

    @classmethod
    def of(cls, data):
        line, _, payload = data.partition(b"\n")
        header = json.loads(line)
        arrays, offset = {}, 0
        for name, dtype, shape in header["arrays"]:
            arrays[name] = np.frombuffer(payload, dtype, int(np.prod(shape)), offset).reshape(shape).copy()
            offset += arrays[name].nbytes
        return cls(header, arrays)

    @property
    def parameters(self):
        return self.header["parameters"]

    @property
    def fitted(self):
        return self.header["fitted"]

    @property
    def after(self):
        return self.fitted["figures_"]["after"]

    def data(self):
        names = sorted(self.arrays)
        payload = b"".join(self.arrays[name].tobytes() for name in names)
        listed = [[name, self.arrays[name].dtype.str, list(self.arrays[name].shape)] for name in names]
        if self.entries is not None:
            listed, payload = self.entries, b""
        header = {**self.header, "arrays": listed}
        header["sha256"] = digest(header, payload)
        return header_line(header) + b"\n" + payload
