"""Samples of lm-evaluation-harness: both forms give the log-likelihoods; what has none is refused in a line."""

from __future__ import annotations

import gzip
import io
import json
import pickle

import numpy as np
import pytest
from lm_eval_files import TASKS, documents, expected, generated, name, sample, samples, written

import fastcal as fc
from fastcal.dumps import DumpError, Roles, batches, lines, open_dumps, streams
from fastcal.runs import evaluate

pytest.importorskip("pyarrow", reason="JSON lines need the io extra")
from fastcal.dumps import lm_eval


def saved(folder, file, records, **options):
    path = folder / file
    path.write_bytes(records if isinstance(records, bytes) else written(records, **options))
    return path


def joined(dumps):
    found = [batch for dump in dumps for batch in dump.batches()]
    parts = ([getattr(batch, name) for batch in found] for name in ("labels", "scores", "weights", "groups"))
    return [None if part[0] is None else np.concatenate(part) for part in parts]


def arrays(path, asked=Roles()):  # noqa: B008 - frozen
    return joined(open_dumps([path], asked))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("form", ["text", "numbers", "array"])
def test_every_task_in_every_form(tmp_path, task, form, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 100)
    monkeypatch.setattr(lines, "BLOCK", 300)
    new = form == "text"
    path = saved(tmp_path, name(task), samples(task, new=new), indent=2 if form == "array" else None)
    (dump,) = open_dumps([path], Roles(groups="task"))
    labels, scores, weights, groups = joined([dump])
    wanted, gold = expected([task])
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(labels, gold)
    assert dump.roles.from_logits
    assert (weights, set(groups), dump.n_rows) == (None, {task}, 12)
    right = [record["acc"] == 1 for record in samples(task, new=new)]
    assert (scores.argmax(axis=1) == labels).tolist() == right
    (piece,) = dump.pieces()
    assert piece.n_rows == 12
    assert sum(batch.n_rows for batch in dump.read(piece, 5)) == 7
    assert sum(batch.n_rows for batch in pickle.loads(pickle.dumps(dump)).batches()) == 12


def test_tasks_together_have_as_many_columns_as_the_widest(tmp_path):
    paths = [saved(tmp_path, name(task), samples(task, new=k % 2 == 0)) for k, task in enumerate(TASKS)]
    dumps = open_dumps(paths, Roles(groups="task"))
    labels, scores, _, groups = joined(dumps)
    wanted, gold = expected(TASKS)
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(labels, gold)
    assert groups.tolist() == [task for task in TASKS for _ in range(12)]
    report = evaluate(dumps, fc.Evaluation(from_logits=True, groups=True)).compute()
    p = fc.softmax(wanted)
    assert report["accuracy"] == np.mean(p.argmax(axis=1) == gold)
    np.testing.assert_allclose(report["nll"], -np.log(p[np.arange(48), gold]).mean(), rtol=1e-12)
    np.testing.assert_allclose(report["ece"], fc.ece(gold, p), rtol=1e-12)
    assert report["groups"].labels == sorted(TASKS)


def test_whatever_the_file_is_called(tmp_path):
    for file, task in (
        ("run.jsonl", "run"),
        ("samples_arc_easy.jsonl", "arc_easy"),
        ("samples_leaderboard_bbh_x_2024-07-01T12-34-56.789012.jsonl", "leaderboard_bbh_x"),
        ("samples_arc_easy_2024-07-01T12:34:56.jsonl.gz", "arc_easy"),
    ):
        data = written(samples("arc_easy"))
        path = saved(tmp_path, file, gzip.compress(data) if file.endswith("gz") else data)
        assert set(arrays(path, Roles(groups="task"))[3]) == {task}


def test_slices_and_weights_by_a_path(tmp_path):
    path = saved(tmp_path, name("mmlu_anatomy"), samples("mmlu_anatomy", weight="0.5", few={"n": 3}))
    _, _, weights, groups = arrays(path, Roles(weights="weight", groups="doc.subject"))
    assert groups.tolist() == ["anatomy 0", "anatomy 1"] * 6
    assert weights.tolist() == [0.5] * 12
    assert arrays(path, Roles(groups="few.n"))[3].tolist() == [3] * 12
    assert arrays(path, Roles(need_labels=False))[0].tolist() == [0] * 12
    np.testing.assert_array_equal(arrays(path, Roles(labels="doc.answer"))[0], expected(["mmlu_anatomy"])[1])


