"""Handwritten digits against photographs: how a small network sees what it was not trained on.

After Pearce, Brintrup and Zhu 2021 ("Understanding softmax confidence and uncertainty"): final-layer activations of
out-of-distribution rows are said to be smaller and less familiar, to which a mental model of the softmax answers with
less confidence; rows beyond the training distribution's confidence ("extrapolation") are said to be less to blame for
what goes undetected than overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_sample_images

import fastcal as fc

from .networks import one_thread

N_CLASSES, N_TRAIN = 10, 1000
CHANNELS, WIDTH = 16, 32
STEPS, RATE = 400, 0.0025
SIDE, BLOCK = 32, 4  # of the bitmaps from which the digits were counted, and of a counted block
EPSILON = 0.05

# Rows by the way of making them; the first is in the figure.
OUT = ("photographs, as bitmaps", "photographs, grey")


@dataclass(frozen=True)
class Seen:
    """What the network makes of a set of rows: columns (N,), all of them higher where it is surer."""

    logits: np.ndarray
    norm: np.ndarray
    familiarity: np.ndarray
    confidence: np.ndarray
    mental: np.ndarray

    def scores(self) -> dict[str, np.ndarray]:
        softmax = fc.softmax_uncertainty(self.logits)
        return {
            "familiarity": self.familiarity,
            "norm": self.norm,
            "confidence": -softmax.max,
            "mental model": self.mental,
            "negative entropy": -softmax.entropy,
            "negative energy": -softmax.energy,
        }


@dataclass(frozen=True)
class Diagnosis:
    """The rows in and out of distribution, and the figures of each set that is out."""

    accuracy: float
    inside: Seen
    outside: dict[str, Seen]
    figures: dict[str, dict[str, object]]


@one_thread()
def diagnose(seed: int, steps: int = STEPS) -> Diagnosis:
    """Train on some digits; look at the others and at the photographs."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(seed).permutation(len(images))
    train, held_out = order[:N_TRAIN], order[N_TRAIN:]
    network = _trained(images[train], labels[train], seed, steps)
    inside = _seen(network, images[held_out])
    outside = dict(zip(OUT, (_seen(network, rows) for rows in photographs()), strict=True))
    accuracy = fc.accuracy(labels[held_out], fc.softmax(inside.logits))
    return Diagnosis(accuracy, inside, outside, {name: figures(inside, seen) for name, seen in outside.items()})


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Patches of two photographs (N, 8, 8) in [0, 1]: made as the digits were, and by their grey.

    The digits are counts of the dark points in blocks of 4 x 4 of a bitmap of 32 x 32; a patch of a photograph becomes
    a bitmap by whether a point is darker than the patch's mean.
    """
    patches = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2) / 255
        rows, columns = (size // SIDE for size in grey.shape)
        cut = grey[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
        patches.append(cut.transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE))
    grey = np.concatenate(patches)
    dark = (grey < grey.mean(axis=(1, 2), keepdims=True)).astype(float)
    return tuple(part.reshape(-1, 8, BLOCK, 8, BLOCK).mean(axis=(2, 4)) for part in (dark, 1 - grey))


def figures(inside: Seen, outside: Seen) -> dict[str, object]:
    """Of one set that is out of distribution: its detection, and where in the softmax it lies."""
    of_in, of_out = inside.scores(), outside.scores()
    detection = {}
    for name, score in of_in.items():
        found = fc.ood_metrics(score, of_out[name], random_state=0)
        detection[name] = {
            "auroc": float(found.auroc),
            "auroc_interval": [float(end) for end in found.intervals["auroc"]],
            "aupr_in": float(found.aupr_in),
            "aupr_out": float(found.aupr_out),
            "fpr95": float(found.fpr95),
            "detection_error": float(found.detection_error),
            "median_in": float(np.median(score)),
            "median_out": float(np.median(of_out[name])),
        }
    u_in, u_out = -of_in["confidence"], -of_out["confidence"]
    h_in, h_out = -of_in["negative entropy"], -of_out["negative entropy"]
    extrapolated = float(np.mean(fc.softmax_extrapolation(u_in, u_out, epsilon=EPSILON)))
    valid = float(fc.valid_ood_share(u_in, u_out, epsilon=EPSILON))
    return {
        "n_in": len(u_in),
        "n_out": len(u_out),
        "detection": detection,
        "valid_ood_share": {"U_max": valid, "entropy": float(fc.valid_ood_share(h_in, h_out, epsilon=EPSILON))},
        "saturation": {
            "in": float(fc.softmax_saturation(inside.logits)),
            "out": float(fc.softmax_saturation(outside.logits)),
        },
        "extrapolated": extrapolated,
        "overlapping": 1 - valid - extrapolated,
        "mental_model_correlation": {
            "in": float(spearmanr(inside.mental, inside.confidence).statistic),
            "out": float(spearmanr(outside.mental, outside.confidence).statistic),
        },
    }


class _Network(torch.nn.Module):
    """Convolutions, ReLU features z, and logits W z without a bias, as the mental model has them."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = torch.nn.Sequential(
            torch.nn.Conv2d(1, CHANNELS, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(2 * CHANNELS * 16, WIDTH),
            torch.nn.ReLU(),
        )
        self.classes = torch.nn.Linear(WIDTH, N_CLASSES, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classes(self.filters(images.unsqueeze(1)))


def _trained(images: np.ndarray, labels: np.ndarray, seed: int, steps: int) -> _Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _Network().double()
        generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(steps):
        batch = torch.randint(len(x), (100,), generator=generator)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimiser.step()
    return network


def _seen(network: _Network, images: np.ndarray) -> Seen:
    with torch.no_grad():
        features = network.filters(torch.from_numpy(images).unsqueeze(1))
        logits = network.classes(features).numpy()
    weights = network.classes.weight.detach().numpy()
    norm = fc.activation_norm(features.numpy())
    familiarity = fc.activation_familiarity(features.numpy(), weights)
    # The model has class weights of length 1; those of the network only stretch its activations.
    stretch = fc.activation_norm(weights).mean()
    mental = fc.mental_model_confidence(stretch * norm, familiarity, N_CLASSES)
    return Seen(logits, norm, familiarity, -fc.softmax_uncertainty(logits).max, mental)
