"""A run as data: every number with its aim and whether it holds, and the rays of the first seed one by one."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

import fastcal as fc

from . import theorem as lemmas
from .checks import Check, failures
from .digits import Diagnosis
from .families import FAMILIES, Effort
from .rays import LAST, Ray
from .theorem import Theorem

DATA, TEXT, PLANES, DIGITS = "study.json", "RESULTS.md", "planes.png", "digits.png"


def as_data(theorems: list[Theorem], diagnoses: list[Diagnosis], effort: Effort) -> dict[str, Any]:
    """``holds`` is for the statements about the theorem; what the digits show is reported."""
    first = theorems[0]
    return {
        "versions": versions(),
        "effort": asdict(effort),
        "families": [asdict(family) for family in FAMILIES],
        "holds": not any(wrong(theorem) for theorem in theorems),
        "seeds": [
            {
                "seed": theorem.seed,
                "checks": {part: [asdict(check) for check in found] for part, found in theorem.checks.items()},
            }
            for theorem in theorems
        ],
        "float64_reads_0_from_alpha": lemmas.underflow(first.rays),
        "rays": {name: [of_ray(ray) for ray in followed] for name, followed in first.rays.items()},
        "digits": [
            {"seed": theorem.seed, "accuracy": diagnosis.accuracy, "sets": diagnosis.figures}
            for theorem, diagnosis in zip(theorems, diagnoses, strict=True)
        ],
    }


def wrong(theorem: Theorem) -> list[Check]:
    return [check for found in theorem.checks.values() for check in failures(found)]


def of_ray(ray: Ray) -> dict[str, Any]:
    return {
        "coordinate": ray.coordinate,
        "point": ray.point,
        "last_kink": ray.start,
        "outside": list(ray.outside),
        "shares": ray.prediction.shares.tolist(),
        "slowest_gap": float(ray.prediction.slowest.min()),
        "measures": {
            name: {
                "rate": rate.rate,
                "measured_rate": rate.measured,
                "power": rate.power,
                "measured_power": rate.measured_power,
                "log_norm": rate.log_norm,
                "limit": ray.prediction.limits[name],
                "value": float(ray.values[name][LAST]),
            }
            for name, rate in ray.measures.items()
        },
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "fastcal": fc.__version__, "numpy": np.__version__}
    return {**found, "torch": torch.__version__, "matplotlib": mpl.__version__}


def strict(value: Any) -> Any:
    """NaN as null and infinity as a string, as all of fastcal's JSON has them."""
    if isinstance(value, dict):
        return {key: strict(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def write(folder: Path, data: dict[str, Any], text: str) -> None:
    (folder / DATA).write_text(json.dumps(strict(data), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / TEXT).write_text(text, encoding="utf-8")
