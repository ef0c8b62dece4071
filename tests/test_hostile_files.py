"""A stranger's files through the command line: exit code 2 and one line, nothing written, nothing run, little memory.

The readers' own tests go deeper (test_dumps.py, test_dump_hostile.py, the text formats'); here every kind of trouble
meets every command that reads dumps.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import command, fails
from conftest import JIT
from dump_commands import fitted, logits_and_labels
from test_dumps import HOSTILE

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytestmark = pytest.mark.skipif(not JIT, reason="kernels have tests of their own")
pa = pytest.importorskip("pyarrow", reason="other formats need the io extra")
import pyarrow.parquet as pq  # noqa: E402

N, K = 60, 3
LOGITS, LABELS = logits_and_labels(N, K)
ESCAPES = "\x1b[31m<script>alert(1)</script>[bold]\x07\u202e"


class Executed:
    """A pickle that, loaded, makes a file."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def npy(array, **changes):
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    for old, new in changes.items():
        assert old.encode() in data
        data = data.replace(old.encode(), new.encode().ljust(len(old)))
    return data


def npz(**arrays):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {"logits": LOGITS, "labels": LABELS, **arrays}.items():
            archive.writestr(f"{name}.npy", array if isinstance(array, bytes) else npy(array))
    return buffer.getvalue()


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"logits": LOGITS.tolist(), "labels": LABELS, **columns}), buffer, compression="none")
    return buffer.getvalue()


def arrow():
    buffer = io.BytesIO()
    table = pa.table({"logits": LOGITS.tolist(), "labels": LABELS})
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def csv(rows=(), header="logits_0,logits_1,labels"):
    return "\n".join([header, "1,2,0", "2,1,1", *rows, ""]).encode()


def tensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def damaged(data, place):
    return data[:place] + bytes(255 - byte for byte in data[place : place + 8]) + data[place + 8 :]


CSV = csv()
LONG = gzip.compress(b"logits_0,logits_1,labels\n" + b"1" * (66 << 20), 1)
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}

