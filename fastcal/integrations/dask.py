"""Evaluations and calibrator fits on a Dask cluster: one state a task, merged as a tree, the bits of one process.

A task reads its rows, or is given them, and returns a state of some hundred kilobytes; only states travel. Which worker
did what, in which order, and how often a lost one's tasks were done again shows in no bit of an unweighted result.

Arrays, in blocks along rows (of unknown sizes, too)::

    import dask.array as da
    from fastcal.integrations.dask import evaluate, fit

    report = evaluate((da.from_zarr("labels.zarr"), da.from_zarr("logits.zarr")), from_logits=True).compute()
    report["ece"], report["intervals"].accuracy

Tables, by the names of their columns, bags of batches or records, and files that the workers read themselves::

    evaluate(dd.read_parquet("run/"), probs=[f"p{k}" for k in range(10)], labels="label", groups="language")
    evaluate(bag_of_pairs)
    evaluate(sorted(Path("run").glob("*.parquet")), logits="logits")

Calibrators, whose fitted attributes have the bits of a fit in one process::

    fit(fc.TemperatureScaling(), (labels, logits)).temperature_
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

from ..accumulators.evaluation import Evaluation
from ..dumps import DumpError
from ..runs import Task
from ..runs.tasks import numbers_rows
from .dask_cluster import ClusterError, run_on_cluster
from .dask_fit import fit
from .dask_sources import Part, Source, library, parts_of
from .dask_states import Failed, counted, finished, tree

__all__ = ["ClusterError", "evaluate", "fit", "run_on_cluster"]


def evaluate(
    source: Any,
    *,
    logits: Any = None,
    probs: Any = None,
    labels: Any = None,
    weights: Any = None,
    groups: Any = None,
    accumulator: Any = None,
    split_every: int = 8,
    lazy: bool = False,
    **options: Any,
) -> Any:
    """All rows of ``source`` through an accumulator, on the default Dask scheduler; returns the accumulator.

    ``source``: (y_true, y_prob) or (y_true, y_prob, sample_weight), Dask arrays (N,) and (N,) or (N, K) (blocks of
    columns are put together), with ``weights`` and ``groups`` arrays (N,); a Dask DataFrame, with ``probs`` or
    ``logits`` naming a column of numbers or of lists, or a list of columns, one a class, ``labels`` ("label" by
    default), ``weights`` and ``groups`` naming one; a Dask bag of records (dictionaries, one a row) with such names, or
    of batches (y_true, y_prob[, sample_weight[, groups]]), with ``groups=True`` where they have them; or paths, as
    :func:`fastcal.read_batches` takes them, which have to be readable by the workers.

    ``accumulator``: an ``Evaluation``, or any other that can be merged and has ``update(y_true, y_prob)``; what it
    holds is added to in the new one that is returned. Else ``options`` are those of :class:`fastcal.Evaluation`.
    ``split_every``: states merged by a task. ``lazy=True`` returns a Delayed of the accumulator. Tasks use one thread
    each unless the accumulator was made with ``n_threads``.

    Without weights the result has the bits of one process, whatever the parts. For ``bootstrap``, which numbers rows,
    those of parts of unknown size are counted first, at once.

    Raises the first of the errors in the order of the rows, when all parts were tried: DataError naming the argument,
    the place and the value, after "partition 3:" where nobody knows how many rows lie before; DumpError for files,
    and for files without rows; ValueError and TypeError for names and sources that are none.
    """
    if isinstance(split_every, bool) or not isinstance(split_every, int) or split_every < 2:
        raise ValueError(f"split_every is {split_every!r}; expected an integer of at least 2")
    given = parts_of(source, logits, probs, labels, weights, groups)
    if accumulator is None:
        said = given.from_logits
        if said is not None and options.setdefault("from_logits", said) != said:
            raise ValueError("from_logits contradicts the name of the scores")
        options.setdefault("groups", given.has_groups)
        accumulator = Evaluation(**options)
    elif options:
        raise ValueError(f"{min(options)} is an option of the accumulator, which is given")
    template = accumulator.empty(accumulator._n_threads)
    parts = _numbered(given) if numbers_rows(template) else given.parts
    result = library().delayed(finished, pure=False)(accumulator, tree(template, parts, split_every))
    if lazy:
        return result
    found = result.compute()
    if given.from_files and found.is_empty:
        raise DumpError("no rows")
    return found


def _numbered(source: Source) -> list[Part]:
    """The parts, each with the number of its first row."""
    dask = library()
    sizes: list[Any] = [part.n_rows for part in source.parts]
    unknown = [i for i, size in enumerate(sizes) if size is None]
    count = dask.delayed(counted, pure=False)
    for i, size in zip(unknown, dask.compute(*(count(source.parts[i].sent) for i in unknown)), strict=True):
        if isinstance(size, Failed):
            raise size.error
        sizes[i] = size
    first_rows = accumulate([0, *sizes])
    return [_from_row(part, first_row) for part, first_row in zip(source.parts, first_rows, strict=False)]


def _from_row(part: Part, first_row: int) -> Part:
    given = tuple(one.from_row(first_row) if isinstance(one, Task) else one for one in part.given)
    return replace(part, place=replace(part.place, first_row=first_row), given=given)
