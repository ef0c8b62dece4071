"""``fastcal fit``: a calibrator from dumps."""

from __future__ import annotations

import json as js
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .output import one_line_errors, progress, write_json
from .stopping import stoppable

if TYPE_CHECKING:
    from ..calibrators.base import Calibrator

SHOWN = ("nll", "ece", "brier")
# Set by options of their own, or by the dumps.
NOT_SET = ("classes", "input", "n_threads")


def fit(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="temperature, vector, isotonic, ...")],
    dumps: options.Dumps,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write the calibrator.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the method; may be repeated."),
    ] = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    threads: options.Threads = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit a calibrator to labelled dumps and write it to a file, for `fastcal apply` and fastcal.load_calibrator.

    Methods: temperature, ensemble-temperature, vector, matrix, dirichlet, platt, beta, histogram, isotonic, bbq,
    venn-abers. They take logits and probabilities alike, as the dumps have them; where a method needs logarithms,
    probabilities below 2^-25 count as that (--set clip=NUMBER for another least one, --set clip=none for none).
    Figures before and after are of the fitted rows themselves: those of new rows will be worse.
    """
    with one_line_errors():
        from ..arrays import DataError
        from ..calibrators.before_after import before_after
        from ..calibrators.methods import METHODS, class_of
        from ..dumps import DumpError, Roles, open_dumps
        from ..dumps.atomic import destination
        from ..dumps.labels import class_names
        from ..dumps.located import LocatedReader
        from .running import check_apart, check_places

        if method not in METHODS:
            raise DumpError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
        place = destination(output)
        check_places(json)
        found = class_of(METHODS[method])
        parameters = parsed(settings or [], method, found)
        names = class_names(classes)
        sources = open_dumps(dumps, Roles(logits, probs, labels, weights, None, names, ignore_index))
        check_apart([output, json], [file for source in sources for file in source.files])
        reader = LocatedReader(sources)
        made = calibrator_for(found, parameters, from_logits=reader.from_logits, threads=threads)
        with stoppable(), progress(quiet=quiet) as reader.on_rows, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                made.fit_batches(reader)
                figures = before_after(made, reader)
            except DataError as error:
                raise reader.located(error) from error
        if names is not None:
            name_classes(made, names)
        made.save(place)
        said = list(dict.fromkeys(str(one.message) for one in caught))
        for line in said:
            print(f"fastcal: {' '.join(line.split())}", file=sys.stderr)
        if json is not None:
            write_json(json, as_json(method, made, figures, said))
        if str(json) != "-":
            show(method, made, figures, output)


def parsed(given: list[str], method: str, found: type[Calibrator]) -> dict[str, Any]:
    """Parameters of a method from NAME=VALUE; ValueError for one that it does not have."""
    from ..calibrators.methods import parameters_of

    known = [name for name in parameters_of(found) if name not in NOT_SET]
    parameters: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in known:
            what = f"{name!r} is no parameter of {method}" if equals else f"--set {one!r} is not NAME=VALUE"
            raise ValueError(f"{what}; it has {', '.join(known) or 'none'}")
        if name in parameters:
            raise ValueError(f"--set {name} is given twice")
        parameters[name] = value_of(text.strip())
    return parameters


def value_of(text: str) -> Any:
    """None, true or false, a number, numbers with commas between, or text: what it is spelt as."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    if "," in text:
        return tuple(value_of(part.strip()) for part in text.split(","))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def calibrator_for(
    found: type[Calibrator], parameters: dict[str, Any], *, from_logits: bool, threads: int | None
) -> Calibrator:
    """A calibrator of scores as the dumps have them; its parameters are found in order, or it raises ValueError."""
    from ..calibrators.methods import CLIP, checked, parameters_of

    given: dict[str, Any] = {"input": "logits" if from_logits else "probs", "n_threads": threads}
    if not from_logits and "clip" in parameters_of(found):
        given["clip"] = CLIP
    return checked(found(**{**given, **parameters}))


def name_classes(made: Calibrator, names: tuple[str, ...]) -> None:
    """Have a calibrator that was fitted to numbers of classes predict their names."""
    import numpy as np

    made.set_params(classes=names)
    made.classes_ = np.array(names)


def fitted_values(made: Calibrator) -> dict[str, Any]:
    """What was fitted, of that what is small: numbers, and arrays of up to 64."""
    import numpy as np

    found = {}
    for name in made.fitted:
        value = getattr(made, name)
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
        found[name] = value
    return found


def as_json(method: str, made: Calibrator, figures: dict[str, dict[str, Any]], said: list[str]) -> str:
    """The fit as JSON."""
    from ..accumulators.evaluation_report import strict

    parameters = {name: value for name, value in made.get_params().items() if name not in ("classes", "n_threads")}
    return js.dumps(
        strict(
            {
                "method": method,
                "class": type(made).__name__,
                "n_rows": made.n_rows_,
                "n_classes": made.n_classes_,
                "parameters": parameters,
                "fitted": fitted_values(made),
                "figures_of": "the fitted rows",
                **figures,
                "warnings": said,
            }
        ),
        indent=2,
        allow_nan=False,
    )


def show(method: str, made: Calibrator, figures: dict[str, dict[str, Any]], output: Path) -> None:
    """A short table."""
    from ..dumps.batches import shown

    what = "logits" if made.input == "logits" else "probabilities"
    print(f"{method} of {what}: {made.n_rows_:,} rows, {made.n_classes_} classes -> {shown(output)}")
    print(f"{'':12}{'before':>12}{'after':>12}")
    for name in SHOWN:
        print(f"{name:12}{figures['before'][name]:12.6f}{figures['after'][name]:12.6f}")
    print("figures of the fitted rows themselves; those of new rows will be worse")
    for name, value in fitted_values(made).items():
        if isinstance(value, int | float):
            print(f"{name:24}{value:.10g}")
