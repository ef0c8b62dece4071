"""Every public function, and every method that takes arrays, as a call with arguments by name."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import conformance_calls
import numpy as np
from conformance_calls import ACCUMULATORS
from conformance_calls import CALLS as OF_EVERY_NAME
from public_calls import digest, taken

import fastcal as fc
from fastcal.calibrators.methods import CLASSES as CALIBRATORS


@functools.cache
def plain():
    """The arrays of the conformance suite, and which rows are right."""
    found = conformance_calls.plain()
    return {**found, "correct": found["y"] == 1}


class ChangedError(Exception):
    """A call that raised has changed what it was called on."""


class Call(NamedTuple):
    """``run`` takes arrays by name; ``parameters`` are the names that an error may speak of."""

    run: Callable[[Any], Any]
    parameters: tuple[str, ...]
    only: tuple[str, ...] = ()  # which arguments are changed (none said: all)


def parameters_of(*functions):
    return tuple(dict.fromkeys(name for one in functions for name in inspect.signature(one).parameters))


def function(name, run):
    """A public function; where weights are given besides, they alone are changed."""
    base, _, how = name.partition(", ")
    only = ("weights",) if how == "weighted" else ("z",) if how == "confidence" else ()
    named = parameters_of(getattr(fc, base))
    return Call(run, (*named, "sample_weight", "confidence") if "options" in named else named, only)


def unchanged(seen, state, run):
    """What ``run`` returns; where it raises, ``seen`` has to be as it was."""
    before = digest(state(seen))
    try:
        return run()
    except BaseException:
        if digest(state(seen)) != before:
            raise ChangedError from None
        raise


# accumulators


def update(kind, args, /, *, only=(), **options):
    """Rows added to an accumulator that has seen some, and what it then computes."""

    def add(seen, d):
        return seen.update(**{parameter: d[key] for parameter, key in args.items()})

    @functools.cache
    def first():
        return add(kind(**options), plain()).to_bytes()

    def run(d):
        seen = kind.from_bytes(first())
        unchanged(seen, kind.to_bytes, lambda: add(seen, d))
        return seen.compute()

    return Call(run, parameters_of(kind.update), only)


LABELLED = {"y_true": "labels", "y_prob": "probs"}
WEIGHTED = {**LABELLED, "sample_weight": "weights"}
BINARY = {"y_true": "y", "y_prob": "p"}
FROM_LOGITS = {"y_true": "labels", "y_prob": "logits"}
SCORED = {"y_true": "y", "score": "z", "sample_weight": "weights"}


def updates():
    found = {}
    for name in ACCUMULATORS:
        kind = getattr(fc, name)
        found[f"{name}.update"] = update(kind, WEIGHTED)
        found[f"{name}.update, binary"] = update(kind, BINARY)
        found[f"{name}.update, logits"] = update(kind, FROM_LOGITS, from_logits=True)
    for name in ("RankingAccumulator", "IsotonicAccumulator"):
        found[f"{name}.update"] = update(getattr(fc, name), SCORED)
    found["Evaluation.update, groups"] = update(
        fc.Evaluation, {**LABELLED, "groups": "groups"}, only=("groups",), groups=True
    )
    found["SelectiveAccumulator.update, confidence"] = update(
        fc.SelectiveAccumulator, {**LABELLED, "confidence": "z"}, only=("z",)
    )
    members = {"y_true": "labels", "members": "members", "weights": "member_weights"}
    found["UncertaintyAccumulator.update"] = update(fc.UncertaintyAccumulator, members)
    found["UncertaintyAccumulator.update_measures"] = Call(
        _measures, ("energy", *parameters_of(fc.UncertaintyAccumulator.update_measures))
    )
    found["IsotonicAccumulator.refined"] = Call(
        lambda d: second_look(fc.IsotonicAccumulator, "z", d).mean, ("batches", *SCORED)
    )
    found["IsotonicRefinement.update"] = Call(refinement, parameters_of(fc.IsotonicRefinement.update))
    found["OrderAccumulator.refined"] = Call(partial(second_look, fc.OrderAccumulator, "p"), ("batches", *BINARY))
    return found


def _measures(d):
    seen = fc.UncertaintyAccumulator().update_measures({"energy": plain()["measure"]})
    add = partial(seen.update_measures, {"energy": d["measure"]}, correct=d["correct"])
    return unchanged(seen, fc.UncertaintyAccumulator.to_bytes, add).compute()


@functools.cache
def many():
    """More distinct scores than there are cells, so that a second look is needed."""
    rng = np.random.default_rng(3)
    p = rng.random(3000)
    return (rng.random(3000) < p).astype(np.int64), p


def first_look(kind, scores):
    return kind(n_cells=1024).update(*many()).update(plain()["y"], plain()[scores])


def second_look(kind, scores, d):
    seen = first_look(kind, scores)
    return unchanged(seen, kind.to_bytes, lambda: seen.refined([many(), (d["y"], d[scores])]))


def refinement(d):
    second = fc.IsotonicRefinement(first_look(fc.IsotonicAccumulator, "z")).update(*many())
    unchanged(second, pickle.dumps, lambda: second.update(d["y"], d["z"]))
    return second.compute().mean


# calibrators


def fitted_to(one):
    """What a fit found; ``f_`` interpolates between what is beside it."""
    return {key: value for key, value in vars(one).items() if key.endswith("_") and key != "f_"}


@functools.cache
def _fitted(kind, **options):
    d = plain()
    scores = "z" if kind is fc.IsotonicRegression else taken(kind.__name__)
    return kind(**options).fit(d[scores], d["y" if scores == "z" else "labels"])


def fit(kind, args, verb="fit", /, *, only=(), **options):
    """Fitted again."""

    def run(d):
        one = copy.copy(_fitted(kind, **options))
        given = [d[key] for key in args]
        call = partial(one.fit_batches, [tuple(given)]) if verb == "fit_batches" else partial(one.fit, *given)
        return fitted_to(unchanged(one, fitted_to, call))

    more = ("y", "sample_weight", "scores", "X", "y_true", "score")
    return Call(run, (*parameters_of(getattr(kind, verb)), *(more if verb == "fit_batches" else ())), only)


def ask(kind, verb, args, /, **options):
    """A fitted calibrator asked."""

    def run(d):
        return getattr(_fitted(kind, **options), verb)(*(d[key] for key in args))

    return Call(run, parameters_of(getattr(kind, verb)))


def fits():
    found = {}
    for name, kind in ((name, getattr(fc, name)) for name in CALIBRATORS):
        scores = taken(name)
        weighted = (scores, "labels") if name == "VennAbers" else (scores, "labels", "weights")
        clip = {"clip": 1e-3} if "clip" in kind._parameters() else {}
        options = {"input": scores, **clip}
        found[f"{name}.fit"] = fit(kind, weighted, **options)
        found[f"{name}.fit_batches"] = fit(kind, weighted, "fit_batches", **options)
        for verb in ("predict_proba", "predict"):
            found[f"{name}.{verb}"] = ask(kind, verb, (scores,), **options)
        found[f"{name}.score"] = ask(kind, "score", weighted, **options)
    found["VennAbers.predict_interval"] = ask(fc.VennAbers, "predict_interval", ("probs",), input="probs")
    kind, clip = fc.IsotonicRegression, {"out_of_bounds": "clip"}
    found["IsotonicRegression.fit"] = fit(kind, ("z", "y", "weights"), **clip)
    found["IsotonicRegression.fit_batches"] = fit(kind, ("z", "y", "weights"), "fit_batches", **clip)
    for verb in ("predict", "transform"):
        found[f"IsotonicRegression.{verb}"] = ask(kind, verb, ("z",), **clip)
    found["IsotonicRegression.score"] = ask(kind, "score", ("z", "y", "weights"), **clip)
    found["IsotonicRegression.fit_transform"] = Call(
        lambda d: kind(**clip).fit_transform(d["z"], d["y"], d["weights"]), parameters_of(kind.fit_transform)
    )
    return found


METHODS = set(ACCUMULATORS) | set(CALIBRATORS) | {"RankingAccumulator", "IsotonicAccumulator", "IsotonicRegression"}
BY_METHOD = METHODS | {"Evaluation, groups", "UncertaintyAccumulator", "TemperatureScaling, batches"}
CALLS = {
    **{name: function(name, run) for name, run in OF_EVERY_NAME.items() if name not in BY_METHOD},
    **updates(),
    **fits(),
}


class Asked(dict):
    """Arrays by name, which notes what is asked for."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.asked = []

    def __getitem__(self, name):
        self.asked.append(name)
        return super().__getitem__(name)


@functools.cache
def arguments(name):
    """The arrays that a call takes."""
    seen = Asked(plain())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        CALLS[name].run(seen)
    return tuple(dict.fromkeys(seen.asked))