def test_the_first_filter_of_a_file_counts_and_documents_once(tmp_path):
    first, second = samples("boolq", kept="none"), samples("boolq", kept="other", seed=1)
    wanted = expected(["boolq"])[0]
    for records in (
        first + second,
        [one for pair in zip(first, second, strict=True) for one in pair],
        first + first[:3],
    ):
        np.testing.assert_array_equal(arrays(saved(tmp_path, name("boolq"), records))[1], wanted)
    path = saved(tmp_path, name("boolq"), [*first, first[2] | {"target": "1", "filtered_resps": [["-1", "x"]] * 2}])
    with pytest.raises(DumpError, match=r"line 13: doc_id 2 stands twice, with different values"):
        arrays(path)
    named = [one | {"doc_id": f"id-{one['doc_id']}"} for one in first]
    np.testing.assert_array_equal(arrays(saved(tmp_path, name("boolq"), named))[1], wanted)


def test_unconditional_log_likelihoods_are_left_out(tmp_path):
    records = samples("hellaswag", metrics=["acc", "acc_mutual_info"])
    for record in records:
        record["filtered_resps"] = record["filtered_resps"] + [["-1.0", "False"]] * 4
    np.testing.assert_array_equal(arrays(saved(tmp_path, name("hellaswag"), records))[1], expected(["hellaswag"])[0])


def test_responses_without_a_filter(tmp_path):
    records = samples("boolq", new=False)
    for record in records:
        del record["filtered_resps"]
    np.testing.assert_array_equal(arrays(saved(tmp_path, name("boolq"), records))[1], expected(["boolq"])[0])


def one(target, doc=None, **more):
    """A document with four choices whose continuations are those of an ARC question."""
    doc = doc or {"choices": {"text": ["red", "green", "blue", "4"], "label": ["A", "B", "C", "D"]}}
    record = sample(7, doc, ["red", "green", "blue", "4"], np.array([-1.0, -2, -3, -4]), 0)
    return record | {"target": target} | more


def test_targets():
    def label(target, doc=None, **more):
        return lm_eval._answer(target, one(target, doc, **more), 4, Roles(labels="target"))

    assert [label(target) for target in (2, "2", " 2 ", True, "C", "blue", " blue", "4", [1], "[1]", "['green']")] == [
        *(2, 2, 2, 1, 2, 2, 2, 3, 1, 1, 1)
    ]
    assert label("one", {"choices": ["zero", "one", "two", "three"]}) == 1
    assert label("blue", {"question": "?"}) == 2
    assert lm_eval._answer("-100", one("-100"), 4, Roles(ignore_index=-100)) == -100
    for target, doc, message in (
        ("4.0", None, "none of its 4 choices"),
        (4, None, "target is 4, none of its 4 choices by number, label or text"),
        (-1, None, "target is -1, none of"),
        ("E", None, "target is 'E', none of"),
        ("[0, 2]", None, "none of"),
        ([0, 2], None, r"target is \[0, 2\], none of"),
        (None, None, "target is None"),
        (1.0, None, r"target is 1.0"),
        ("same", {"choices": ["same", "same", "x", "y"]}, "target 'same' is several of its choices"),
    ):
        with pytest.raises(lm_eval.Refused, match=message):
            label(target, doc)
    with pytest.raises(lm_eval.Refused, match=r"acc is 0\.43: more than one choice is right in part"):
        label(0, acc=0.43)


