"""Binary files that are damaged, lie or are absurd: one line, or the rows that are there; nothing else happens."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from fastcal.dumps import DumpError, Roles, batches, open_dumps, parquet, safetensors
from fastcal.dumps.npy import MAX_HEADER

pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need the io extra")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

RNG = np.random.default_rng(17)
N, K = 40, 3
PROBS = RNG.dirichlet(np.ones(K), N).astype(np.float32)
LABELS = RNG.integers(0, K, N)
SLICES = np.array(["one", "two"])[RNG.integers(0, 2, N)]


def rows(path, asked=Roles()):  # noqa: B008 - frozen
    """Labels and scores of all pieces."""
    found = [batch for dump in open_dumps([path], asked) for piece in dump.pieces() for batch in dump.read(piece)]
    return [batch.labels for batch in found], [batch.scores for batch in found]


def outcome(path, asked=Roles()):  # noqa: B008 - frozen
    """The same, joined, or None where the file is refused, in one line."""
    try:
        labels, scores = rows(path, asked)
    except DumpError as error:
        message = str(error)
    else:
        return np.concatenate([*labels, np.empty(0, int)]), np.concatenate([*scores, np.empty((0, K))])
    assert message.isprintable()
    assert len(message) < 600
    return None


def refused(path, message, asked=Roles()):  # noqa: B008 - frozen
    with pytest.raises(DumpError, match=message) as caught:
        rows(path, asked)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def table(**columns):
    given = {"labels": LABELS, "slices": pa.array(SLICES).dictionary_encode(), "probs": PROBS.tolist()}
    return pa.table({**given, **columns})


def ipc(given, *, stream=False):
    buffer = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(buffer, given.schema) as writer:
        writer.write_table(given, max_chunksize=15)
    return buffer.getvalue()


def parquet_of(given, **options):
    buffer = io.BytesIO()
    pq.write_table(given, buffer, row_group_size=15, **options)
    return buffer.getvalue()


def feather():
    buffer = io.BytesIO()
    pyarrow.feather.write_feather(table(), buffer, compression="zstd")
    return buffer.getvalue()


def npz(save, **changes):
    buffer = io.BytesIO()
    save(buffer, **{"probs": PROBS, "labels": LABELS, "slices": SLICES, **changes})
    return buffer.getvalue()


def tensors(header=None, data=b"", **arrays):
    """A file of arrays, and what else its header says."""
    entries, end = {}, 0
    for name, array in arrays.items():
        dtype = {"f4": "F32", "i8": "I64", "u2": "BF16", "f2": "F16", "b1": "BOOL"}[array.dtype.str[1:]]
        entries[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
        data += array.tobytes()
    text = json.dumps({**entries, **(header or {})}).encode()
    return len(text).to_bytes(8, "little") + text + data


FILES = {
    "d.parquet": lambda: parquet_of(table()),
    "plain.parquet": lambda: parquet_of(table(), use_dictionary=False, compression="none"),
    "d.arrow": lambda: ipc(table()),
    "d.arrows": lambda: ipc(table(), stream=True),
    "d.feather": feather,
    "stored.npz": lambda: npz(np.savez),
    "packed.npz": lambda: npz(np.savez_compressed),
    "d.safetensors": lambda: tensors(probs=PROBS, labels=LABELS, slices=LABELS),
}


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes(tmp_path, name):
    """Wherever a byte is flipped: an error of one line or rows, and with a checksum the right ones."""
    data, path = FILES[name](), tmp_path / name
    outcomes, rng = {"refused": 0, "read": 0}, np.random.default_rng(5)
    for place in sorted(set(rng.integers(0, len(data), 120)) | set(range(12)) | {len(data) - k for k in range(1, 30)}):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(0, 8)) if place % 2 else 255
        path.write_bytes(damaged)
        found = outcome(path, Roles(groups="slices"))
        outcomes["refused" if found is None else "read"] += 1
        if name.endswith(".npz") and found is not None:
            np.testing.assert_array_equal(found[0], LABELS)
            np.testing.assert_array_equal(found[1], PROBS)
    assert outcomes["refused"] > 10
    assert outcomes["read"] > 3 or name == "packed.npz"


@pytest.mark.parametrize("name", FILES)
def test_files_that_end_early(tmp_path, name):
    data, path = FILES[name](), tmp_path / name
    for length in sorted({0, 1, 4, 7, 8, 9, *range(16, len(data), max(1, len(data) // 40))}):
        path.write_bytes(data[:length])
        found = outcome(path)
        if found is not None:  # a stream may end after any of its batches
            assert name == "d.arrows"
            np.testing.assert_array_equal(found[0], LABELS[: len(found[0])])
            np.testing.assert_allclose(found[1], PROBS[: len(found[0])], rtol=1e-6)


@pytest.mark.parametrize("name", ["d.npz", "d_probs.npy", "d.safetensors"])
def test_a_file_that_shrinks_while_it_is_read(tmp_path, name, monkeypatch):
    """The process goes on: it would not if the file were mapped."""
    monkeypatch.setattr(batches, "BATCH_BYTES", 64)
    monkeypatch.setattr("fastcal.dumps.npz.LARGE", 0)
    path = tmp_path / name
    paths = [path]
    if name.endswith(".npy"):
        np.save(path, PROBS)
        np.save(tmp_path / "d_labels.npy", LABELS)
        paths.append(tmp_path / "d_labels.npy")
    else:
        path.write_bytes(npz(np.savez) if name == "d.npz" else tensors(labels=LABELS, probs=PROBS))
    (dump,) = open_dumps(paths, Roles())
    read = dump.batches()
    next(read)
    with open(path, "r+b") as file:
        file.truncate(500)
    with pytest.raises(DumpError, match="is truncated"):
        list(read)
    path.unlink()
    with pytest.raises(DumpError, match=r"cannot be read: No such file|No such file"):
        list(dump.batches())


HEADERS = {
    "length": (b"\xff" * 8 + b"{}", r"a header of 18446744073709551615 bytes in a file of 10"),
    "empty": (b"", "a header of 0 bytes in a file of 0"),
    "no object": (tensors()[:8] + b"[]", "its header is no object"),
    "deep": ((200_000).to_bytes(8, "little") + b"[" * 200_000, "is no safetensors file"),
    "text": ((3).to_bytes(8, "little") + b"abc", "is no safetensors file"),
    "utf-8": ((2).to_bytes(8, "little") + b"\xff{", "is no safetensors file"),
    "fields": (tensors({"probs": {"dtype": "F32"}}), "probs has no dtype, shape and data_offsets"),
    "number": (tensors({"probs": 3}), "probs has no dtype, shape and data_offsets"),
    "negative": (
        tensors({"probs": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}),
        r"probs has shape \[-1\] and data_offsets \[0, 4\]",
    ),
    "floats": (
        tensors({"probs": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}}, b"123456"),
        r"probs has shape \[1.5\]",
    ),
    "backwards": (
        tensors({"probs": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}),
        r"probs has -4 bytes, which its shape \[1\] is not",
    ),
    "size": (
        tensors({"probs": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, b"1234"),
        "probs has 4 bytes, which its shape",
    ),
    "overlap": (
        tensors(
            {
                "probs": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "labels": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]},
            },
            b"1234",
        ),
        "labels begins at byte 3, what lies before it ends at 4",
    ),
    "gap": (
        tensors({"probs": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        "probs begins at byte 4, what lies before it ends at 0",
    ),
    "outside": (
        tensors({"probs": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        "its arrays end at byte 8, the file at 4",
    ),
    "left over": (tensors(probs=PROBS, labels=LABELS) + b"!", "its arrays end at byte 800, the file at 801"),
    "unknown type": (
        tensors({"probs": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
        "has no labels by name",
    ),
    "odd type": (
        tensors({"probs": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        "has no labels by name",
    ),
    "nothing": (tensors(), "neither logits nor probabilities by name .nothing."),
}


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors_that_lie(tmp_path, name):
    data, message = HEADERS[name]
    (tmp_path / "d.safetensors").write_bytes(data)
    refused(tmp_path / "d.safetensors", message)


def test_safetensors(tmp_path):
    path = tmp_path / "d.safetensors"
    bits = (PROBS.view(np.uint32) >> 16).astype(np.uint16)
    path.write_bytes(tensors({"__metadata__": {"a": "b"}}, probs=bits, labels=LABELS))
    labels, scores = rows(path)
    np.testing.assert_array_equal(scores[0], (bits.astype(np.uint32) << 16).view(np.float32))
    assert scores[0].dtype == np.float32
    np.testing.assert_array_equal(labels[0], LABELS)
    path.write_bytes(tensors(probs=PROBS.astype(np.float16), labels=LABELS == 0))
    labels, scores = rows(path)
    np.testing.assert_array_equal(scores[0], PROBS.astype(np.float16))
    np.testing.assert_array_equal(labels[0], LABELS == 0)
    entry = {"dtype": "F8_E4M3", "shape": [N, K], "data_offsets": [N * 8, N * 8 + N * K]}
    path.write_bytes(tensors({"probs": entry}, labels=LABELS) + bytes(N * K))
    refused(path, "probs in .* has dtype F8_E4M3; expected one of F64, F32")
    text = b'{"labels": {}, "labels": {}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    refused(path, "a name stands there twice, among labels, labels")
    assert safetensors.MAX_HEADER < 1 << 24


def test_safetensors_that_others_wrote(tmp_path):
    numpy_of = pytest.importorskip("safetensors.numpy", reason="safetensors comes with the bench extra")
    numpy_of.save_file({"probs": PROBS, "labels": LABELS}, tmp_path / "d.safetensors", metadata={"format": "pt"})
    labels, scores = rows(tmp_path / "d.safetensors")
    np.testing.assert_array_equal(scores[0], PROBS)
    np.testing.assert_array_equal(labels[0], LABELS)


def lists(lengths):
    return pa.array([[1.0 / max(n, 1)] * n for n in lengths], pa.list_(pa.float32()))


COLUMNS = {
    "lengths": ({"probs": lists([3] * 33 + [2] + [3] * 6)}, r"probs\[33\] has 2 values, other rows have 3"),
    "empty lists": ({"probs": lists([0] * N)}, "probs has rows of 0 values"),
    "a missing row": ({"probs": pa.array([*PROBS.tolist()[1:], None])}, r"probs\[39\] is missing"),
    "lists of text": ({"probs": pa.array([["a", "b"]] * N)}, "probs in .* has lists of string; expected lists of"),
    "lists of lists": ({"probs": pa.array([[[0.5]]] * N)}, "has lists of list<.*; expected lists of floats"),
    "times": ({"labels": pa.array([0] * N, pa.timestamp("s"))}, "labels in .* has type timestamp.*; expected numbers"),
    "null": ({"labels": pa.nulls(N)}, "labels.*is missing|labels in .* has type null"),
    "a missing label": ({"labels": pa.array([*LABELS[:20], None, *LABELS[21:]])}, r"labels\[20\] is missing"),
    "a missing slice": ({"slices": pa.array([*SLICES[:38], None, "x"])}, r"slices\[38\] is missing"),
    "a missing category": (
        {"slices": pa.DictionaryArray.from_arrays(np.arange(N) % 2, pa.array([None, "x"]))},
        r"slices\[0\] is missing",
    ),
    "a structure": ({"probs": pa.array([{"a": 1.0}] * N)}, "probs in .* has type struct<.*; expected numbers"),
}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in COLUMNS
        for form in ("parquet", "arrow", "arrows")
        if (name, form) != ("a missing category", "parquet")  # which has no such category
    ],
)
def test_columns_that_are_none(tmp_path, name, form):
    columns, message = COLUMNS[name]
    given = table(**columns)
    path = tmp_path / f"d.{form}"
    path.write_bytes(parquet_of(given) if form == "parquet" else ipc(given, stream=form == "arrows"))
    refused(path, message, Roles(groups="slices"))


def test_integers_with_missing_values_in_lists(tmp_path):
    given = table(probs=pa.array([[1, 0, None]] * N))
    (tmp_path / "d.arrow").write_bytes(ipc(given))
    _, scores = rows(tmp_path / "d.arrow")
    np.testing.assert_array_equal(np.concatenate(scores), [[1, 0, np.nan]] * N)


def test_files_that_are_something_else(tmp_path):
    for name, data, message in (
        ("v1.feather", b"FEA1" + bytes(60), "is Feather of version 1; write it again with"),
        ("d.arrow", b"hello", "is no Arrow file"),
        ("e.arrow", b"ARROW1\0\0", "is no Arrow file"),
        ("d.parquet", b"PAR1" + bytes(50) + b"\xff\xff\xff\x7fPAR1", "is no Parquet file: what describes its columns"),
        ("secret.parquet", b"PAR1" + bytes(50) + b"\x08\0\0\0PARE", "is no Parquet file"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, message)


def test_a_description_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_FOOTER", 1000)
    columns = {f"other_{k}": [0.5] * N for k in range(30)}
    (tmp_path / "d.parquet").write_bytes(parquet_of(table(**columns)))
    refused(tmp_path / "d.parquet", "what describes its columns and row groups takes .* less than the 1000")


def test_thousands_of_columns(tmp_path):
    columns = {f"other_{k}": np.zeros(2) for k in range(3000)}
    given = pa.table({**columns, "probs": [0.5, 0.5], "labels": [0, 1]})
    (tmp_path / "d.parquet").write_bytes(parquet_of(given))
    (tmp_path / "d.arrow").write_bytes(ipc(given))
    for name in ("d.parquet", "d.arrow"):
        labels, _ = rows(tmp_path / name)
        np.testing.assert_array_equal(labels[0], [0, 1])
        refused(tmp_path / name, "has no column 'p'; it has other_0, .* and 2994 more", Roles(probs="p"))


def npy(array, **changes):
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    for old, new in changes.items():
        data = data.replace(old.encode(), new.encode().ljust(len(old)))
    return data


MEMBERS = {
    "huge shape": (npy(PROBS, **{"(40, 3), }": "(1e9, 3)}"}), "is no .npy array"),
    "no class": (npy(np.zeros((N, 0))), r"has shape \(40, 0\); a row holds at most"),
    "more bytes": (npy(PROBS) + b"12", r"has 2 bytes more than its shape \(40, 3\) needs"),
    "structured": (npy(np.zeros(N, [("a", "f4")])), "has dtype .*; expected real numbers"),
    "complex": (npy(np.zeros((N, 2), complex)), "has dtype complex128; expected real numbers"),
    "times": (npy(np.zeros(N, "M8[s]")), "has dtype datetime64.s.; expected real numbers"),
    "version 3": (npy(PROBS).replace(b"NUMPY\x01", b"NUMPY\x03"), "is no .npy array"),
    "long header": (b"\x93NUMPY\x02\x00" + (MAX_HEADER + 1).to_bytes(4, "little") + bytes(20_000), "a header of more"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members_that_lie(tmp_path, name):
    data, message = MEMBERS[name]
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("probs.npy", data)
        archive.writestr("labels.npy", npy(LABELS))
    refused(tmp_path / "d.npz", message)
    (tmp_path / "d_probs.npy").write_bytes(data)
    np.save(tmp_path / "d_labels.npy", LABELS)
    with pytest.raises(DumpError, match=message):
        open_dumps([tmp_path / "d_probs.npy", tmp_path / "d_labels.npy"], Roles())


def test_texts_that_are_too_long(tmp_path):
    np.savez(tmp_path / "d.npz", probs=PROBS[:1], labels=LABELS[:1], slices=np.array(["x" * 5000]))
    refused(tmp_path / "d.npz", "slices in .* has dtype <U5000; expected", Roles(groups="slices"))


def test_archives_that_cannot_be_read(tmp_path):
    data = bytearray(npz(np.savez))
    for place in (data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")):
        data[place + (6 if data[place + 2] == 3 else 8)] |= 1  # the flag of encryption
    (tmp_path / "d.npz").write_bytes(data)
    refused(tmp_path / "d.npz", "in .* cannot be read: .*(encrypted|password)")
