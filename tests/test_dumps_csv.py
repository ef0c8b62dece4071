"""CSV and TSV: every form gives the figures of its numbers; what is wrong in one is said with its line."""

from __future__ import annotations

import csv as stdlib_csv
import gzip
import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcal as fc
from fastcal.dumps import DumpError, Roles, lines, open_dumps, streams
from fastcal.runs import evaluate

pa = pytest.importorskip("pyarrow", reason="CSV needs the io extra")
from fastcal.dumps import csv  # noqa: E402

RNG = np.random.default_rng(81)
LABELS = RNG.integers(0, 3, 60)
PROBS = RNG.dirichlet(np.ones(3), 60)
WEIGHTS = RNG.random(60)
GROUPS = RNG.choice(["b", "a c", 'say "x"\nand y', "7", "12"], 60)
NAMES = ["probs_0", "probs_1", "probs_2"]


@pytest.fixture(params=[lines.BLOCK, 64], ids=["one block", "many blocks"])
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", request.param)
    monkeypatch.setattr(csv, "COLUMN", 1)


def written(header, rows, *, end="\n", separator=",", quoting=stdlib_csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = stdlib_csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def table(**options):
    rows = [[i, *PROBS[i], WEIGHTS[i], GROUPS[i], LABELS[i]] for i in range(60)]
    return written(["id", *NAMES, "w", "slice", "label"], rows, **options)


def arrays(path, asked=Roles()):  # noqa: B008 - frozen
    (dump,) = open_dumps([path], asked)
    found = list(dump.batches())
    parts = ([getattr(b, name) for b in found] for name in ("labels", "scores", "weights", "groups"))
    return [None if part[0] is None else np.concatenate(part) for part in parts]


def saved(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


FULL = Roles(weights="w", groups="slice")
AS_READ = [int(one) if one.isdigit() else one for one in GROUPS.tolist()]


@pytest.mark.usefixtures("block_bytes")
@pytest.mark.parametrize("quoting", [stdlib_csv.QUOTE_MINIMAL, stdlib_csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_value_comes_back(tmp_path, end, quoting):
    for name, separator in (("d.csv", ","), ("d.tsv", "\t")):
        path = saved(tmp_path, name, table(end=end, quoting=quoting, separator=separator))
        labels, scores, weights, groups = arrays(path, FULL)
        np.testing.assert_array_equal(labels, LABELS)
        np.testing.assert_array_equal(scores, PROBS)
        np.testing.assert_array_equal(weights, WEIGHTS)
        assert groups.tolist() == AS_READ
        assert labels.dtype.kind == "i"


@pytest.mark.usefixtures("block_bytes")
def test_figures_are_those_of_the_arrays(tmp_path):
    path = saved(tmp_path, "d.csv", table())
    dumps = open_dumps([path], FULL)
    report = evaluate(dumps, fc.Evaluation(groups=True)).compute().to_dict()
    own = fc.Evaluation(groups=True).update(LABELS, PROBS, sample_weight=WEIGHTS, groups=AS_READ).compute()
    np.testing.assert_equal(report, own.to_dict())
    again = pickle.loads(pickle.dumps(dumps[0]))
    assert sum(batch.n_rows for batch in again.batches()) == 60
    assert again.files == (path,)


def test_compressed_and_with_a_mark_and_blank_lines(tmp_path):
    data = table()
    zst = pa.compress(data, codec="zstd", asbytes=True)
    for name, given_ in (
        ("a.csv.gz", gzip.compress(data[:1000]) + gzip.compress(data[1000:])),
        ("b.csv.zst", zst),
        ("c.csv", b"\xef\xbb\xbf" + data),
        ("d.csv", b"\r\n\n" + data + b"\n\n"),
        ("e.csv", data.rstrip(b"\n")),
        ("f.csv", table(quoting=stdlib_csv.QUOTE_NONNUMERIC)),
    ):
        labels, scores, *_ = arrays(saved(tmp_path, name, given_))
        np.testing.assert_array_equal(scores, PROBS)
        np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(DumpError, match=r"cut.csv.gz is damaged: Truncated"):
        arrays(saved(tmp_path, "cut.csv.gz", gzip.compress(data)[:-30]))
    with pytest.raises(DumpError, match=r"bad.csv.zst is damaged"):
        arrays(saved(tmp_path, "bad.csv.zst", zst[:30] + bytes(9) + zst[39:]))


def test_old_macs_line_ends_and_quotes_within_text(tmp_path):
    path = saved(tmp_path, "mac.csv", b"p,label\r0.25,1\r0.5,0\r")
    labels, scores, *_ = arrays(path, Roles(probs="p"))
    assert (labels.tolist(), scores.tolist()) == ([1, 0], [0.25, 0.5])
    path = saved(tmp_path, "inch.csv", b'p,label,size\n0.25,1,5" disk\n0.5,0,"a, ""b""\n"\n0.5,1,""x\n')
    labels, scores, _, groups = arrays(path, Roles(probs="p", groups="size"))
    assert groups.tolist() == ['5" disk', 'a, "b"\n', "x"]
    assert scores.tolist() == [0.25, 0.5, 0.5]


def test_values_that_are_missing_or_written_otherwise(tmp_path):
    rows = [[" 0.5 ", " 1 "], ["5e-1", "1.0"], ["+.5", "TRUE"], ["", "0"], ["nan", "false"], ["NA", "1e0"], ["-NaN", 1]]
    labels, scores, *_ = arrays(saved(tmp_path, "a.csv", written(["probs", "label"], rows)))
    np.testing.assert_array_equal(scores, [0.5, 0.5, 0.5, *[np.nan] * 4])
    assert labels.tolist() == [1, 1, 1, 0, 0, 1, 1]
    data = written(["logits", "label"], [["-inf", 1], ["Infinity", 0], ["1e400", 0]])
    assert arrays(saved(tmp_path, "b.csv", data))[1].tolist() == [-np.inf, np.inf, np.inf]


def test_labels_by_name_and_left_out(tmp_path):
    data = written(["probs_0", "probs_1", "label"], [[0.5, 0.5, " cat"], [0.25, 0.75, "NA"], [0, 1, "-100"]])
    path = saved(tmp_path, "a.csv", data)
    labels, scores, *_ = arrays(path, Roles(classes=("NA", "cat"), ignore_index=-100))
    assert (labels.tolist(), scores.tolist()) == ([1, 0], [[0.5, 0.5], [0.25, 0.75]])
    with pytest.raises(DumpError, match=r"label\[2\] is '-100', none of NA, cat"):
        arrays(path, Roles(classes=("NA", "cat")))
    with pytest.raises(DumpError, match=r"a.csv: line 2: label is ' cat', no number; for text say --classes"):
        arrays(path)
    data = written(["probs", "label"], [[0.5, 1], [0.5, -100], [0.5, 0]])
    (dump,) = open_dumps([saved(tmp_path, "b.csv", data)], Roles(ignore_index=-100))
    (batch,) = dump.batches()
    assert (batch.labels.tolist(), batch.n_ignored) == ([1, 0], 1)


def test_names_of_columns(tmp_path):
    data = written(["a", "b", " label", "label2"], [[0.25, 0.75, 1, 5], [0.5, 0.5, 0, 5]])
    path = saved(tmp_path, "a.csv", data)
    assert arrays(path, Roles(probs="b,a", labels="label"))[1].tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert arrays(path, Roles(probs="b", need_labels=False))[0].tolist() == [0, 0]
    assert arrays(saved(tmp_path, "one.csv", b"probs_0,label\n1,0\n"))[1].tolist() == [[1.0]]
    assert arrays(saved(tmp_path, "twice.csv", b"x,x,probs,label\n1,2,0.5,0\n"))[1].tolist() == [0.5]
    assert arrays(saved(tmp_path, "quoted.csv", b'"pro\n""bs",label\n0.5,0\n'), Roles(probs='pro\n"bs'))[1] == [0.5]


@pytest.mark.usefixtures("block_bytes")
def test_rows_that_are_skipped(tmp_path):
    (dump,) = open_dumps([saved(tmp_path, "d.csv", table())], Roles())
    (piece,) = dump.pieces()
    for skip in (0, 1, 7, 59, 60):
        found = [batch.scores for batch in dump.read(piece, skip)]
        np.testing.assert_array_equal(np.concatenate([np.empty((0, 3)), *found]), PROBS[skip:])


def test_streams(tmp_path):
    for data in (table(), table(separator="\t"), gzip.compress(table())):
        dump = streams.open_text(io.BytesIO(data), "standard input", FULL)
        assert dump.files == ()
        with pytest.raises(DumpError, match="cannot be handed to another process"):
            pickle.dumps(dump)
        np.testing.assert_array_equal(np.concatenate([batch.scores for batch in dump.batches()]), PROBS)
        with pytest.raises(DumpError, match="standard input can be read once only"):
            list(dump.batches())
    dump = csv.open_stream(io.BytesIO(table()), "pipe", Roles())
    assert sum(batch.n_rows for batch in dump.batches()) == 60


long = b"probs,label\n0.5,1\n" + b"x" * 400 + b"\n"
HOSTILE = {
    "empty.csv": (b"", "empty.csv is empty; expected a line with the names"),
    "blank.csv": (b" \n\n", "blank.csv is empty; expected a line with the names"),
    "header.csv": (b"probs,label\n", "no rows"),
    "no-header.csv": (b"0.5,1\n0.25,0\n", "has numbers in its first line; expected the names of the columns"),
    "no-scores.csv": (b"a,label\n1,1\n", r"neither logits nor probabilities by name \(a, label\); say --logits NAME"),
    "no-labels.csv": (b"probs,a\n1,1\n", r"has no labels by name \(a, probs\)"),
    "gap.csv": (b"probs_0,probs_2,label\n1,1,1\n", "has a column probs_2, but not every one from probs_0"),
    "twice.csv": (b"probs,label,label\n1,1,1\n", "has more than one column 'label'"),
    "short.csv": (b"probs,label\n0.5,1\n\n0.5\n", "short.csv: line 4 has 1 columns, the first line has 2"),
    "long.csv": (b"probs,label\n0.5,1\n0.5,1,2\n", "long.csv: line 3 has 3 columns, the first line has 2"),
    "text.csv": (b'probs,label,x\n0.5,1,"a\nb"\nhigh,1,c\n', "text.csv: line 4: probs is 'high', no number"),
    "list.csv": (b'probs,label\n"[0.5, 0.5]",1\n', "list.csv: line 2: probs is '\\[0.5, 0.5\\]', no number"),
    "none.csv": (b"probs,label\nNone,1\n", "none.csv: line 2: probs is 'None', no number"),
    "under.csv": (b"probs,label\n1_0,1\n", "under.csv: line 2: probs is '1_0', no number"),
    "missing.csv": (b"probs,label\n0.5,1\n0.5, \n", "missing.csv: line 3: label is missing"),
    "label.csv": (b"probs,label\n0.5,1\n0.5,3x\n", "label.csv: line 3: label is '3x', no number; for text say"),
    "half.csv": (b"probs,label\n0.5,1\n0.5,0.5\n", r"half.csv: label\[1\] is 0.5; labels are integers"),
    "class.csv": (b"probs,label\n0.5,1\n0.5,2\n", r"class.csv: label\[1\] is 2; labels are integers 0 to 1"),
    "nan.csv": (b"probs,label\n0.5,1\n,1\n", r"nan.csv: probs\[1\] is nan"),
    "range.csv": (b"probs,label\n0.5,1\n1.2,1\n", r"range.csv: probs\[1\] is 1.2; probabilities lie in"),
    "open.csv": (b'probs,label,x\n0.5,1,"a\n0.5,1,b\n', "a quote in the lines from 2 on is never closed"),
    "latin.csv": (b"probs,label,g\n0.5,1,a\n0.5,1,\xe9\n", "latin.csv: line 3: g is not UTF-8"),
    "latin-name.csv": (b"probs,label,g,\xe9\n0.5,1,a,b\n", "has no line of column names: 'utf-8' codec"),
    "wide.csv": ("probs,label,g\n0.5,1,a\n".encode("utf-16"), "wide.csv is UTF-16; expected UTF-8"),
    "open-name.csv": (b'probs,"label\n0.5,1\n', "has no line of column names: unexpected end of data"),
    "line.csv": (long, "line.csv: line 3 has 1 columns"),
    "bytes.csv": (bytes(range(256)) * 3, "has no line of column names|has neither logits"),
    "zip.csv.gz": (b"\x1f\x8bnot really", "zip.csv.gz is damaged"),
    "escape.csv": (b"probs,label,\x1b[31m\n0.5,1\n", "line 2 has 2 columns, the first line has 3"),
    "markup.csv": (b"\x1b[31mprobs,label\n0.5,1\n", r"\(\\x1b\[31mprobs, label\)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    data, message = HOSTILE[name]
    path = saved(tmp_path, name, data)
    asked = Roles(groups="g") if name == "latin.csv" else Roles()
    with pytest.raises(DumpError, match=message) as caught:
        evaluate(open_dumps([path], asked), fc.Evaluation(groups=asked.groups is not None))
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("block_bytes")
def test_columns_that_are_not_there(tmp_path):
    path = saved(tmp_path, "d.csv", table())
    for asked, message in (
        (Roles(probs="q"), "d.csv has no column 'q'; it has id, probs_0"),
        (Roles(weights="q"), "d.csv has no column 'q'"),
        (Roles(groups="q"), "d.csv has no column 'q'"),
        (Roles(probs="probs_0,q"), "d.csv has no column 'q'"),
    ):
        with pytest.raises(DumpError, match=message):
            arrays(path, asked)
    (dump,) = open_dumps([path], Roles())
    path.write_bytes(b"other,names\n1,2\n")
    with pytest.raises(DumpError, match="has changed while it was read"):
        list(dump.batches())
    path.unlink()
    with pytest.raises(DumpError, match=r"d.csv cannot be read: No such file"):
        list(dump.batches())


def test_a_line_without_end_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 64)
    monkeypatch.setattr(csv, "COLUMN", 1)
    path = saved(tmp_path, "long.csv", long)
    monkeypatch.setattr(csv.CsvDump, "longest", 128)
    with pytest.raises(DumpError, match=r"long.csv: line 3 is longer than 0 MB"):
        arrays(path)
    monkeypatch.setattr(csv, "MOST_COLUMNS", 3)
    with pytest.raises(DumpError, match=r"a.csv has more than 3 columns"):
        arrays(saved(tmp_path, "a.csv", b"a,b,c,d,probs,label\n"))


def test_columns_are_bounded(tmp_path, monkeypatch):
    path = saved(tmp_path, "d.csv", table())
    monkeypatch.setattr(csv, "MOST_SCORES", 2)
    with pytest.raises(DumpError, match=r"d\.csv has 3 columns of scores, at most 2 are read of text"):
        arrays(path)


def test_rows_wider_than_what_a_thread_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PART", 16)
    monkeypatch.setattr(csv, "COLUMN", 1)
    np.testing.assert_array_equal(arrays(saved(tmp_path, "d.csv", table()))[1], PROBS)


FIELDS = st.text(st.sampled_from('a,"\n\r \t1'), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=12), st.integers(4, 40), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_text_and_any_blocks_are_what_the_standard_library_wrote(texts, block, end, every):
    """Rows are cut at the right line ends, whatever stands in quotes."""
    texts = texts if every else [text.replace("\r", "") for text in texts]  # which the library writes without quotes
    rows = [[place, text, 0.5] for place, text in enumerate(texts)]
    quoting = stdlib_csv.QUOTE_ALL if every else stdlib_csv.QUOTE_MINIMAL
    data = written(["label", "text", "logits"], rows, end=end, quoting=quoting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        patch.setattr(csv, "COLUMN", 1)
        dump = csv.open_stream(io.BytesIO(data), "text", Roles(groups="text"))
        found = list(dump.batches())
    assert [label for batch in found for label in batch.labels.tolist()] == list(range(len(texts)))
    assert [str(one) for batch in found for one in batch.groups.tolist()] == texts


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(3, 50))
def test_any_bytes_give_rows_or_one_line(data, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        patch.setattr(csv, "COLUMN", 1)
        try:
            dump = csv.open_stream(io.BytesIO(b"logits,label,x\n0.5,1,a\n" + data), "bytes", Roles(groups="x"))
            outcome = "rows" * sum(batch.n_rows for batch in dump.batches())
        except DumpError as error:
            outcome = str(error)
    assert outcome
    assert outcome.isprintable()
