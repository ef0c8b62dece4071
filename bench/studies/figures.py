"""The two figures: planes of predictive entropy with what rays show of it, and digits against photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import fastcal as fc

from . import networks
from .digits import OUT, Diagnosis
from .families import FAMILIES
from .gradients import MEASURES
from .rates import NEVER
from .rays import ALPHAS, Camps, Ray
from .theorem import Theorem

# Okabe and Ito 2008: no common colour blindness confuses them; lines and points differ in style and shape as well.
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKS = ("o", "s", "^", "D")
CLASSES = (("#d55e00", "o"), ("#009e73", "^"), ("#0072b2", "s"))
APART, TOGETHER = "#d55e00", "#0072b2"

SHADES = 128  # of entropy
HALF, PIXELS = 10.0, 160  # of a plane: its half side, its points a side
LEAST = np.log(2.0**-1074)  # below it a float64 is 0

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def planes(theorem: Theorem, path: Path) -> None:
    """Figure 1 of the paper with fastcal's predictive entropy; below, three views of the rays."""
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(9.6, 5.4), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1, 1.2))
        _planes(above, theorem)
        gradients, rates, camps = below.subplots(1, 3)
        _gradients(gradients, theorem)
        _rates(rates, theorem.rays)
        _camps(camps, theorem.camps)
        _save(figure, path)


def _planes(above: Any, theorem: Theorem) -> None:
    side = np.linspace(-HALF, HALF, PIXELS)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    axes = above.subplots(1, len(FAMILIES), sharey=True)
    for ax, family in zip(axes, FAMILIES, strict=True):
        logits = networks.logits(theorem.found[family.name], grid)
        entropy = fc.ensemble_uncertainty(logits, from_logits=True).predictive_entropy.reshape(PIXELS, PIXELS)
        limits = {"vmin": 0.0, "vmax": np.log(3)}
        extent = (-HALF, HALF, -HALF, HALF)
        shown = ax.imshow(
            entropy,
            cmap=mpl.colormaps["Purples"].resampled(SHADES),
            extent=extent,
            origin="lower",
            interpolation="bilinear",
            **limits,
        )
        for label, (colour, mark) in enumerate(CLASSES):
            x = theorem.data.x[theorem.data.y == label]
            ax.scatter(*x.T, s=3, color=colour, marker=mark, linewidths=0)
        ax.set(title=family.name, xticks=(-8, 0, 8), yticks=(-8, 0, 8))
        ax.spines[["top", "right"]].set_visible(True)
    bar = above.colorbar(shown, ax=axes, ticks=(0, np.log(2), np.log(3)), shrink=0.9, pad=0.01)
    bar.ax.set_yticklabels(["0", "log 2", "log 3"])
    bar.set_label("predictive entropy")


def _gradients(ax: Axes, theorem: Theorem) -> None:
    """The largest over all rays of a family: what falls slowest."""
    for family, colour, line in zip(FAMILIES, COLOURS, LINES, strict=True):
        log_norms = [ray.log_norms[MEASURES[2]] for ray in theorem.rays[family.name] if ray.inside]
        if log_norms:
            ax.plot(ALPHAS, -np.max(log_norms, axis=0), color=colour, linestyle=line, label=family.name)
    ax.axhline(-LEAST, color="#8a8a8a", linewidth=0.8)
    ax.text(1.2, -LEAST * 1.2, "0 in float64", color="#5a5a5a", fontsize=8, va="top")
    ax.set(xscale="log", yscale="log", ylim=(2e7, 1), xlabel=r"$\alpha$: $x_d \to \alpha\,x_d$")
    ax.set(title="gradient of the predictive entropy", ylabel=r"$-\log\;\|\nabla_x H\|$")
    ax.legend(loc="lower left", handlelength=2.4, labelspacing=0.2, borderpad=0.1)


