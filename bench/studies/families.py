"""The five families of Figure 1 of "Know Your Limits", trained on three Gaussian clusters in the plane.

Each gives members, that is fixed ReLU networks: one network; masks of dropout drawn once; weights drawn once from a
variational posterior; networks of their own; networks regularised towards draws from the prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .networks import Layers, forward

N_CLASSES, WIDTH = 3, 32
RADIUS, SPREAD = 2.0, 0.7  # of the clusters: their centres' distance from 0, their standard deviation
FIRST = np.pi * 75 / 180  # direction of the first centre: none is on an axis
TRAINING_POINTS, RAY_POINTS = 300, 6
AWAY = 0.25  # rays start no nearer to an axis: 1e6 times a coordinate of nearly 0 would not be far
MEMBERS, STEPS, RATE = 10, 600, 0.01
DROPOUT = 0.2
NOISE = 4  # samples of weights in a step of Bayes by backprop
PRIOR = math.sqrt(2.0)  # standard deviation of a weight of the priors, times 1 / sqrt(inputs of its neuron)


@dataclass(frozen=True)
class Family:
    """A family and, fixed before any run, what the theorem's assumptions say of it.

    ``monotone``: each member meets Assumption 1 far out on every ray that scales one coordinate. A member is a ReLU
    network of fixed weights, so beyond the last kink of the ray its logits are affine, f = a + J x, with one J in a box
    [a, infinity) x [x' - e, x' + e]. Where one class k has the steepest logit along the ray, p_k rises and each other
    p_c falls from somewhere on, because the slope of p_c is p_c (b_c - sum_j p_j b_j), and the sum tends to b_k from
    below; across the ray the derivative of p_c has in the end the sign of J_c - J_k, and that of p_k the opposite of
    the next steepest class's. So p is component-wise strictly monotonic on a partially unbounded interval. The run
    looks at every member and ray for what can refuse this: a kink beyond the alphas, a tie for the steepest logit, a
    derivative that is 0 or changes its sign.

    ``certain``: the certain limits (maximum probability 1; variance, entropy and mutual information 0) hold "always",
    or "in agreement", that is where all members have the same steepest logit. Nothing makes different networks agree;
    were they all without error one and the same monotone p, they would, for only the class k of a member rises.
    """

    name: str
    n_members: int
    monotone: bool
    certain: str
    why: str


FAMILIES = (
    Family("single discriminator", 1, True, "always", "one ReLU network"),
    Family("MC dropout", MEMBERS, True, "in agreement", "masks are drawn once: each leaves a ReLU network"),
    Family("Bayes by backprop", MEMBERS, True, "in agreement", "weights are drawn once: each draw is a ReLU network"),
    Family("ensemble", MEMBERS, True, "in agreement", "ReLU networks, each from a start of its own"),
    Family("anchored ensemble", MEMBERS, True, "in agreement", "ReLU networks, each near a prior draw of its own"),
)


@dataclass(frozen=True)
class Data:
    """Points (N, 2) and labels to train on, and further points of the same clusters from which rays start."""

    x: np.ndarray
    y: np.ndarray
    from_where: np.ndarray


@dataclass(frozen=True)
class Effort:
    """How much is trained: the whole study's, or a test's."""

    steps: int = STEPS
    n_members: int = MEMBERS
    n_points: int = RAY_POINTS


def clusters(seed: int, n_points: int) -> Data:
    """Three clusters of equal size; the rays start at ``n_points`` others, of the classes in turn."""
    rng = np.random.default_rng(seed)
    angles = FIRST + 2 * np.pi * np.arange(N_CLASSES) / N_CLASSES
    centres = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    y = np.arange(TRAINING_POINTS) % N_CLASSES
    x = centres[y] + SPREAD * rng.standard_normal((TRAINING_POINTS, 2))
    others = []
    while len(others) < n_points:
        point = centres[len(others) % N_CLASSES] + SPREAD * rng.standard_normal(2)
        if np.abs(point).min() >= AWAY:
            others.append(point)
    return Data(x, y, np.array(others))


def trained(data: Data, seed: int, effort: Effort) -> dict[str, Layers]:
    """The members of each family by its name."""
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    ways: tuple[Callable[[Tensor, Tensor, torch.Generator, Effort], Layers], ...] = (
        _single,
        _dropout,
        _bayes_by_backprop,
        _ensemble,
        _anchored,
    )
    found = {}
    for index, (family, way) in enumerate(zip(FAMILIES, ways, strict=True)):
        generator = torch.Generator().manual_seed(1000 * seed + index)
        layers = way(x, y, generator, effort)
        found[family.name] = [(weight.detach(), bias.detach()) for weight, bias in layers]
    return found


def _single(x: Tensor, y: Tensor, generator: torch.Generator, effort: Effort) -> Layers:
    layers = _drawn(1, generator)
    return _fit(layers, effort.steps, lambda: _nll(forward(layers, x), y))


def _ensemble(x: Tensor, y: Tensor, generator: torch.Generator, effort: Effort) -> Layers:
    """Lakshminarayanan, Pritzel and Blundell 2017, without adversarial training."""
    layers = _drawn(effort.n_members, generator)
    return _fit(layers, effort.steps, lambda: _nll(forward(layers, x), y))


def _anchored(x: Tensor, y: Tensor, generator: torch.Generator, effort: Effort) -> Layers:
    """Pearce, Leibfried and Brintrup 2020: the mean NLL plus sum ((w - anchor) / prior)^2 / 2 N, a draw an anchor."""
    layers, anchors = _drawn(effort.n_members, generator), _drawn(effort.n_members, generator)

    def loss() -> Tensor:
        away = sum(
            (((weight - at_weight) / _prior(weight)) ** 2).sum() + (((bias - at_bias) / _prior(weight)) ** 2).sum()
            for (weight, bias), (at_weight, at_bias) in zip(layers, anchors, strict=True)
        )
        return _nll(forward(layers, x), y) + away / (2 * len(x))

    return _fit(layers, effort.steps, loss)


def _dropout(x: Tensor, y: Tensor, generator: torch.Generator, effort: Effort) -> Layers:
    """Gal and Ghahramani 2016: a mask a row in training; then a mask a member, multiplied into its weights."""
    layers = _drawn(1, generator)

    def mask(*shape: int) -> Tensor:
        return (torch.rand(shape, generator=generator, dtype=torch.float64) >= DROPOUT) / (1 - DROPOUT)

    def loss() -> Tensor:
        h = x.unsqueeze(0)
        for weight, bias in layers[:-1]:
            h = torch.relu(h @ weight.transpose(-1, -2) + bias.unsqueeze(-2)) * mask(1, len(x), WIDTH)
        return _nll(forward(layers[-1:], h), y)

    _fit(layers, effort.steps, loss)
    masked = [(weight.expand(effort.n_members, -1, -1), bias.expand(effort.n_members, -1)) for weight, bias in layers]
    return [
        (weight * mask(effort.n_members, 1, WIDTH) if index else weight, bias)
        for index, (weight, bias) in enumerate(masked)
    ]


def _bayes_by_backprop(x: Tensor, y: Tensor, generator: torch.Generator, effort: Effort) -> Layers:
    """Blundell et al. 2015 with a Gaussian prior, of which the divergence has a closed form; then a draw a member."""
    means = _drawn(1, generator)
    flat = [part for layer in means for part in layer]
    rough = [torch.full_like(part, -3.0).requires_grad_() for part in flat]  # softplus of it: a deviation of 0.05
    priors = [_prior(weight) for weight, _ in means for _ in range(2)]

    def draw(n: int) -> Layers:
        parts = []
        for mean, rho in zip(flat, rough, strict=True):
            noise = torch.randn(n, *mean.shape[1:], generator=generator, dtype=torch.float64)
            parts.append(mean + torch.nn.functional.softplus(rho) * noise)
        return list(zip(parts[::2], parts[1::2], strict=True))

    def loss() -> Tensor:
        divergence = torch.zeros((), dtype=torch.float64)
        for mean, rho, prior in zip(flat, rough, priors, strict=True):
            ratio = (torch.nn.functional.softplus(rho) / prior) ** 2
            divergence = divergence + 0.5 * (ratio - 1 - torch.log(ratio) + (mean / prior) ** 2).sum()
        return _nll(forward(draw(NOISE), x), y) / NOISE + divergence / len(x)

    _fit(means, effort.steps, loss, rough)
    return draw(effort.n_members)


def _drawn(n: int, generator: torch.Generator) -> Layers:
    """Weights of ``n`` networks from the prior; the biases too, so that kinks do not all pass through 0."""
    layers = []
    for n_in, n_out in ((2, WIDTH), (WIDTH, WIDTH), (WIDTH, N_CLASSES)):
        scale = PRIOR / math.sqrt(n_in)
        weight = scale * torch.randn(n, n_out, n_in, generator=generator, dtype=torch.float64)
        bias = scale * torch.randn(n, n_out, generator=generator, dtype=torch.float64)
        layers.append((weight.requires_grad_(), bias.requires_grad_()))
    return layers


def _prior(weight: Tensor) -> float:
    return PRIOR / math.sqrt(weight.shape[-1])


def _fit(layers: Layers, steps: int, loss: Callable[[], Tensor], others: list[Tensor] | None = None) -> Layers:
    """Adam over all rows at once."""
    optimiser = torch.optim.Adam([part for layer in layers for part in layer] + (others or []), lr=RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    return layers


def _nll(found: Tensor, y: Tensor) -> Tensor:
    """The mean over rows of each member's, summed over members: they are trained side by side."""
    n_members = len(found)
    return n_members * torch.nn.functional.cross_entropy(found.flatten(0, 1), y.repeat(n_members))
