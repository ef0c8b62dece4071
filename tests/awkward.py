"""What comes of awkward input, in every public function: ``python -m tests.awkward --write`` writes tests/AWKWARD.md.

One argument of a call at a time takes each awkward form, or all of them together have other numbers of rows or classes.
An outcome is "as plain" (the bits that the plain array of the same numbers gives), "a value", "NaN", or an error and
what it says.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import awkward_page
import numpy as np
from awkward_calls import CALLS, arguments, plain
from awkward_forms import FORMS, KINDS, TOGETHER
from conformance_calls import N
from public_calls import digest

import fastcal as fc

HERE = Path(__file__).parent
RECORD, PAGE = HERE / "awkward.json", HERE / "AWKWARD.md"
AS_PLAIN, ROUNDED, VALUE, UNDEFINED = "as plain", "as plain, rounded", "a value", "NaN"
TOGETHER_KEY = "all arguments"
# Calls of many others: of the forms that are read as a plain array a few will do.
SLOW = ("cross_validate_calibrators", "confidence_interval")
FEW_FORMS = ("bool", "float32", "bfloat16", "strided", "lists")


def tried(name, arrays):
    """What a call answers, or the error that it ends in; no warning but that of a fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", fc.FitWarning)
        try:
            return CALLS[name].run(arrays)
        except Exception as error:  # which one is what is looked for
            return error


def has_nan(value):
    """Whether any figure of a result is NaN."""
    if isinstance(value, Exception | bytes | str):
        return False
    if isinstance(value, np.ndarray | np.generic | float):
        return np.asarray(value).dtype.kind == "f" and bool(np.isnan(value).any())
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(has_nan(one) for one in value)
    names = [n for n in dir(value) if not n.startswith("_") and not callable(getattr(value, n))]
    return any(has_nan(getattr(value, n)) for n in names if isinstance(getattr(value, n), float | np.ndarray))


def outcome_of(found, expected):
    """``found`` in words; ``expected``: what the plain array of the same numbers gives, None where there is none."""
    if isinstance(found, Exception):
        said = re.sub(r" at 0x[0-9a-f]+", "", str(found))  # where an object lies
        return f"{type(found).__name__}: {said}"
    if expected is not None and not isinstance(expected, Exception):
        if digest(found) == digest(expected):
            return AS_PLAIN
        if isinstance(found, np.ndarray) and digest(expected.astype(found.dtype)) == digest(found):
            return ROUNDED
    return UNDEFINED if has_nan(found) else VALUE


def frozen(value):
    """What would show if an input were written to."""
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype.kind != "O" else repr(value)


class WrittenTo(Exception):
    """An input that a call has changed."""


def with_form(name, key, form, likes):
    """The outcome of a call with one argument in a form; ``likes`` keeps what plain arrays give."""
    array = plain()[key]
    given = form.make(array)
    before = frozen(given)
    found = tried(name, {**plain(), key: given})
    if frozen(given) != before:
        found = WrittenTo(key)
    expected = None
    if form.like is not None and not isinstance(found, Exception):
        like = form.like(array)
        at = (like.dtype.str, like.tobytes())
        if at not in likes:
            likes[at] = tried(name, {**plain(), key: like})
        expected = likes[at]
    return outcome_of(found, expected)


def outcomes(name):
    """{argument: {form: outcome}} of a call."""
    found = {}
    taken = arguments(name)
    for key in CALLS[name].only or taken:
        array, kind = plain()[key], KINDS.get(key, "scores")
        likes = {}
        forms = {form: one for form, one in FORMS.items() if one.takes(kind, array) and one.installed}
        if name in SLOW:
            forms = {form: one for form, one in forms.items() if one.like is None or form in FEW_FORMS}
        found[key] = {form: with_form(name, key, one, likes) for form, one in forms.items()}
    if not CALLS[name].only:
        arrays = plain()
        found[TOGETHER_KEY] = {
            form: outcome_of(tried(name, {key: cut(key, arrays[key]) for key in arrays}), None)
            for form, cut in TOGETHER.items()
        }
    return found


# the record


def recorded():
    """What tests/awkward.json holds: {call: {argument: {form: outcome}}}."""
    held = json.loads(RECORD.read_text())
    names, said = held["forms"], held["outcomes"]
    return {
        call: {
            key: {names[form]: said[at] for form, at in enumerate(places) if at is not None}
            for key, places in of_call.items()
        }
        for call, of_call in held["calls"].items()
    }


