"""Every format that holds the same arrays gives the same rows: whole, in pieces, on threads, from any row on."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from fastcal.dumps import DumpError, Roles, arrow, aside, batches, npz, open_dumps, parquet, stored, turning
from fastcal.dumps.labels import class_names

pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need the io extra")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

RNG = np.random.default_rng(81)
N, K = 700, 9
LOGITS = (RNG.standard_normal((N, K)) * 3).astype(np.float32)
LABELS = RNG.integers(0, K, N)
WEIGHTS = RNG.random(N)
NAMES = [f"class {k}" for k in range(K)]
SLICES = np.array(["one", "two", "three"])[RNG.integers(0, 3, N)]
ASKED = Roles(weights="weights", groups="slices")


def table(scores=LOGITS, *, a_class=False, labels=LABELS, kind="fixed", slices=SLICES):
    flat = pa.array(scores.ravel())
    offsets = np.arange(0, scores.size + 1, scores.shape[1])
    columns = {"labels": pa.array(labels), "weights": WEIGHTS, "slices": pa.array(slices)}
    if a_class:
        columns |= {f"logits_{k}": pa.array(scores[:, k]) for k in range(scores.shape[1])}
    elif kind == "fixed":
        columns["logits"] = pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])
    elif kind == "large":
        columns["logits"] = pa.LargeListArray.from_arrays(offsets, flat)
    else:
        columns["logits"] = pa.ListArray.from_arrays(offsets.astype(np.int32), flat)
    return pa.table(columns)


def write_ipc(path, given, *, stream=False, rows=130, codec=None):
    options = pa.ipc.IpcWriteOptions(compression=codec)
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, opened(file, given.schema, options=options) as writer:
        writer.write_table(given, max_chunksize=rows)


def write_npy(path, **arrays):
    for name, array in arrays.items():
        np.save(path.with_name(f"{path.name}_{name}.npy"), array)
    return [path.with_name(f"{path.name}_{name}.npy") for name in arrays]


ARRAYS = {"logits": LOGITS, "labels": LABELS, "weights": WEIGHTS, "slices": SLICES}
WRITERS = {
    "fixed.parquet": lambda path: pq.write_table(table(), path, row_group_size=130),
    "list.parquet": lambda path: pq.write_table(table(kind="list"), path, row_group_size=99, compression="zstd"),
    "large.pq": lambda path: pq.write_table(table(kind="large"), path),
    "columns.parquet": lambda path: pq.write_table(table(a_class=True), path, row_group_size=130),
    "file.arrow": lambda path: write_ipc(path, table()),
    "packed.arrow": lambda path: write_ipc(path, table(a_class=True), codec="lz4"),
    "one.ipc": lambda path: write_ipc(path, table(kind="list"), rows=N),
    "stream.arrows": lambda path: write_ipc(path, table(kind="large"), stream=True),
    "misnamed.arrow": lambda path: write_ipc(path, table(), stream=True, codec="zstd"),
    "d.feather": lambda path: pyarrow.feather.write_feather(table(), path, compression="zstd"),
    "stored.npz": lambda path: np.savez(path, **ARRAYS),
    "packed.npz": lambda path: np.savez_compressed(path, **ARRAYS),
    "columns.npz": lambda path: np.savez(path, **{**ARRAYS, "logits": np.asfortranarray(LOGITS)}),
    "npy": lambda path: write_npy(path, **ARRAYS),
    "npy by column": lambda path: write_npy(path, **{**ARRAYS, "logits": np.asfortranarray(LOGITS)}),
    "npy big": lambda path: write_npy(path, **{**ARRAYS, "logits": LOGITS.astype(">f4")}),
}


def joined(found, name):
    return np.concatenate([getattr(batch, name) for batch in found])


def check(found, first=0, stop=N):
    rows = slice(first, stop)
    for name, expected in (("scores", LOGITS), ("labels", LABELS), ("weights", WEIGHTS), ("groups", SLICES)):
        np.testing.assert_array_equal(joined(found, name), expected[rows])


@pytest.fixture(params=["whole", "cut"])
def sizes(request, monkeypatch):
    if request.param == "cut":
        monkeypatch.setattr(batches, "BATCH_BYTES", 1500)
        for module in (stored, arrow, parquet):
            monkeypatch.setattr(module, "PIECE_BYTES", 5000)
        monkeypatch.setattr(npz, "LARGE", 0)
        monkeypatch.setattr(aside, "WHOLE", 2000)
        for name in ("fastcal.dumps.parquet.MANY", "fastcal.dumps.aside.MANY"):
            monkeypatch.setattr(name, 4)
        monkeypatch.setattr(aside, "TOGETHER", 4)
    return request.param


@pytest.mark.parametrize("name", WRITERS)
def test_rows_are_the_same_in_every_format(tmp_path, name, sizes):
    path = tmp_path / name
    paths = WRITERS[name](path) or [path]
    (dump,) = open_dumps(paths, ASKED)
    dump = pickle.loads(pickle.dumps(dump))
    assert set(dump.files) == set(paths)
    check(list(dump.batches()))
    pieces = dump.pieces()
    assert pieces == dump.pieces()
    if sizes == "cut" and name not in (
        "packed.npz",
        "stream.arrows",
        "misnamed.arrow",
        "large.pq",
        "one.ipc",
        "d.feather",
    ):
        assert len(pieces) > 2
    row = 0
    for piece in pieces:
        found = list(dump.read(piece))
        n = sum(batch.n_rows for batch in found)
        assert piece.first_row == row
        assert piece.n_rows in (n, None)
        check(found, row, row + n)
        for skip in {0, 1, n // 2, n - 1, n, n + 3}:
            rest = list(dump.read(piece, skip))
            if skip < n:
                check(rest, row + skip, row + n)
            assert sum(batch.n_rows for batch in rest) == max(n - skip, 0)
        row += n
    assert row == N


@pytest.mark.parametrize("name", ["fixed.parquet", "columns.parquet", "file.arrow", "stored.npz", "npy"])
def test_pieces_are_read_at_once_by_threads(tmp_path, name, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    for module in (stored, arrow, parquet):
        monkeypatch.setattr(module, "PIECE_BYTES", 2000)
    monkeypatch.setattr(npz, "LARGE", 0)
    path = tmp_path / name
    (dump,) = open_dumps(WRITERS[name](path) or [path], ASKED)
    pieces = dump.pieces()
    found = {}
    # Every other batch is kept while others are read: memory that somebody holds is not read into.
    threads = [
        threading.Thread(target=lambda piece=piece: found.update({piece.first_row: list(dump.read(piece))}))
        for piece in pieces
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check([batch for first in sorted(found) for batch in found[first]])


def test_a_batch_that_is_kept_keeps_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 1 << 18)
    scores = RNG.random((40_000, 16)).astype(np.float32)
    np.savez(tmp_path / "d.npz", probs=scores, labels=np.zeros(40_000, np.int8))
    monkeypatch.setattr(npz, "LARGE", 0)
    (dump,) = open_dumps([tmp_path / "d.npz"], Roles())
    kept = [batch.scores for batch in dump.batches()]
    assert len(kept) > 8
    np.testing.assert_array_equal(np.concatenate(kept), scores)
    del kept
    places = set()
    for batch in dump.batches():
        places.add(batch.scores.__array_interface__["data"][0])
    assert len(places) <= 12  # memory is used again


TYPES = {
    "half": (LOGITS.astype(np.float16), LABELS.astype(np.uint8)),
    "double": (LOGITS.astype(np.float64), LABELS.astype(np.uint64)),
    "integers": (np.round(LOGITS).astype(np.int16), LABELS.astype(np.float32)),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ["d.parquet", "c.parquet", "d.arrow", "d.npz"])
def test_types(tmp_path, kind, name):
    scores, labels = TYPES[kind]
    if name == "d.npz":
        np.savez(tmp_path / name, logits=scores, labels=labels)
    elif name == "d.arrow":
        write_ipc(tmp_path / name, table(scores, labels=labels))
    else:
        pq.write_table(table(scores, labels=labels, a_class=name == "c.parquet"), tmp_path / name)
    (dump,) = open_dumps([tmp_path / name], Roles())
    found = list(dump.batches())
    np.testing.assert_array_equal(joined(found, "scores"), scores)
    np.testing.assert_array_equal(joined(found, "labels"), labels)
    assert found[0].scores.dtype == scores.dtype


def test_columns_of_other_types_than_numbers(tmp_path):
    import decimal

    labels = pa.array(LABELS)
    given = {
        "labels": pa.compute.run_end_encode(labels),
        "probs_0": pa.array([decimal.Decimal("0.25")] * N),
        "probs_1": pa.array([None] + [0.75] * (N - 1), pa.float64()),
        "slices": pa.array(SLICES).dictionary_encode(),
    }
    write_ipc(tmp_path / "d.arrow", pa.table(given), rows=N)
    (dump,) = open_dumps([tmp_path / "d.arrow"], Roles(groups="slices"))
    (batch,) = dump.batches()
    np.testing.assert_array_equal(batch.labels, LABELS)
    np.testing.assert_array_equal(batch.scores[1:], [[0.25, 0.75]] * (N - 1))
    assert np.isnan(batch.scores[0, 1])
    np.testing.assert_array_equal(batch.groups, SLICES)


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow"])
def test_rows_that_are_tensors(tmp_path, name):
    given = pa.table({"labels": LABELS, "logits": pa.FixedShapeTensorArray.from_numpy_ndarray(LOGITS)})
    pq.write_table(given, tmp_path / name) if name == "d.parquet" else write_ipc(tmp_path / name, given)
    (dump,) = open_dumps([tmp_path / name], Roles())
    np.testing.assert_array_equal(joined(list(dump.batches()), "scores"), LOGITS)


def test_leading_axes_are_rows(tmp_path):
    np.savez(tmp_path / "d.npz", logits=LOGITS.reshape(7, 100, K), labels=LABELS.reshape(7, 100))
    (dump,) = open_dumps([tmp_path / "d.npz"], Roles(ignore_index=4))
    (batch,) = dump.batches()
    np.testing.assert_array_equal(batch.scores, LOGITS[LABELS != 4])
    assert batch.n_read == N


def text_labels(path):
    names = np.array(NAMES)[LABELS]
    if path.suffix == ".npz":
        np.savez(path, logits=LOGITS, labels=names)
    elif path.name == "dictionary.arrow":
        given = table(labels=names)
        column = pa.array(names).dictionary_encode()
        write_ipc(path, given.set_column(0, "labels", column))
    elif path.suffix == ".arrow":
        write_ipc(path, table(labels=names))
    else:
        pq.write_table(table(labels=names), path)


@pytest.mark.parametrize("name", ["d.npz", "d.parquet", "d.arrow", "dictionary.arrow"])
def test_text_labels_are_classes_by_name(tmp_path, name):
    text_labels(tmp_path / name)
    classes = class_names(", ".join(NAMES))
    (dump,) = open_dumps([tmp_path / name], Roles(classes=classes))
    np.testing.assert_array_equal(joined(list(dump.batches()), "labels"), LABELS)
    with pytest.raises(DumpError, match="labels holds text; say --classes A,B,"):
        list(open_dumps([tmp_path / name], Roles())[0].batches())
    other = Roles(classes=("else", *NAMES[1:]))
    row = int(np.flatnonzero(LABELS == 0)[0])
    with pytest.raises(DumpError, match=rf"labels\[{row}\] is 'class 0', none of else, class 1"):
        list(open_dumps([tmp_path / name], other)[0].batches())
    with pytest.raises(DumpError, match="logits has 9 classes, --classes names 2"):
        list(open_dumps([tmp_path / name], Roles(classes=("a", "b")))[0].batches())


@pytest.mark.parametrize("name", ["d.npz", "d.parquet", "d.arrow"])
def test_ignored_rows_are_left_out_and_counted(tmp_path, name, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 999)
    labels = np.where(RNG.random(N) < 0.3, -100, LABELS)
    if name == "d.npz":
        np.savez(tmp_path / name, logits=LOGITS, labels=labels, weights=WEIGHTS, slices=SLICES)
    elif name == "d.arrow":
        write_ipc(tmp_path / name, table(labels=labels))
    else:
        pq.write_table(table(labels=labels), tmp_path / name)
    asked = Roles(weights="weights", groups="slices", ignore_index=-100)
    (dump,) = open_dumps([tmp_path / name], asked)
    places = np.flatnonzero(labels != -100)
    for skip in (0, 1, 333):
        (piece,) = dump.pieces()
        found, row = list(dump.read(piece, skip)), skip
        rest = places[places >= skip]
        for part, expected in (("scores", LOGITS), ("labels", labels), ("weights", WEIGHTS), ("groups", SLICES)):
            np.testing.assert_array_equal(joined(found, part), expected[rest])
        rows = []
        for batch in found:
            rows += [row + batch.row(i) for i in range(batch.n_rows)]
            row += batch.n_read
        np.testing.assert_array_equal(rows, rest)
        assert row == N
        assert sum(batch.n_ignored for batch in found) == N - skip - len(rest)


def test_ignored_and_unknown_labels_as_text(tmp_path):
    names = np.array(NAMES)[LABELS].astype("<U9")
    names[[3, 5]] = "-1"
    names[77] = "x" * 9
    classes = tuple(NAMES)
    np.savez(tmp_path / "d.npz", logits=LOGITS, labels=names)
    pq.write_table(table(labels=names), tmp_path / "d.parquet")
    for name in ("d.npz", "d.parquet"):
        with pytest.raises(DumpError, match=r"labels\[77\] is 'xxxxxxxxx', none of class 0"):
            list(open_dumps([tmp_path / name], Roles(classes=classes, ignore_index=-1))[0].batches())
    names[77] = NAMES[0]
    pq.write_table(table(labels=names), tmp_path / "d.parquet")
    (batch,) = open_dumps([tmp_path / "d.parquet"], Roles(classes=classes, ignore_index=-1))[0].batches()
    assert batch.n_ignored == 2
    np.testing.assert_array_equal(batch.labels, [NAMES.index(name) for name in np.delete(names, [3, 5])])


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [
        (np.array([30, 10, 20, 10]), ("10", "20", "30"), [2, 0, 1, 0]),
        (np.array([1.0, 0.0, 1.0]), ("1", "0", "2"), [0, 1, 0]),
        (np.array([True, False]), ("0", "x", "1"), [2, 0]),
        (np.array([0.5, 1.0]), ("0.5", "1", "2"), [0, 1]),
        (np.array([], np.int64), ("a", "b", "c"), []),
    ],
)
def test_numbers_are_classes_by_their_text(tmp_path, given, classes, expected):
    np.savez(tmp_path / "d.npz", logits=np.zeros((len(given), 3)), labels=given)
    (dump,) = open_dumps([tmp_path / "d.npz"], Roles(classes=classes))
    found = [batch.labels for batch in dump.batches()]
    np.testing.assert_array_equal(np.concatenate([*found, np.empty(0, np.int64)]), expected)


def test_labels_that_are_not_needed(tmp_path):
    for name, write in (("d.npz", lambda p: np.savez(p, probs=LOGITS)), ("d.parquet", None), ("d.arrow", None)):
        path = tmp_path / name
        if write is None:
            given = pa.table({"probs": pa.FixedSizeListArray.from_arrays(pa.array(LOGITS.ravel()), K)})
            pq.write_table(given, path) if name == "d.parquet" else write_ipc(path, given)
        else:
            write(path)
        (dump,) = open_dumps([path], Roles(need_labels=False))
        np.testing.assert_array_equal(joined(list(dump.batches()), "scores"), LOGITS)


def test_one_class_a_column_of_many_rows_has_no_more_memory_than_a_few_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(aside, "WHOLE", 0)
    scores = RNG.standard_normal((50, 100)).astype(np.float32)
    columns = {f"logits_{k}": pa.array(scores[:, k]) for k in range(100)}
    pq.write_table(pa.table({"labels": np.zeros(50, np.int64), **columns}), tmp_path / "d.parquet")
    opened = []
    original = aside.put_aside.__wrapped__

    def counting(read, *rest):
        def counted(columns, rows):
            opened.append(len(columns))
            return read(columns, rows)

        return original(counted, *rest)

    import contextlib

    monkeypatch.setattr("fastcal.dumps.parquet.put_aside", contextlib.contextmanager(counting))
    (dump,) = open_dumps([tmp_path / "d.parquet"], Roles())
    np.testing.assert_array_equal(joined(list(dump.batches()), "scores"), scores)
    assert sum(opened) == 100
    assert max(opened) == aside.TOGETHER
    path = Path(tmp_path / "nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(path))
    with pytest.raises(DumpError, match=r"in a temporary file .TMPDIR.: No such file or directory"):
        list(dump.batches())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
@pytest.mark.parametrize("n_columns", [1, 3, 8, 9, 15, 16, 17, 40])
def test_columns_side_by_side(dtype, n_columns, monkeypatch):
    monkeypatch.setattr(turning, "CACHED", 1 << 10)
    monkeypatch.setattr(turning, "LEAST_ROWS", 40)
    for n in (1, 63, 64, 65, 100):
        columns = [(RNG.random(n) * 100).astype(dtype) for _ in range(n_columns)]
        found = turning.side_by_side(columns)
        np.testing.assert_array_equal(found, np.stack(columns, axis=1))
        assert found.dtype == dtype
