"""JSON lines: every form gives its numbers, by pyarrow as by the module json; errors name the line."""

from __future__ import annotations

import gzip
import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcal as fc
from fastcal.dumps import DumpError, Roles, lines, open_dumps, streams
from fastcal.runs import evaluate

pa = pytest.importorskip("pyarrow", reason="JSON lines need the io extra")
from fastcal.dumps import jsonl  # noqa: E402

RNG = np.random.default_rng(82)
LABELS = RNG.integers(0, 3, 40)
PROBS = RNG.dirichlet(np.ones(3), 40)
WEIGHTS = RNG.random(40)
GROUPS = RNG.choice(["b", "a c", "é", "7"], 40)


@pytest.fixture(params=[lines.BLOCK, 64], ids=["one block", "many blocks"])
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", request.param)


@pytest.fixture(params=[False, True], ids=["by columns", "by rows"])
def by_rows(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(jsonl.JsonDump, "_by_columns", lambda *_: None)


def written(records, end="\n"):
    return "".join(json.dumps(record) + end for record in records).encode()


def rows(scores=lambda p: {"probs": p.tolist()}, **more):
    return [
        {"id": i, **scores(PROBS[i]), "w": WEIGHTS[i], "doc": {"slice": str(GROUPS[i]), "n": i % 2}}
        | {"label": int(LABELS[i]), **more}
        for i in range(40)
    ]


def saved(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


def joined(found):
    parts = ([getattr(batch, name) for batch in found] for name in ("labels", "scores", "weights", "groups"))
    return [None if part[0] is None else np.concatenate(part) for part in parts]


def arrays(path, asked=Roles()):  # noqa: B008 - frozen
    (dump,) = open_dumps([path], asked)
    return joined(list(dump.batches()))


def of(data, asked=Roles()):  # noqa: B008 - frozen
    return joined(list(jsonl.open_stream(io.BytesIO(data), "text", asked).batches()))


@pytest.mark.usefixtures("block_bytes", "by_rows")
def test_every_value_comes_back(tmp_path):
    path = saved(tmp_path, "d.jsonl", written(rows()))
    labels, scores, weights, groups = arrays(path, Roles(weights="w", groups="doc.slice"))
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(scores, PROBS)
    np.testing.assert_array_equal(weights, WEIGHTS)
    assert groups.tolist() == GROUPS.tolist()
    assert labels.dtype.kind == "i"
    assert arrays(path, Roles(groups="doc.n"))[3].tolist() == [0, 1] * 20


@pytest.mark.usefixtures("block_bytes", "by_rows")
@pytest.mark.parametrize(
    ("scores", "asked"),
    [
        (lambda p: {"probs": list(map(repr, p.tolist()))}, Roles()),
        (lambda p: {f"probs_{k}": v for k, v in enumerate(p.tolist())}, Roles()),
        (lambda p: {f"probs_{k}": str(v) for k, v in enumerate(p.tolist())}, Roles()),
        (lambda p: dict(zip("cab", p.tolist(), strict=True)), Roles(probs="c,a,b")),
        (lambda p: {"output": {"p": p.tolist(), "q": {}}}, Roles(probs="output.p")),
        (lambda p: {"output.p": p.tolist()}, Roles(probs="output.p")),
    ],
)
def test_where_scores_stand(scores, asked):
    np.testing.assert_array_equal(of(written(rows(scores)), asked)[1], PROBS)


@pytest.mark.usefixtures("by_rows")
def test_single_probabilities_and_what_labels_may_be():
    data = written({"probs": p, "label": label} for p, label in ((0.25, True), ("0.5", False), (None, True)))
    labels, scores, *_ = of(data)
    np.testing.assert_array_equal(scores, [0.25, 0.5, np.nan])
    assert labels.tolist() == [1, 0, 1]
    data = written({"probs": 0.5, "label": label} for label in ("1", " 0 ", "true", 1.0))
    assert of(data)[0].tolist() == [1, 0, 1, 1]
    data = written({"probs": [0.5, 0.5], "label": label} for label in ("dog", " cat", "dog"))
    assert of(data, Roles(classes=("cat", "dog")))[0].tolist() == [1, 0, 1]
    data = written({"probs": [0.5, 0.5], "label": label} for label in (1, "0", 1.0, -100))
    assert of(data, Roles(classes=("1", "0"), ignore_index=-100))[0].tolist() == [0, 1, 0]
    data = written({"probs": [0.5, 0.5], "y": 1})
    with pytest.raises(DumpError):
        of(b'{"probs": [0.5, 0.5], "y": 1}\n')
    assert of(b'{"probs": [0.5, 0.5], "y": 1}\n', Roles(need_labels=False))[0].tolist() == [0]


@pytest.mark.usefixtures("by_rows")
def test_numbers_that_are_none_and_groups_of_any_kind():
    data = b'{"logits": [NaN, -Infinity, Infinity, 1e400], "label": 1, "g": true}\n'
    data += b'{"logits": [null, "nan", "-inf", "1e3"], "label": 1, "g": "x"}\n{"logits": [1,2,3,4], "label": 1, "g": 5}'
    _, scores, _, groups = of(data, Roles(groups="g"))
    wanted = [[np.nan, -np.inf, np.inf, np.inf], [np.nan, np.nan, -np.inf, 1000], [1, 2, 3, 4]]
    np.testing.assert_array_equal(scores, wanted)
    assert groups.tolist() == [True, "x", 5]
    assert of(b'{"logits": 1, "label": 1, "g": true}', Roles(groups="g"))[3].tolist() == [True]


def test_figures_and_forms_of_files(tmp_path):
    data = written(rows())
    own = fc.Evaluation().update(LABELS, PROBS).compute().to_dict()
    for name, given_ in (
        ("a.jsonl", data),
        ("a.ndjson", data.replace(b"\n", b"\r\n\r\n")),
        ("a.jsonl.gz", gzip.compress(data)),
        ("a.jsonl.zst", pa.compress(data, codec="zstd", asbytes=True)),
        ("a.json", b"\xef\xbb\xbf\n" + data.rstrip()),
    ):
        dumps = open_dumps([saved(tmp_path, name, given_)], Roles())
        np.testing.assert_equal(evaluate(dumps, fc.Evaluation()).compute().to_dict(), own)
        assert pickle.loads(pickle.dumps(dumps[0])).files == dumps[0].files
    dump = streams.open_text(io.BytesIO(data), "standard input", Roles())
    np.testing.assert_equal(evaluate([dump], fc.Evaluation()).compute().to_dict(), own)
    (piece,) = dumps[0].pieces()
    assert sum(batch.n_rows for batch in dumps[0].read(piece, 33)) == 7


def test_fast_where_it_can_be():
    """pyarrow reads what is regular: the module json would take ten times as long, and nobody would notice."""
    for data in (written(rows()), written(rows(lambda p: {"probs": list(map(str, p.tolist()))}))):
        dump = jsonl.open_stream(io.BytesIO(data), "text", Roles(weights="w", groups="doc.slice"))
        (block,) = dump._lines.blocks(lines.last_line_end)
        assert dump._by_columns(block) is not None


GOOD = b'{"probs": [0.5, 0.5], "label": 1}\n'
HOSTILE = {
    "empty.jsonl": (b"", "empty.jsonl is empty; expected an object a line"),
    "blank.jsonl": (b"\n \n", "blank.jsonl is empty; expected an object a line"),
    "array.jsonl": (b"[" + GOOD + b"]", "array.jsonl is one array; expected an object a line"),
    "number.jsonl": (b"3\n", "number.jsonl: line 1 is no JSON object"),
    "later-number.jsonl": (GOOD + b"3\n", "line 2 is no JSON object"),
    "text.jsonl": (b"probs,label\n", "line 1 is no JSON: Expecting value"),
    "cut.jsonl": (GOOD + GOOD[:20], "cut.jsonl: line 2 is no JSON: Expecting"),
    "two.jsonl": (GOOD[:-1] + GOOD, "two.jsonl: line 1 is no JSON: Extra data"),
    "two-later.jsonl": (GOOD + GOOD[:-1] + GOOD, "line 2 is no JSON: Extra data"),
    "spread.jsonl": (GOOD + GOOD.replace(b", ", b",\n"), "line 2 is no JSON"),
    "ragged.jsonl": (GOOD + GOOD + GOOD.replace(b"[", b"[0.5,"), "line 3: probs holds 3 numbers, the first 2"),
    "no-numbers.jsonl": (GOOD.replace(b"0.5, 0.5", b""), "probs holds 0 numbers; expected 1 to"),
    "nested.jsonl": (GOOD + GOOD.replace(b"[0.5,", b"[[0.5],"), r"line 2: probs is \[0.5\], no number"),
    "scalar.jsonl": (GOOD + b'{"probs": 0.5, "label": 1}\n', "line 2: probs is 0.5; expected a list of numbers"),
    "object.jsonl": (b'{"probs": {"a": 0.5}, "label": 1}\n', r"line 1: probs is {'a': 0.5}, no number"),
    "list.jsonl": (b'{"probs": 0.5, "label": [1]}\n', r"line 1: label is \[1\], no number"),
    "bool.jsonl": (GOOD + GOOD.replace(b"[0.5", b"[true"), "line 2: probs is True, no number"),
    "word.jsonl": (GOOD + GOOD.replace(b"[0.5", b'["high"'), "line 2: probs is 'high', no number"),
    "no-score.jsonl": (GOOD + b'{"label": 1}\n', "line 2 has no 'probs'"),
    "null-row.jsonl": (GOOD + b'{"probs": null, "label": 1}\n', "line 2: probs is None; expected a list"),
    "no-label.jsonl": (GOOD + b'{"probs": [0.5, 0.5]}\n', "line 2 has no 'label'"),
    "null-label.jsonl": (GOOD + GOOD.replace(b": 1", b": null"), "line 2: label is missing"),
    "empty-label.jsonl": (GOOD.replace(b": 1", b': ""'), "line 1: label is missing"),
    "text-label.jsonl": (GOOD.replace(b": 1", b': "cat"'), "line 1: label is 'cat', no number; for text say --classes"),
    "half-label.jsonl": (GOOD + GOOD.replace(b": 1", b": 0.5"), r"label\[1\] is 0.5; labels are integers 0 to 1"),
    "far-label.jsonl": (GOOD + GOOD.replace(b": 1", b": 1e300"), r"label\[1\] is 1e\+300; labels are integers"),
    "class.jsonl": (GOOD + GOOD.replace(b": 1", b": 2"), r"label\[1\] is 2; labels are integers 0 to 1"),
    "range.jsonl": (GOOD + GOOD.replace(b"[0.5", b"[1.5"), r"probs\[1, 0\] is 1.5; probabilities lie"),
    "null.jsonl": (GOOD + GOOD.replace(b"[0.5", b"[null"), r"probs\[1, 0\] is nan"),
    "twice.jsonl": (GOOD + GOOD.replace(b"{", b'{"label": 0, '), "line 2: 'label' stands twice in an object"),
    "twice-first.jsonl": (GOOD.replace(b"{", b'{"label": 0, '), "line 1: 'label' stands twice in an object"),
    "names.jsonl": (b'{"a": 1, "b": 2}\n', r"neither logits nor probabilities by name \(a, b\); say --logits NAME"),
    "gap.jsonl": (b'{"probs_0": 1, "probs_2": 2, "label": 1}\n', "not every one from probs_0 to it"),
    "deep.jsonl": (GOOD.replace(b"{", b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b", "), "nested too deeply"),
    "digits.jsonl": (GOOD.replace(b"{", b'{"x": ' + b"1" * 5000 + b", "), "is no JSON: Exceeds the limit"),
    "zip.jsonl.gz": (b"\x1f\x8bnot really", "zip.jsonl.gz is damaged"),
    "wide.jsonl": (GOOD.decode().encode("utf-16"), "is UTF-16; expected UTF-8"),
    "nul.jsonl": (GOOD + b"\0" + GOOD, "line 2 is no JSON"),
    "escape.jsonl": (GOOD.replace(b": 1", b': "\\u001b[31m"'), r"label is '\\x1b\[31m', no number"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    data, message = HOSTILE[name]
    with pytest.raises(DumpError, match=message) as caught:
        evaluate(open_dumps([saved(tmp_path, name, data)], Roles()), fc.Evaluation())
    assert str(caught.value).isprintable()


def test_other_columns_that_are_wrong():
    with_more = GOOD.replace(b"}", b', "w": 1, "g": "a", "doc": {"w": 1}}')
    for old, new, asked, message in (
        (b'"w": 1,', b'"w": "x",', Roles(weights="w"), "text: line 2: w is 'x', no number"),
        (b'"w": 1,', b'"w": null,', Roles(weights="w"), "text: line 2: w is None, no number"),
        (b'"a"', b"null", Roles(groups="g"), "text: line 2: g is None; expected text or a number"),
        (b'"a"', b"[1]", Roles(groups="g"), r"text: line 2: g is \[1\]; expected text or a number"),
        (b'"a"', b'"\\ud800"', Roles(groups="g"), "text: line 2: g is not UTF-8"),
        (b'"a"', b'"\xff"', Roles(groups="g"), "text: line 2: g is not UTF-8"),
        (b'{"w": 1}', b"3", Roles(weights="doc.w"), r"text: line 2 has no 'doc.w'"),
        (b'{"w": 1}', b"{}", Roles(weights="doc.w"), r"text: line 2 has no 'doc.w'"),
        (b"", b"", Roles(weights="doc.w.x"), r"text: line 1 has no 'doc.w.x'"),
        (b"", b"", Roles(weights="doc"), r"text: line 1: doc is {'w': 1}, no number"),
        (b"", b"", Roles(weights="doc", groups="doc.w"), r"text: line 1: doc is {'w': 1}, no number"),
        (b"", b"", Roles(weights="doc.w", groups="doc"), r"text: line 1: doc is {'w': 1}; expected text or a number"),
    ):
        data = with_more + with_more.replace(old, new)
        with pytest.raises(DumpError, match=message):
            of(data, asked)
    assert of(with_more.replace(b'"a"', b'"\xc3\xa9"').replace(b'"w"', b'"\xff"', 1), Roles(groups="g"))[3] == ["é"]


def test_lines_without_end_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 64)
    monkeypatch.setattr(jsonl, "MAX_LINE", 100)
    with pytest.raises(DumpError, match=r"text: line 1 is longer than 0 MB"):
        of(GOOD.replace(b"{", b"{" + b" " * 400))
    monkeypatch.setattr(lines, "PART", 8)
    np.testing.assert_array_equal(of(GOOD * 9)[1], np.full((9, 2), 0.5))


def test_files_that_are_not_there(tmp_path):
    path = saved(tmp_path, "d.jsonl", GOOD)
    (dump,) = open_dumps([path], Roles())
    path.write_bytes(GOOD.replace(b"probs", b"other"))
    with pytest.raises(DumpError, match="line 1 has no 'probs'"):
        list(dump.batches())
    path.unlink()
    with pytest.raises(DumpError, match="cannot be read: No such file"):
        list(dump.batches())


VALUES = st.one_of(
    st.floats(width=32),
    st.integers(-9, 9),
    st.booleans(),
    st.none(),
    st.sampled_from(["0.5", " 1", "nan", "1_0", "", "x"]),
)
LISTS = st.one_of(VALUES, st.lists(VALUES, min_size=1, max_size=3), st.lists(st.floats(), min_size=2, max_size=2))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LISTS, VALUES, VALUES), min_size=1, max_size=4), st.booleans())
def test_pyarrow_and_the_module_json_agree(values, named):
    """What pyarrow takes, it takes as the module json does; what that refuses, pyarrow refuses too."""
    data = written({"logits": scores, "label": label, "g": group} for scores, label, group in values)
    asked = Roles(groups="g", classes=("x", "0.5") if named else None)
    try:
        dump = jsonl.open_stream(io.BytesIO(data), "text", asked)
    except DumpError:
        return
    (block,) = dump._lines.blocks(lines.last_line_end)
    fast = dump._by_columns(block)
    try:
        slow = dump._by_rows(block)
    except DumpError:
        assert fast is None
        return
    if fast is not None:
        for one, other in zip(fast, slow, strict=True):
            left = one.objects() if hasattr(one, "objects") else one
            np.testing.assert_array_equal(left, other)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(3, 80))
def test_any_bytes_give_rows_or_one_line(data, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        for text in (GOOD + data, data, b'[{"doc_id": 1' + data):
            try:
                dump = streams.open_text(io.BytesIO(text), "bytes", Roles())
                outcome = "rows" * sum(batch.n_rows for batch in dump.batches())
            except DumpError as error:
                outcome = str(error)
            assert outcome
            assert outcome.isprintable()