# Name -> what is in the file, and words of the line that comes of it.
FILES = {
    "truncated.npz": (npz()[:700], "is no .npz archive"),
    "truncated.npy": (npy(LOGITS)[:-40], "truncated_logits.npy is truncated: its shape (60, 3) needs more bytes"),
    "truncated.parquet": (parquet()[:-30], "is no Parquet file"),
    "truncated.arrow": (arrow()[:-60], "is no Arrow file"),
    "truncated.safetensors": (tensors({"logits": ONE})[:-2], "is no safetensors file"),
    "truncated.csv.gz": (gzip.compress(csv(["1,2,0"] * 5000))[:-40], "is damaged"),
    "truncated.jsonl": (b'{"logits": [1, 2], "labels": 0}\n{"logits": [1, 2], "lab', "line 2 is no JSON"),
    "corrupt.npz": (damaged(npz(), 400), "Bad CRC-32 for file 'logits.npy'"),
    "corrupt.parquet": (damaged(parquet(), 20), "corrupt.parquet is damaged"),
    "claims.npz": (npz(logits=npy(LOGITS, **{"(60, 3), }": "(1<<9,2)}"})), "logits in claims.npz is no .npy array"),
    "huge.npz": (npz(logits=npy(LOGITS[:, 0], **{"(60,), }": "(9" + "0" * 5 + ",)}"})), "is truncated: its shape"),
    "negative.npz": (npz(logits=npy(LOGITS, **{"(60, 3)": "(-6, 3)"})), "is no .npy array: shape (-6, 3)"),
    "object.npz": (npz(logits=npy(np.array([Executed()] * N, object))), "holds Python objects, a pickle, which is"),
    "object-labels.npz": (npz(labels=npy(np.array([Executed()] * N, object))), "holds Python objects, a pickle"),
    "pickle.npz": (pickle.dumps(Executed()), "is no .npz archive"),
    "pickle.pkl": (pickle.dumps(Executed()), "is a pickle, which is never read"),
    "pickle.pt": (pickle.dumps(Executed()), "is a pickle, which is never read"),
    "pickle.joblib": (pickle.dumps(Executed()), "is a pickle, which is never read"),
    "complex.npz": (npz(logits=LOGITS.astype(complex)), "has dtype complex128; expected real numbers"),
    "words.npz": (npz(labels=np.array(["cat"] * N)), "labels holds text; say --classes A,B,..."),
    "no-columns.npz": (npz(logits=LOGITS[:, :0]), "has shape (60, 0); a row holds at most"),
    "axes.npz": (npz(logits=LOGITS.reshape(3, 20, K)), "labels in axes.npz has shape (60,), logits in axes.npz"),
    "lengths.npz": (npz(labels=LABELS[1:]), "labels in lengths.npz has shape (59,)"),
    "label.npz": (npz(labels=np.r_[LABELS[1:], K]), "labels[59] is 3"),
    "nan.npz": (npz(logits=np.full((N, K), np.nan)), "logits[0, 0] is nan"),
    "lzma.npz": (None, "logits.npy in lzma.npz is compressed by lzma; save it as"),
    "length.safetensors": (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes in a file of 10"),
    "deep.safetensors": (struct.pack("<Q", 99_000) + b"[" * 99_000, "is no safetensors file"),
    "overlap.safetensors": (
        tensors({"logits": ONE, "labels": {**ONE, "dtype": "U8", "data_offsets": [3, 4]}}, b"1234"),
        "labels begins at byte 3, what lies before it ends at 4",
    ),
    "million.csv": (b",".join([b"a"] * 1_200_000) + b"\n", "has more than 1049576 columns"),
    "columns.csv": (",".join(f"logits_{k}" for k in range(20_000)).encode() + b",labels\n", "has 20000 columns of sco"),
    "long.csv.gz": (LONG, "line 2 is longer than 64 MB"),
    "ragged.csv": (csv(["1,2"]), "line 4 has 2 columns, the first line has 3"),
    "quote.csv": (csv(['"1,2,0']), "is never closed"),
    "formula.csv": (csv(["=cmd|' /C calc'!A0,2,0"]), "logits_0 is \"=cmd|' /C calc'!A0\", no number"),
    "utf-16.csv": ("logits_0,logits_1,labels\n1,2,0\n".encode("utf-16"), "is UTF-16; expected UTF-8"),
    "nul.csv": (b"\0" * 5000, "nul.csv"),
    "deep.jsonl": (b'{"logits": [1, 2], "labels": 0, "x": ' + b"[" * 99_000 + b"\n", "is nested too deeply"),
    "digits.jsonl": (b'{"logits": [1, ' + b"9" * 9999 + b'], "labels": 0}\n', "is no JSON"),
    "keys.jsonl": (b'{"logits": [1, 2], "logits": [2, 1], "labels": 0}\n', "'logits' stands twice"),
    "lists.parquet": (parquet(logits=[[1.0, 2.0]] * (N - 1) + [[1.0]]), "logits[59] has 1 values, other rows have 2"),
    "null.parquet": (parquet(labels=[*LABELS[:-1].tolist(), None]), "labels[59] is missing"),
    "type.parquet": (parquet(logits=[{"a": 1.0}] * N), "has type struct<a: double>; expected numbers"),
    "other.parquet": (npz(), "is no Parquet file"),
    "other.npz": (parquet(), "is no .npz archive"),
    "names.npz": (npz(**{"logits": LOGITS[:, :1], "probs": LOGITS, ESCAPES: LABELS}), "has both logits and probabilit"),
    f"{ESCAPES.replace('/', '')}.npz": (b"", "is no .npz archive"),
    "labels.jsonl": (json.dumps({"logits": [1, 2], "labels": ESCAPES}).encode() + b"\n", "no number; for text say"),
    "slip.npz": (npz(**{"../../executed": LOGITS, "probs": LOGITS}), "has both logits and probabilities"),
    "link.npz": (None, "link.npz does not exist"),
    "loop.npz": (None, "loop.npz does not exist"),
}


@pytest.fixture(scope="module")
def calibrator(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrator") / "cal.json"
    fitted(K, path)
    return path


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path


def given(name, data):
    """The file, and what is beside it; its name."""
    path = Path(name)
    if name.endswith(".npy"):
        np.save(f"{path.stem}_labels.npy", LABELS)
        path = Path(f"{path.stem}_logits.npy")
    if data is not None:
        path.write_bytes(data)
    elif name.startswith("l") and "zma" in name:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            for array, values in (("logits", LOGITS), ("labels", LABELS)):
                archive.writestr(f"{array}.npy", npy(values))
    else:
        path.symlink_to(name if name == "loop.npz" else "nowhere.npz")
    return [path, f"{path.stem.removesuffix('_logits')}_labels.npy"] if name.endswith(".npy") else [path]


def everything(folder):
    """All there is below a folder, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def one_line(done, *words):
    fails(done, *words)
    assert done.err[:-1].isprintable()
    assert len(done.err) < 700
    assert "Traceback" not in done.err


def all_commands(paths, calibrator):
    """Every command that reads dumps, and how it is told to write."""
    yield "report", *paths, "--json", "r.json", "--html", "r.html"
    yield "check", *paths, "--max", "ece=1", "--junit", "r.xml"
    yield "fit", "temperature", *paths, "-o", "r.json"
    yield "convert", *paths, "-o", "r.npz"
    yield "convert", *paths, "-o", "r"


@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_a_strangers_file_is_one_line(work, capsys, calibrator, name):
    data, words = FILES[name]
    paths = given(name, data)
    before = everything(work)
    is_copied = name in ("label.npz", "nan.npz")  # by convert, which looks at no values
    for arguments in all_commands(paths, calibrator):
        if arguments[0] != "convert" or not is_copied:
            one_line(command(capsys, *arguments), words)
            assert everything(work) == before
    if "label" not in words:  # which apply does not look at
        one_line(command(capsys, "apply", calibrator, *paths, "-o", "out"))
        assert everything(work) == before


def at_the_end(name):
    """A file of which all but the end is sound."""
    scores, labels = np.tile(LOGITS, (40, 1)), np.tile(LABELS, 40)
    if name == "d.npz":
        whole = npz(logits=scores, labels=labels)
        place = whole.index(scores[-9:].tobytes())
        return damaged(whole, place), "Bad CRC-32"
    if name == "d.parquet":
        last = [*scores[:-1].tolist(), [0.5]]
        table = pa.table({"logits": last, "labels": labels})
        pq.write_table(table, buffer := io.BytesIO(), row_group_size=100)
        return buffer.getvalue(), "has 1 values, other rows have 3"
    if name == "d.csv":
        rows = [",".join(map(str, row)) + ",0" for row in scores.tolist()]
        return csv([*rows, "1"], "logits_0,logits_1,logits_2,labels").replace(b"1,2,0\n2,1,1\n", b""), "has 1 columns"
    rows = [json.dumps({"logits": row, "labels": 0}) for row in scores.tolist()]
    return "\n".join([*rows, '{"logits": [1'])[:-1].encode(), "is no JSON"


@pytest.mark.parametrize("name", ["d.npz", "d.parquet", "d.csv", "d.jsonl"])
def test_trouble_at_the_end_leaves_nothing_half_written(work, capsys, calibrator, monkeypatch, name):
    monkeypatch.setattr("fastcal.dumps.batches.BATCH_BYTES", 100 * 4 * K)
    monkeypatch.setattr("fastcal.dumps.lines.BLOCK", 5000)
    data, words = at_the_end(name)
    Path(name).write_bytes(data)
    before = everything(work)
    writes = [*all_commands([name], calibrator), ("apply", calibrator, name, "-o", f"out{Path(name).suffix}")]
    for arguments in writes:
        one_line(command(capsys, *arguments), words)
        assert everything(work) == before, arguments
    for place in (Path("r.npz"), Path(f"out{Path(name).suffix}")):
        place.write_bytes(b"what was there")
    before = everything(work)
    for arguments in (writes[3], writes[-1]):
        one_line(command(capsys, *arguments, "--force"), words)
        assert everything(work) == before, arguments


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.startswith(("no-rows", "missing-value"))])
def test_what_readers_refuse_is_one_line_of_a_command(work, capsys, name):
    """Their message is that of the reader, so it is not looked at here."""
    Path(name).write_bytes(HOSTILE[name][0])
    before = everything(work)
    for arguments in (("report", name, "--json", "r.json"), ("convert", name, "-o", "r.parquet")):
        one_line(command(capsys, *arguments))
        assert everything(work) == before


def zeros(head, n_blocks):
    """bzip2 of ``head`` and then ``n_blocks`` times 45.9 million zeros: 42 bytes each."""
    footer = f"{0x177245385090:048b}"

    def block(data):
        packed = compressed(data)[4:]
        bits = f"{int.from_bytes(packed):b}".zfill(8 * len(packed))
        found = bits[: bits.rindex(footer)]
        return found, int(found[48:80], 2)

    first, more = block(head), block(bytes(BLOCK))
    checksum = 0
    for _, one in [first, *[more] * n_blocks]:
        checksum = (checksum << 1 & 0xFFFFFFFF | checksum >> 31) ^ one
    bits = first[0] + more[0] * n_blocks + footer + f"{checksum:032b}"
    bits += "0" * (-len(bits) % 8)
    return b"BZh9" + int(bits, 2).to_bytes(len(bits) // 8)


BLOCK = 255 * 179_990
compressed = functools.cache(bz2.compress)


def test_a_tiny_archive_that_inflates_to_100_gb(work, capsys, calibrator):
    """zipfile would inflate 4 KB of it at once: 4 GB. Nothing of it is inflated."""
    n_rows = 2184 * BLOCK // 8
    with zipfile.ZipFile("bomb.npz", "w") as archive:
        for name, shape, n_blocks, dtype in (("probs", (n_rows, 2), 2184, "<f4"), ("labels", (n_rows,), 273, "|i1")):
            header = io.BytesIO()
            form = {"descr": dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, form)
            archive.writestr(f"{name}.npy", zeros(header.getvalue(), n_blocks))
            info = archive.filelist[-1]
            info.compress_type, info.file_size = zipfile.ZIP_BZIP2, n_blocks * BLOCK + len(header.getvalue())
    assert Path("bomb.npz").stat().st_size < 200_000
    before = everything(work)
    assert bz2.decompress(zeros(b"head", 2)) == b"head" + bytes(2 * BLOCK)  # it is what it says
    tracemalloc.start()
    try:
        for arguments in all_commands(["bomb.npz"], calibrator):
            one_line(command(capsys, *arguments), "in bomb.npz is compressed by bzip2; save it as")
        one_line(command(capsys, "apply", calibrator, "bomb.npz", "-o", "out.npz"), "is compressed by bzip2")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert everything(work) == before


def test_links_in_places_to_write(work, capsys, calibrator):
    """A link out of the folder is never written through, whatever is asked to be written."""
    np.savez("d.npz", logits=LOGITS, labels=LABELS)
    (work / "far").mkdir()
    (work / "far" / "victim").write_bytes(b"precious")
    for name in ("o.npz", "o.json", "o.html", "o.xml"):
        Path(name).symlink_to(work / "far" / "victim")
    Path("out").symlink_to(work / "far" / "new")
    Path("sub").mkdir()
    Path("sub/d.npz").symlink_to(work / "far" / "victim")
    before = everything(work)
    for arguments in (
        ("report", "d.npz", "--json", "o.json"),
        ("report", "d.npz", "--html", "o.html"),
        ("check", "d.npz", "--max", "ece=1", "--junit", "o.xml"),
        ("fit", "temperature", "d.npz", "-o", "o.json"),
        ("fit", "temperature", "d.npz", "-o", "new.json", "--json", "o.json"),
        ("convert", "d.npz", "-o", "o.npz", "--force"),
        ("apply", calibrator, "d.npz", "-o", "o.npz", "--force"),
        ("apply", calibrator, "d.npz", "-o", "sub", "--force"),
        ("info", "d.npz", "--json", "o.json"),
    ):
        one_line(command(capsys, *arguments), " is a link to ")
        assert everything(work) == before, arguments
    one_line(command(capsys, "convert", "d.npz", "-o", "out"), "exists")
    assert everything(work) == before


def test_nothing_that_is_read_is_written_over(work, capsys, calibrator):
    """Whatever it is called; nor are two things written to one place."""
    np.savez("d.npz", logits=LOGITS, labels=LABELS)
    Path("hard.npz").hardlink_to("d.npz")
    Path("soft.npz").symlink_to("d.npz")
    before = everything(work)
    for name in ("d.npz", "hard.npz", "soft.npz", "../in/d.npz"):
        for arguments in (
            ("report", "d.npz", "--json", name),
            ("report", "d.npz", "--html", name),
            ("check", "d.npz", "--max", "ece=1", "--json", name),
            ("compare", "d.npz", "d.npz", "--json", name),
            ("info", "d.npz", "--json", name),
            ("fit", "temperature", "d.npz", "-o", name),
            ("fit", "temperature", "d.npz", "-o", "cal.json", "--json", name),
            ("convert", "d.npz", "-o", name, "--force"),
            ("convert", "d.npz", "-o", "new.npz", "--json", name),
            ("apply", calibrator, "d.npz", "-o", name, "--force"),
            ("apply", calibrator, "d.npz", "-o", "new.npz", "--json", name),
        ):
            one_line(command(capsys, *arguments), " is read; write to another place")
            assert everything(work) == before, arguments
    for arguments in (
        ("report", "d.npz", "--json", "r", "--html", "../in/r"),
        ("fit", "temperature", "d.npz", "-o", "r", "--json", "r"),
        ("convert", "d.npz", "-o", "r.npz", "--json", "r.npz"),
        ("apply", calibrator, "d.npz", "-o", "r.npz", "--json", "r.npz"),
    ):
        one_line(command(capsys, *arguments), "would be written twice")
        assert everything(work) == before, arguments
    for arguments in (
        ("fit", "temperature", "d.npz", "-o", "-"),
        ("convert", "d.npz", "-o", "-"),
        ("apply", calibrator, "d.npz", "-o", "-"),
    ):
        one_line(command(capsys, *arguments), "-o - is no file")
        assert everything(work) == before, arguments
    for arguments in (("fit", "temperature", "d.npz", "-o", "r"), ("convert", "d.npz", "-o", "r.npz")):
        one_line(command(capsys, *arguments, "--json", "no/r.json"), "no/r.json cannot be written")
        assert everything(work) == before, arguments
