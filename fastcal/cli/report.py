"""``fastcal report``: figures and reliability bins of dumps."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from . import options
from .output import one_line_errors


def report(
    dumps: options.DumpsOrNone = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    groups: options.Groups = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    bins: options.Bins = None,
    convention: options.Convention = None,
    bootstrap: options.Bootstrap = None,
    nan_policy: options.NanPolicyOption = "raise",
    calibrator: options.CalibratorFile = None,
    threads: options.Threads = None,
    state: options.State = None,
    every: options.Every = 5.0,
    workers: options.Workers = None,
    dask: options.DaskAddress = None,
    html: options.Html = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
    sample: options.Sample = False,
) -> None:
    """Calibration report of a dump: figures and reliability bins.

    Arrays are found by name (logits, probs, labels) or by flag. In Parquet, scores are a list column, columns NAME_0,
    NAME_1, ... or a list of columns with commas between.
    """
    paths = options.named(dumps, sample=sample)
    with one_line_errors():
        from ..arrays import NanPolicy
        from ..calibrators.files import load_calibrator
        from ..dumps import Roles, open_dumps
        from ..dumps.labels import class_names
        from ..dumps.names import listed
        from .running import check_apart, check_named, check_places, finish, from_logits, looks_of, run_of

        check_named(html=html, state=state)
        check_places(html, json)
        asked = Roles(logits, probs, labels, weights, groups, class_names(classes), ignore_index)
        sources = open_dumps(paths, asked)
        check_apart(
            [html, json, state], [*(file for one in sources for file in one.files), *filter(None, [calibrator])]
        )
        settings = {
            "n_bins": bins,
            "convention": convention,
            "groups": groups is not None,
            "bootstrap": bootstrap,
            "from_logits": from_logits(sources),
            "nan_policy": cast(NanPolicy, nan_policy),
            "n_threads": threads,
        }
        looks = looks_of(settings, None if calibrator is None else load_calibrator(calibrator), page=html is not None)
        done = run_of(
            sources, looks, threads=threads, state=state, every=every, workers=workers, dask=dask, quiet=quiet
        )
        names = [str(Path(source.name)) for source in sources]
        title = "bundled sample: handwritten digits" if sample else listed(names)
        finish(done, title, settings, html=html, json=json)
