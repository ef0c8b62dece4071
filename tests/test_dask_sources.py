"""Every source of rows on a cluster: Dask's arrays, tables and bags, and what is wrong with some."""

from __future__ import annotations

from itertools import pairwise

import dask_dumps
import numpy as np
import pytest
from few import LABELS, ROWS, N

import fastcal as fc
from fastcal.arrays import DataError
from fastcal.integrations.dask import evaluate

dask = pytest.importorskip("dask", reason='needs Dask: install "fastcal[bench]"')
da, db = pytest.importorskip("dask.array"), pytest.importorskip("dask.bag")

WHOLE = np.arange(1, N + 1) % 4  # weights
GROUPS = np.array(["a", "b", "c"])[np.arange(N) % 3]


@pytest.fixture(autouse=True)
def here():
    """Tasks in this thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


def arrays(*chunks, given=(LABELS, ROWS)):
    return tuple(da.from_array(array, chunks=size) for array, size in zip(given, chunks, strict=True))


def in_one(labels=LABELS, rows=ROWS, options=None, **more):
    return fc.Evaluation(**(options or {})).update(labels, rows, **more).to_bytes()


def test_blocks_of_unknown_rows():
    keep = LABELS >= 0
    source = arrays(N // 4, (N // 4, 3))
    unknown = tuple(array[da.from_array(keep, chunks=N // 4)] for array in source)
    assert evaluate(unknown, bootstrap=3).to_bytes() == in_one(options={"bootstrap": 3})
    other = arrays(N // 2, (N // 2, 3))[0][da.from_array(keep, chunks=N // 2)]
    with pytest.raises(DataError, match="y_true has 2 blocks of unknown rows, y_prob 4; say compute_chunk_sizes"):
        evaluate((other, unknown[1]))


def test_a_lazy_evaluation_and_what_an_accumulator_held_before():
    first, half = N // 2, fc.Evaluation(n_bins=4).update(LABELS[: N // 2], ROWS[: N // 2])
    before = half.to_bytes()
    rest = arrays(50, (50, 3), given=(LABELS[first:], ROWS[first:]))
    lazy = evaluate(rest, accumulator=half, lazy=True)
    assert dask.is_dask_collection(lazy)
    assert lazy.compute().to_bytes() == in_one(options={"n_bins": 4})
    assert half.to_bytes() == before
    assert evaluate(arrays((0,), ((0,), 2), given=(LABELS[:0], ROWS[:0, :2]))).is_empty


def test_other_accumulators():
    scores = ROWS[:, 0]
    source = arrays(N // 3, N // 4, given=(LABELS == 0, scores))
    for made in (fc.RankingAccumulator, fc.SelectiveAccumulator, fc.IsotonicAccumulator, fc.ReliabilityAccumulator):
        assert evaluate(source, accumulator=made()).to_bytes() == made().update(LABELS == 0, scores).to_bytes()
    members = np.stack([ROWS, ROWS[::-1]])
    batches = [(LABELS[i::3], members[:, i::3]) for i in range(3)]
    one = fc.UncertaintyAccumulator()
    for labels, some in batches:
        one.update(labels, some)
    many = evaluate(db.from_sequence(batches, npartitions=2), accumulator=fc.UncertaintyAccumulator())
    assert many.to_bytes() == one.to_bytes()


# --- tables and bags ------------------------------------------------------------------------------------------------


def frame(n_partitions=4, **columns):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    given = {"label": LABELS, "w": WHOLE, "part": GROUPS, **{f"p{k}": ROWS[:, k] for k in range(3)}, **columns}
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_pandas(pd.DataFrame(given), npartitions=n_partitions)


CLASSES = ["p0", "p1", "p2"]


def test_tables_of_one_column_a_class_or_of_lists():
    table = frame(rows=list(ROWS))
    assert evaluate(table, probs=CLASSES, bootstrap=2).to_bytes() == in_one(options={"bootstrap": 2})
    expected = in_one(options={"groups": True}, sample_weight=WHOLE, groups=GROUPS)
    assert evaluate(table, probs="rows", weights="w", groups="part").to_bytes() == expected
    empty = table[table.label > 5]
    assert evaluate(empty, probs="rows").is_empty
    some = table.partitions[0]
    concatenated = pytest.importorskip("dask.dataframe").concat([some[some.label > 5], table])
    assert evaluate(concatenated, probs="rows").to_bytes() == in_one()


def test_bags_of_batches_and_of_records():
    cuts = [0, 5, 5, N // 2, N]
    pairs = [(LABELS[a:b], ROWS[a:b]) for a, b in pairwise(cuts)]
    assert evaluate(db.from_sequence(pairs, npartitions=3)).to_bytes() == in_one()
    whole = [(*pair, WHOLE[a:b], GROUPS[a:b]) for pair, a, b in zip(pairs, cuts, cuts[1:], strict=False)]
    expected = in_one(options={"groups": True}, sample_weight=WHOLE, groups=GROUPS)
    assert evaluate(db.from_sequence(whole, npartitions=2), groups=True).to_bytes() == expected
    records = [{"y": int(y), "p": row.tolist(), "w": int(w)} for y, row, w in zip(LABELS, ROWS, WHOLE, strict=True)]
    bag = db.from_sequence(records, npartitions=4)
    assert evaluate(bag, probs="p", labels="y", weights="w").to_bytes() == in_one(sample_weight=WHOLE)
    flat = [
        {"label": int(y), **dict(zip(CLASSES, row.tolist(), strict=True))} for y, row in zip(LABELS, ROWS, strict=True)
    ]
    assert evaluate(db.from_sequence(flat, npartitions=3), probs=CLASSES).to_bytes() == in_one()
    binary = [{"label": int(y == 0), "p": float(p)} for y, p in zip(LABELS, ROWS[:, 0], strict=True)]
    assert evaluate(db.from_sequence(binary, npartitions=2), probs="p").to_bytes() == in_one(LABELS == 0, ROWS[:, 0])


# --- errors ----------------------------------------------------------------------------------------------------------

BAD = np.where(np.arange(N)[:, None] == N - 2, 1.2, ROWS)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: arrays(9, (9, 3), given=(LABELS, BAD)), {}, rf"^y_prob\[{N - 2}, 0\] is 1.2; probabilities lie in"),
        (lambda: arrays(9, (9, 3), given=(LABELS + 1, ROWS)), {}, r"^y_true\[\d+\] is 3"),
        (lambda: arrays(9, (9, 3), given=(LABELS[1:], ROWS)), {}, rf"^y_true has {N - 1} rows, y_prob {N}"),
        (lambda: arrays((9, 3), 9, given=(ROWS, LABELS)), {}, r"^y_true has shape"),
        (lambda: arrays(9, (9, 3)), {"groups": GROUPS[1:]}, "^groups has"),
        (lambda: arrays(9, (9, 3)), {"probs": "probs"}, "^arrays have no names"),
        (lambda: arrays(9, (9, 3)), {"split_every": 1}, "^split_every is 1; expected"),
        (lambda: arrays(9, (9, 3)), {"accumulator": fc.Evaluation(), "n_bins": 3}, "^n_bins is an option of the acc"),
        (lambda: (*arrays(9, (9, 3)), WHOLE), {"weights": WHOLE}, "^source is a tuple; expected"),
        (lambda: arrays(9, (9, 3)), {"accumulator": fc.Evaluation(groups=True)}, "groups this Evaluation"),
        (frame, {}, "^say probs= or logits="),
        (frame, {"probs": "q"}, "^the DataFrame has no column 'q'; it has label, w, part"),
        (frame, {"probs": CLASSES, "logits": "p0"}, "^logits and probs are both given"),
        (frame, {"probs": CLASSES, "from_logits": True}, "^from_logits contradicts"),
        (lambda: frame(2, p1=BAD[:, 0]), {"probs": CLASSES}, r"^partition 0: y_prob\[0\]"),
        (
            lambda: frame(2, label=np.where(np.arange(N) == N - 1, 7, 0)),
            {"probs": CLASSES},
            r"^partition 1: label\[\d+\] is",
        ),
        (
            lambda: frame(3, rows=[list(row)[: 3 - (i == 1)] for i, row in enumerate(ROWS)]),
            {"probs": "rows"},
            r"^partition 0: rows\[1\] has 2 values; the rows before have 3",
        ),
        (
            lambda: db.from_sequence([{"y": 1}], npartitions=1),
            {"probs": "p"},
            r"^partition 0: p\[0\] is missing; the record has y",
        ),
        (lambda: db.from_sequence([{"y": 1}], npartitions=1), {}, "^say probs= or logits="),
    ],
)
def test_wrong_input_is_named(source, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(source(), **options)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: 5, {}, "^source is a int; expected"),
        (lambda: [], {}, "^source is a list; expected"),
        (
            lambda: db.from_sequence([1, 2], npartitions=1),
            {},
            "^partition 0: the bag holds a int; expected a record, or",
        ),
        (
            lambda: frame(rows=[str(row) for row in ROWS]),
            {"probs": "rows"},
            "^partition 0: rows holds text, .*dataframe.convert-string",
        ),
        (frame, {"probs": {}}, "^the name of scores is"),
        (lambda: ["a.npz", dask_dumps.HeldDump], {}, "^source is a list"),
        (lambda: frame(p0=np.array(["x"] * N, object)), {"probs": "p0"}, "^partition 0: p0 holds text"),
    ],
)
def test_wrong_types_are_named(source, options, message):
    with pytest.raises(TypeError, match=message):
        evaluate(source(), **options)