def record_of(found):
    """The same as text: outcomes are numbered, and stand in the order of the forms."""
    names = [*FORMS, *TOGETHER]
    said = sorted({outcome for call in found.values() for forms in call.values() for outcome in forms.values()})
    number = {outcome: at for at, outcome in enumerate(said)}
    calls = {
        call: {key: [number.get(forms.get(form)) for form in names] for key, forms in of_call.items()}
        for call, of_call in found.items()
    }
    lines = [f"{json.dumps(call)}: {json.dumps(places)}" for call, places in calls.items()]
    listed = ",\n".join(json.dumps(outcome) for outcome in said)
    held = ",\n".join(lines)
    return f'{{"forms": {json.dumps(names)},\n"outcomes": [\n{listed}\n],\n"calls": {{\n{held}\n}}}}\n'


# rules

RELATIONS = re.compile(r"has shape|is empty|leaves no row|has no rows|holds (no|\d+) (row|label)|classes; those")
# Errors that name no argument: of a file that is no file, and of a second look at other rows than the first.
OF_A_FILE = "DumpError: word does not exist"
OF_TWO_LOOKS = ("these are not the rows of the first look", "the second look saw other rows")
NEVER_LABELS = ("NaN", "+inf", "-inf", "complex", "text", "objects and None", "structured", "ragged lists", "a word")
NEVER_WEIGHTS = (*NEVER_LABELS, "-1", "a row too few", "a row too many", "empty", "an axis more", "no axis")
# Of labels that stand for classes, and of probabilities that no kernel takes as they are.
NEVER_CLASSES = (*NEVER_LABELS, "-1", "one past the last", "2**64 - 1", "0.5", "one-hot rows")
NEVER_PROBABILITIES = ("+inf", "-inf", "1.2", "-0.1", "1e308", "a row that sums to 1.1", "complex", "text", "objects")


def parameters(name):
    """What an error of a call may name."""
    return CALLS[name].parameters


def is_error(outcome):
    return re.match(r"\w+: ", outcome) is not None


def breaches(name, found):
    """What of the outcomes of a call breaks a rule that holds for all of them."""
    for key, forms in found.items():
        own = own_name(forms)
        for form, outcome in forms.items():
            if is_error(outcome):
                kind, _, said = outcome.partition(": ")
                words = re.findall(r"[A-Za-z_]\w*", said)
                if kind not in ("TypeError", "ValueError", "DataError") and outcome != OF_A_FILE:
                    yield f"{key}, {form}: {outcome}"
                elif outcome != OF_A_FILE and not said.startswith(OF_TWO_LOOKS):
                    named = own in words if own and not RELATIONS.search(said) else set(words) & set(parameters(name))
                    if not named:
                        yield f"{key}, {form}: names no argument: {outcome}"
            elif form in FORMS and FORMS[form].like is not None and outcome not in (AS_PLAIN, ROUNDED):
                yield f"{key}, {form}: read as another array: {outcome}"
            elif form in never(name, key) and outcome != UNDEFINED:
                yield f"{key}, {form}: is answered with {outcome}"


def own_name(forms):
    """The name of an argument: the one that is named where it holds complex numbers."""
    word = re.match(r"TypeError: (\w+)", forms.get("complex", ""))
    return word and word[1]


def never(name, key):
    """Forms that a call may not take for a number: it raises, or says NaN."""
    kind = KINDS.get(key)
    if kind == "weights":
        return NEVER_WEIGHTS
    if kind == "labels":
        return NEVER_LABELS if name.startswith("Isotonic") else NEVER_CLASSES
    if key in ("probs", "p", "members", "other") and name != "isotonic_regression":
        return NEVER_PROBABILITIES
    return ()


@functools.cache
def all_outcomes():
    return {name: outcomes(name) for name in CALLS}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.awkward", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write tests/AWKWARD.md and tests/awkward.json")
    chosen = parser.parse_args(argv)
    missing = sorted({one.needs for one in FORMS.values() if not one.installed})
    if missing:
        parser.error(f"needs {', '.join(missing)}")
    found = all_outcomes()
    broken = [f"{name}: {one}" for name, forms in found.items() for one in breaches(name, forms)]
    print(*broken, sep="\n")
    if chosen.write and not broken:
        RECORD.write_text(record_of(found))
        PAGE.write_text(awkward_page.page(found, parameters, N))
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