BAD = {
    "generated": (list(generated()), r"line 1 \(doc_id 0\): filtered_resps holds text that the model generated; cali"),
    "rolling": ([one(0, filtered_resps=["-1234.5"])], r"\(doc_id 7\): filtered_resps holds text"),
    "rolling numbers": ([one(0, filtered_resps=[-1234.5])], r"\(doc_id 7\): filtered_resps holds -1234.5; calibration"),
    "nothing": ([one(0, filtered_resps=[])], r"filtered_resps is \[\]; expected a log-likelihood for each choice"),
    "null": ([one(0, filtered_resps=None)], r"filtered_resps is None; expected"),
    "word": ([one(0, filtered_resps=[["high", "True"]])], r"filtered_resps holds \['high', 'True'\]; calibration"),
    "triple": ([one(0, filtered_resps=[[-1, True, 3]])], r"filtered_resps holds \[-1, True, 3\]"),
    "no target": ([{"doc_id": 1, "resps": [[[-1, True]]]}], r"line 1 \(doc_id 1\): no 'target'"),
    "target": ([one(0), one("E", doc_id="x")], r"line 2 \(doc_id 'x'\): target is 'E', none of its 4 choices"),
    "other": ([one(0), {"doc_id": 3}], r"line 2 is no sample of lm-evaluation-harness: no doc_id or no resps"),
    "doc_id": ([one(0, doc_id=[1])], "doc_id or filter is no text or number"),
    "filter": ([one(0, filter=3)], "doc_id or filter is no text or number"),
    "nan": ([one(0, filtered_resps=[["nan", "False"], ["-1", "True"]])], r"filtered_resps\[0, 0\] is nan"),
    "certain": ([one(0, filtered_resps=[["-inf", "False"]] * 2)], r"filtered_resps\[0\] has no logit above -inf"),
    "twice": (
        b'{"doc_id": 1, "resps": [[[-1, true]]], "target": 0, "target": 0}',
        r"\(doc_id 1\): 'target' stands twice",
    ),
    "cut": (written([one(0)]) + b'{"doc_id', "line 2 is no JSON"),
    "cut array": (written([one(0)] * 2, indent=1)[:-300], "object 2 is no JSON"),
    "open array": (written([one(0)], indent=1)[:-1], "object 2 is no JSON|ends within its array"),
    "array of numbers": (written([one(0)], indent=1)[:-2] + b", 3]", "object 2 is no JSON object"),
    "deep array": (b'[{"doc_id": 1, "resps": ' + b"[" * 200_000, "object 1 is nested too deeply"),
    "empty array": (b"[]", "is one array; expected an object a line"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(tmp_path, case):
    records, message = BAD[case]
    path = saved(tmp_path, name("task"), records)
    with pytest.raises(DumpError, match=message) as caught:
        evaluate(open_dumps([path], Roles()), fc.Evaluation(from_logits=True))
    assert str(caught.value).isprintable()


def test_more_that_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, name("boolq"), samples("boolq", w="x", g=[1]))
    for asked, message in (
        (Roles(weights="w"), r"\(doc_id 0\): w is 'x', no number"),
        (Roles(groups="g"), r"\(doc_id 0\): g is \[1\]; expected text or a number"),
        (Roles(labels="gold"), "no 'gold'"),
        (Roles(probs="filtered_resps"), "filtered_resps is .*no number|no number"),
    ):
        with pytest.raises(DumpError, match=message):
            arrays(path, asked)
    with pytest.raises(
        DumpError, match=r"pipe holds samples of lm-evaluation-harness, which are read twice; save them"
    ):
        streams.open_text(io.BytesIO(written(samples("boolq"))), "pipe", Roles())
    (dump,) = open_dumps([path], Roles())
    saved(tmp_path, name("boolq"), samples("hellaswag"))
    with pytest.raises(DumpError, match="has changed while it was read"):
        list(dump.batches())
    monkeypatch.setattr(lm_eval, "MAX_DOCUMENTS", 5)
    with pytest.raises(DumpError, match="has more than 5 documents"):
        arrays(path)


def test_scores_of_other_kinds_in_such_records(tmp_path):
    """What is asked for by name is read as in any other JSON lines."""
    path = saved(tmp_path, name("boolq"), [one | {"probs": [0.25, 0.75]} for one in samples("boolq")])
    labels, scores, *_ = arrays(path, Roles(probs="probs"))
    assert scores.tolist() == [[0.25, 0.75]] * 12
    np.testing.assert_array_equal(labels, expected(["boolq"])[1])


def test_ties_go_to_the_first_choice(tmp_path):
    logits = np.array([-1.0, -1.0, -2.0])
    record = sample(0, {"choices": list("abc")}, list("abc"), logits, 0)
    dumps = open_dumps([saved(tmp_path, name("ties"), [record])], Roles())
    assert evaluate(dumps, fc.Evaluation(from_logits=True)).compute()["accuracy"] == record["acc"] == 1


def test_files_of_the_tests_are_what_the_harness_writes():
    (number, doc, texts, logits, gold), *_ = documents("arc_easy")
    record = json.loads(written([sample(number, doc, texts, logits, gold)]))
    assert record["target"] == str(gold)
    assert record["filtered_resps"][0][0] == str(logits[0])
    assert len(record["arguments"]) == len(logits)
