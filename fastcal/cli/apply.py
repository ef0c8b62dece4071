"""``fastcal apply``: dumps again, with calibrated probabilities added."""

from __future__ import annotations

import glob
import json as js
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import one_line_errors, progress, write_json
from .stopping import stoppable

if TYPE_CHECKING:
    from ..calibrators.base import Calibrator
    from ..dumps import Dump
    from ..dumps.adding import Addition


def apply(
    calibrator: Annotated[Path, typer.Argument(metavar="CALIBRATOR", help="A file that `fastcal fit` wrote.")],
    dumps: options.Dumps,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="A file; without a suffix, or for several dumps, a folder."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the addition is called.")] = "probs_calibrated",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace arrays or columns of that name.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    logits: options.Logits = None,
    probs: options.Probs = None,
    threads: options.Threads = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> None:
    """Write dumps again, as they are, with calibrated probabilities added beside the scores.

    Parquet, Arrow and Feather, .npz and .safetensors, CSV and TSV, JSON lines and samples of lm-evaluation-harness keep
    their format and all that is in them. Of .npy files a .npy of calibrated probabilities is written. Labels are not
    needed. Every file appears whole or not at all; none is written before all were found to fit the calibrator.
    """
    with one_line_errors():
        from ..calibrators.files import load_calibrator
        from ..calibrators.methods import checked
        from ..dumps import Roles, open_dumps
        from ..dumps.adding import Addition, add
        from ..dumps.atomic import new_folders

        fitted = load_calibrator(calibrator)
        if threads is not None:
            checked(fitted.set_params(n_threads=threads))
        check_name(name)
        sources = [as_wide(source, fitted) for source in open_dumps(dumps, Roles(logits, probs, need_labels=False))]
        for source in sources:
            check_kind(source, fitted, calibrator)
        places = destinations(sources, dumps, output, name)
        check_outputs(sources, places, output, calibrator, json, force=force)
        addition = Addition(name, fitted.predict_proba, overwrite)
        for source in sources:
            check_rows(source, addition)
        written = []
        folders = new_folders([place.parent for place in places if place != output])
        with stoppable(), progress(quiet=quiet) as on_rows, folders:
            addition = Addition(name, fitted.predict_proba, overwrite, on_rows)
            for source, place in zip(sources, places, strict=True):
                rows = add(source, place, addition, replace=force)
                written.append({"dump": source.name, "output": str(place), "rows": rows})
        if json is not None:
            write_json(json, js.dumps({"calibrator": str(calibrator), "name": name, "written": written}))
        if str(json) != "-":
            from ..dumps.batches import shown

            for one in written:
                print(f"{shown(one['output'])}: {one['rows']:,} rows, {shown(name)} added")


def check_name(name: str) -> None:
    """Raise ValueError for a name that is none in some format."""
    if not name or not name.isprintable() or any(character in name for character in "/\\\"',") or name.startswith("."):
        raise ValueError(f"--name is {name!r}; expected a name without quotes, commas, slashes and control characters")


def as_wide(source: Dump, fitted: Calibrator) -> Dump:
    """Samples, whose rows have as many choices as they have, with as many columns as the calibrator has classes."""
    if getattr(source, "n_columns", fitted.n_features_in_) >= fitted.n_features_in_:
        return source
    wide: Dump = source.with_columns(fitted.n_features_in_)  # type: ignore[attr-defined]
    return wide


def check_kind(source: Dump, fitted: Calibrator, path: Path) -> None:
    """Raise ValueError for logits where probabilities were fitted, and the other way round."""
    kinds = {True: "logits", False: "probabilities"}
    fitted_to = (fitted.input or fitted.default_input) == "logits"
    if source.roles.from_logits != fitted_to:
        raise ValueError(f"{source.name} holds {kinds[not fitted_to]}, {path} was fitted to {kinds[fitted_to]}")


def check_rows(source: Dump, addition: Addition) -> None:
    """Raise ValueError for scores of other classes than the calibrator's: the first rows tell."""
    with closing(source.batches()) as batches:
        for batch in batches:
            addition.of(batch.scores[:1], source, 0)
            return


def destinations(sources: list[Dump], given: list[Path], output: Path, name: str) -> list[Path]:
    """Where each dump goes: to OUT, or below it where OUT is a folder; raises ValueError where two go to one place."""
    from ..dumps.adding import KINDS, source_of, suffix_of

    several = len(sources) > 1 or any(path.is_dir() or is_pattern(path) for path in given)
    if several and output.is_file():
        raise ValueError(f"{output} is a file; several dumps go to a folder")
    into = several or output.is_dir() or not output.suffix
    places: list[Path] = []
    for source in sources:
        file = source_of(source)
        suffix = suffix_of(file)
        if suffix not in KINDS:
            raise ValueError(f"{file} is of no format that apply writes: {', '.join(KINDS)}")
        place = output
        if into:
            relative = below(file, given)
            place = output / (
                relative.with_name(array_name(file, source.roles.scores, name)) if suffix == ".npy" else relative
            )
        elif not same_format(suffix, suffix_of(output)):
            raise ValueError(f"{output} has to end in {suffix}, as {file} does: its format is kept")
        places.append(place)
    seen: set[Path] = set()
    for place in places:
        if place in seen:
            raise ValueError(f"two of the dumps would go to {place}; apply to them apart")
        seen.add(place)
    return places


def same_format(one: str, other: str) -> bool:
    """Whether two suffixes are of one format."""
    alike = ({".parquet", ".pq"}, {".arrow", ".feather", ".ipc"}, {".jsonl", ".ndjson", ".json"})
    return one == other or any({one, other} <= group for group in alike)


def is_pattern(path: Path) -> bool:
    """Whether a path stands for those that it matches."""
    return glob.has_magic(str(path)) and not path.exists()


def roots(given: list[Path]) -> Iterator[Path]:
    """The folders that files are below of: those given, and what stands before a pattern's first wildcard."""
    for path in given:
        if is_pattern(path):
            fixed = [
                part for part, before in zip(path.parts, prefixes(path), strict=True) if not glob.has_magic(before)
            ]
            yield Path(*fixed)
        elif path.is_dir():
            yield path


def prefixes(path: Path) -> list[str]:
    """A path up to its first part, its second, ..."""
    return [str(Path(*path.parts[: k + 1])) for k in range(len(path.parts))]


def below(file: Path, given: list[Path]) -> Path:
    """A file's path below the folder or pattern that it was found by; its name alone for one given by itself."""
    if file in given:
        return Path(file.name)
    found = [file.relative_to(root) for root in roots(given) if file.is_relative_to(root)]
    return min(found, key=lambda path: len(path.parts), default=Path(file.name))


def array_name(file: Path, scores: str, name: str) -> str:
    """``val_logits.npy`` becomes ``val_probs_calibrated.npy``: it holds no logits."""
    stem = file.stem
    return f"{stem[: len(stem) - len(scores)]}{name}.npy" if stem.endswith(scores) else f"{stem}_{name}.npy"


def check_outputs(
    sources: list[Dump], places: list[Path], output: Path, calibrator: Path, json: Path | None, *, force: bool
) -> None:
    """Raise OSError or ValueError for a place that may not be written to, before any is."""
    from ..dumps.atomic import check_named, destination
    from .running import check_apart, check_places

    check_named(output)
    check_places(json)
    check_apart([*places, json], [*(file for source in sources for file in source.files), calibrator])
    for place in places:
        if place != output and not place.parent.resolve().is_relative_to(output.resolve()):
            raise ValueError(
                f"{place.parent} is a link out of {output}, and links to elsewhere are not written through"
            )
        if place.parent.is_dir() or place == output:
            destination(place, replace=force)