def _rates(ax: Axes, rays: dict[str, list[Ray]]) -> None:
    for measure, mark, colour in zip(MEASURES, MARKS, COLOURS[1:], strict=True):
        found = [ray.measures[measure] for followed in rays.values() for ray in followed if ray.inside]
        found = [rate for rate in found if rate.rate != NEVER]
        pairs = [(rate.rate, rate.measured) for rate in found]
        style = {"marker": mark, "edgecolors": colour, "facecolors": "none", "s": 14, "linewidths": 0.8}
        ax.scatter(*zip(*pairs, strict=True), label=f"{measure} ({len(pairs)})", **style)
    ends = np.array(ax.get_xlim())
    ends[0] = min(rate.rate for followed in rays.values() for ray in followed for rate in ray.measures.values()) / 2
    ax.plot(ends, ends, color="#8a8a8a", linewidth=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", title="rate of decay, all families and rays")
    ax.set(xlabel="predicted from slopes of logits", ylabel=r"measured, $\alpha$ = $10^5$ to $10^6$")
    ax.legend(loc="upper left", handletextpad=0.1, labelspacing=0.2, borderpad=0.1)


def _camps(ax: Axes, two: Camps | None) -> None:
    ax.set(title="pairs of an ensemble's members", xscale="log", xlabel=r"$\alpha$", ylabel="nats")
    if two is None:
        return
    rays = (("two classes", two.ray_apart, APART), ("one class", two.ray_together, TOGETHER))
    for label, ray, colour in rays:
        for measure, line in zip(MEASURES[2:], ("-", "--"), strict=True):
            ax.plot(ALPHAS, ray.values[measure], color=colour, linestyle=line, label=f"{measure}, {label}")
    log_norm = two.ray_apart.log_norms[MEASURES[2]][-1] / np.log(10)
    power = f"{log_norm:,.0f}".replace(",", r"{,}").replace("-", "{-}")
    ax.axhline(np.log(2), color="#8a8a8a", linewidth=0.8, zorder=0)
    ax.text(ALPHAS[-1], np.log(2) + 0.015, f"log 2; its gradient is $10^{{{power}}}$", ha="right", fontsize=8)
    ax.set_ylim(-0.02, 1.19)
    ax.legend(loc="upper left", labelspacing=0.2, borderpad=0.1)


def digits(diagnosis: Diagnosis, path: Path) -> None:
    """Histograms of what the network sees in digits and in photographs."""
    panels = {
        "activation familiarity": (lambda seen: seen.familiarity, None),
        "activation norm": (lambda seen: seen.norm, None),
        r"$1 + U_{max}$: 1 less confidence": (lambda seen: 1 - seen.confidence, 1e-8),
        r"the mental model's $1 + U_{max}$": (lambda seen: 1 - seen.mental, 1e-12),
    }
    sets = {"digits, held out": diagnosis.inside, **{name: diagnosis.outside[name] for name in OUT}}
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained")
        for ax, (title, (column, least)) in zip(axes, panels.items(), strict=True):
            values = {name: column(seen) for name, seen in sets.items()}
            together = np.concatenate(list(values.values()))
            if least is not None:
                bins = np.geomspace(least, 1.0, 30)
                ax.set_xscale("log")
            else:
                bins = np.linspace(together.min(), together.max(), 30)
            styles = zip(values.items(), ("stepfilled", "step", "step"), COLOURS[2:], ("-", "-", "--"), strict=True)
            for (name, found), kind, colour, line in styles:
                weights = np.full(len(found), 100 / len(found))
                inside = found if least is None else np.maximum(found, least)
                style: dict[str, Any] = {"histtype": kind, "color": colour, "linestyle": line, "linewidth": 1.4}
                ax.hist(inside, bins, weights=weights, label=name, **style)
            ax.set(title=title)
        axes[0].set_ylabel("% of rows")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """256 colours are enough and a third of the bytes, which are the same each time: no date, no version."""
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    room = 256 - SHADES - 2
    others = picture.quantize(room, method=Image.Quantize.MEDIANCUT).getpalette()[: 3 * room]
    shades = (255 * mpl.colormaps["Purples"](np.linspace(0, 1, SHADES))[:, :3]).round().astype(int)
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, 0, 0, 0, *shades.ravel().tolist(), *others])
    nearest = picture.quantize(palette=palette, dither=Image.Dither.NONE)  # nearly: white, too, finds others
    numbers = np.where((np.asarray(picture) == 255).all(axis=2), 0, np.asarray(nearest)).astype(np.uint8)
    indexed = Image.fromarray(numbers)
    indexed.putpalette(palette.getpalette())
    indexed.save(path, optimize=True)
    plt.close(figure)
