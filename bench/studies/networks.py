"""Small ReLU networks, many at once: the weights of all members are stacked, and each member is one fixed network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Layers = list[tuple[Tensor, Tensor]]  # (M, out, in) and (M, out); ReLU between them, none at the end


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, so the same numbers on any number of cores; for networks this small it is faster, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forward(layers: Layers, x: Tensor) -> Tensor:
    """Logits (M, N, C) at points (N, D), or at each member's own (M, N, D)."""
    h = x
    for index, (weight, bias) in enumerate(layers):
        h = h @ weight.transpose(-1, -2) + bias.unsqueeze(-2)
        if index + 1 < len(layers):
            h = torch.relu(h)
    return h


def logits(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Logits (M, N, C) at points (N, D)."""
    with torch.no_grad():
        return forward(layers, torch.from_numpy(np.ascontiguousarray(x))).numpy()


def jacobian(layers: Layers, x: np.ndarray) -> np.ndarray:
    """d logit_c / d x_d (M, N, C, D), by automatic differentiation: a member's logits depend on its own points only."""
    points = torch.from_numpy(np.ascontiguousarray(x)).expand(len(layers[0][0]), -1, -1).clone().requires_grad_()
    found = forward(layers, points)
    rows = [torch.autograd.grad(found[..., c].sum(), points, retain_graph=True)[0] for c in range(found.shape[-1])]
    return torch.stack(rows, dim=-2).numpy()


def members(layers: Layers, which: list[int]) -> Layers:
    """Some of the members."""
    return [(weight[which], bias[which]) for weight, bias in layers]


@dataclass(frozen=True)
class FinalRegion:
    """Where the logits along rays are affine for good: arrays (M, N)."""

    start: np.ndarray  # alpha of the last kink, -inf where there is none
    unbounded: np.ndarray  # no neuron changes its state any more

    def reached(self, alpha: float) -> np.ndarray:
        return (self.start <= alpha) & self.unbounded


def final_region(layers: Layers, x: np.ndarray, coordinate: int, alpha: float) -> FinalRegion:
    """The region that holds the points with ``x[:, coordinate]`` scaled by ``alpha``, found exactly.

    While no neuron changes its state, its input is affine in alpha: a + (alpha' - alpha) a', which is 0 at
    alpha - a / a'. The last of these zeros below ``alpha`` is where the region begins, and one above is where it ends.
    """
    with torch.no_grad():
        there, along = torch.from_numpy(scaled(x, coordinate, alpha)), torch.zeros(x.shape, dtype=torch.float64)
        along[:, coordinate] = torch.from_numpy(x[:, coordinate].copy())
        shape = (layers[0][0].shape[0], len(x))
        start, unbounded = torch.full(shape, -torch.inf, dtype=torch.float64), torch.ones(shape, dtype=torch.bool)
        for weight, bias in layers[:-1]:
            there = there @ weight.transpose(-1, -2) + bias.unsqueeze(-2)
            along = along @ weight.transpose(-1, -2)
            zero = alpha - there / along  # of a neuron whose input is constant: infinite, on neither side a change
            zero = torch.where(along == 0, -torch.inf, zero)
            unbounded &= ~((zero > alpha).any(-1))
            start = torch.maximum(start, torch.where(zero <= alpha, zero, -torch.inf).amax(-1))
            on = there > 0
            there, along = there * on, along * on
    return FinalRegion(start.numpy(), unbounded.numpy())


def scaled(x: np.ndarray, coordinate: int, alpha: float) -> np.ndarray:
    """The points with one coordinate multiplied and the others as they are."""
    moved = x.copy()
    moved[:, coordinate] *= alpha
    return moved
