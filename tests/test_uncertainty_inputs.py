"""What the accumulator of uncertainty takes and refuses: forms of members, labels, bools and measures."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import uncertainty, uncertainty_adding, uncertainty_rows, uncertainty_state

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(3), (2, 12)).astype(np.float32)  # members, rows, classes
Y = RNG.integers(0, 3, 12)
OUT = np.arange(12) % 3 == 0


def taken(y_true=Y, members=P, **arguments):
    settings = {name: arguments.pop(name) for name in ("from_logits", "nan_policy") if name in arguments}
    return fc.UncertaintyAccumulator(**settings).update(y_true, members, **arguments).to_bytes()


WHOLE = taken()
BIG = np.zeros((4, 24, 6), np.float32)
BIG[::2, ::2, ::2] = P
READ_ONLY = P.copy()
READ_ONLY.flags.writeable = False
UNALIGNED = np.frombuffer(b"x" + P.tobytes(), np.float32, offset=1).reshape(P.shape)

SAME_MEMBERS = {
    "a list of members": [*P],
    "a tuple of members": tuple(P),
    "nested lists of float32": [[[float(v) for v in row] for row in member] for member in P],
    "a generator": None,
    "strided": BIG[::2, ::2, ::2],
    "Fortran order": np.asfortranarray(P),
    "big-endian": P.astype(">f4"),
    "read-only": READ_ONLY,
    "unaligned": UNALIGNED,
    "an unmasked array": np.ma.array(P),
}


@pytest.mark.parametrize("name", SAME_MEMBERS)
def test_members_in_any_form(name):
    given = SAME_MEMBERS[name] if name != "a generator" else (member for member in P)
    found, expected = taken(members=given), WHOLE
    if "lists" in name:
        expected = taken(members=P.astype(float))
    assert found == expected


def test_half_floats_and_torch_tensors():
    half = P.astype(np.float16)
    assert taken(members=half) == taken(members=half.astype(np.float32))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bfloat = np.log(P).astype(ml_dtypes.bfloat16)

    def of_logits(members, **arguments):
        return taken(members=members, from_logits=True, **arguments)

    expected = of_logits(bfloat.astype(np.float32))
    assert of_logits(bfloat) == of_logits(bfloat.view(np.uint16), dtype="bfloat16") == expected
    one = of_logits(bfloat[0])
    assert one == of_logits(bfloat[0].view(np.uint16), dtype="bfloat16") == of_logits(bfloat[:1])
    nan = bfloat.copy()
    nan[1, 4, 2] = np.nan
    for given, arguments in ((nan, {}), (nan.view(np.uint16), {"dtype": "bfloat16"}), ([*nan], {})):
        with pytest.raises(fc.DataError, match=r"members\[1, 4, 2\] is nan"):
            of_logits(given, **arguments)
    torch = pytest.importorskip("torch")
    labels, out = torch.tensor(Y), torch.tensor(OUT)
    assert taken(labels, torch.tensor(P), out_of_distribution=out) == taken(out_of_distribution=OUT)
    assert of_logits(torch.tensor(np.log(P)).to(torch.bfloat16)) == expected
    assert taken(members=torch.tensor(P[0])) == taken(members=P[:1])
    assert taken(members=[torch.tensor(P[0]), P[1]]) == WHOLE


def test_files(tmp_path):
    paths = []
    for m, member in enumerate(P):
        paths.append(tmp_path / f"probs_{m}.npy")
        np.save(paths[-1], member)
    assert taken(members=paths) == taken(members=[str(path) for path in paths]) == WHOLE
    assert taken(members=paths[0]) == taken(members=str(paths[0])) == taken(members=P[:1])
    memmap = np.load(paths[0], mmap_mode="r")
    assert taken(members=memmap) == taken(members=P[:1])
    with pytest.raises(fc.DataError, match=r"y_true\[2\] is 3; labels are integers 0 to 2"):
        taken(np.where(np.arange(12) == 2, 3, Y), paths)
    bad = P[1].copy()
    bad[4, 1] = np.nan
    np.save(paths[1], bad)
    with pytest.raises(fc.DataError, match="members are no distribution in row 4"):
        taken(members=paths)


def test_leading_shapes_are_flattened():
    square = P.reshape(2, 3, 4, 3)
    assert taken(Y.reshape(3, 4), square, out_of_distribution=OUT.reshape(3, 4)) == taken(out_of_distribution=OUT)
    measures, correct = fc.ensemble_uncertainty(square), np.ones((3, 4), bool)
    found = fc.UncertaintyAccumulator().update_measures(measures, correct=correct, out_of_distribution=OUT)
    assert found.compute()["n_out"] == OUT.sum()
    with pytest.raises(fc.DataError, match=r"correct has shape \(4, 3\), expected \(3, 4\)"):
        fc.UncertaintyAccumulator().update_measures(measures, correct=correct.T)
    with pytest.raises(fc.DataError, match=r"out_of_distribution has shape \(12, 1\), expected \(3, 4\)"):
        taken(Y.reshape(3, 4), square, out_of_distribution=OUT[:, None])
    with pytest.raises(fc.DataError, match=r"y_true\[1, 2\] is 7"):
        taken(np.where(np.arange(12) == 6, 7, Y).reshape(3, 4), square)


def test_weights_of_members():
    assert taken(weights=[1, 1]) == WHOLE
    assert taken(weights=[2, 0]) == taken(members=P[:1])
    with pytest.raises(ValueError, match="weights"):
        taken(weights=[1, 2, 3])


SAME_LABELS = {
    "int8": Y.astype(np.int8),
    "uint64": Y.astype(np.uint64),
    "floats": Y.astype(np.float32),
    "big-endian": Y.astype(">i4"),
    "a list": Y.tolist(),
    "strided": np.repeat(Y, 2)[::2],
}


@pytest.mark.parametrize("labels", SAME_LABELS.values(), ids=SAME_LABELS)
def test_labels_of_any_form(labels):
    assert taken(labels) == WHOLE


def test_rows_without_labels_and_out_of_distribution():
    report = fc.UncertaintyAccumulator().update(None, P, out_of_distribution=OUT).compute()
    assert (report["n_unlabelled"], report["n_out"], report["n_correct"], report["n_wrong"]) == (8, 4, 0, 0)
    assert math.isnan(report["mutual_information"]["error_auroc"])
    assert 0 <= report["mutual_information"]["ood_auroc"] <= 1
    odd = np.where(OUT, -7, Y)
    assert taken(odd, out_of_distribution=OUT) == taken(out_of_distribution=OUT) == taken(out_of_distribution=list(OUT))
    everything = fc.UncertaintyAccumulator().update(None, P, out_of_distribution=np.True_).compute()
    assert (everything["n"], everything["n_in"], everything["n_out"]) == (12, 0, 12)


def label(row, value):
    return np.where(np.arange(12) == row, value, Y)


def scores(place, value):
    given = P.copy()
    given[place] = value
    return given


BAD = {
    "a label too large": ((label(3, 3), P), r"^y_true\[3\] is 3; labels are integers 0 to 2$"),
    "a negative label": ((label(3, -1), P), r"^y_true\[3\] is -1; labels are integers 0 to 2$"),
    "half a label": ((label(3, 0.5), P), r"^y_true\[3\] is 0.5; labels"),
    "a NaN label": ((label(3, np.nan), P), r"^y_true\[3\] is nan; labels"),
    "an infinite label": ((label(3, np.inf), P), r"^y_true\[3\] is inf; labels"),
    "too few labels": ((Y[:5], P), r"^y_true has shape \(5,\), expected \(12,\)"),
    "one-hot labels": ((np.eye(3)[Y], P), r"^y_true has shape \(12, 3\), expected \(12,\)"),
    "a masked label": ((np.ma.array(Y, mask=np.arange(12) == 2), P), r"^y_true\[2\] is masked; say y_true=None"),
    "a probability beyond 1": ((Y, scores((1, 4, 2), 1.2)), r"^members\[1, 4, 2\] is 1.2"),
    "NaN": ((Y, scores((1, 4, 2), np.nan)), r"^members\[1, 4, 2\] is nan; nan_policy='omit' leaves such rows out$"),
    "NaN in a list": ((Y, [P[0], scores((1, 4, 2), np.nan)[1]]), r"^members\[1, 4, 2\] is nan"),
    "NaN of one model": ((Y, scores((0, 4, 2), np.nan)[0]), r"^members\[0, 4, 2\] is nan"),
    "NaN of float16": ((Y, scores((1, 4, 2), np.nan).astype("f2")), r"^members\[1, 4, 2\] is nan"),
    "a masked probability": ((Y, np.ma.array(P, mask=scores((1, 4, 2), np.nan) != P)), r"^members\[1, 4, 2\] is nan"),
    "NaN from a generator": ((Y, "generator"), r"^members are no distribution in row 4, by NaN or infinite logits"),
    "numbers": ((Y, [0.1, 0.9]), "members"),
    "one axis": ((Y, P[0, 0]), "members"),
    "ragged rows": ((Y, [[[0.5, 0.5], [1.0]]]), r"^members\[0\] is no array: row 1 has 1 values, row 0 has 2"),
    "ragged rows of one model": ((Y, [[0.5, 0.5], [1.0]]), r"^members is no array: row 1 has 1 values, row 0 has 2"),
    "no member": ((Y, []), "members"),
    "members of two shapes": ((Y, [P[0], P[1, :5]]), "members"),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_are_refused_leave_the_state_as_it_was(name):
    (labels, members), message = BAD[name]
    if isinstance(members, str):
        members = (member for member in scores((1, 4, 2), np.nan))
    accumulator = fc.UncertaintyAccumulator().update(Y, P)
    with pytest.raises(ValueError, match=message) as caught:
        accumulator.update(labels, members)
    assert "\n" not in str(caught.value)
    assert accumulator.to_bytes() == WHOLE


def test_members_that_are_none():
    for members in (3, None):
        with pytest.raises(TypeError):
            taken(members=members)


def test_logits_that_are_no_distribution():
    logits = np.log(P)
    for values in ([np.inf, np.inf, 0], [-np.inf] * 3):
        given = logits.copy()
        given[1, 4] = values
        with pytest.raises(fc.DataError, match=r"members are no distribution in row 4"):
            taken(members=given, from_logits=True)
        report = fc.UncertaintyAccumulator(from_logits=True, nan_policy="omit").update(Y, given).compute()
        assert (report["n"], report["n_nan"]) == (11, 1)


def test_rows_that_are_no_distribution_are_left_out():
    given = scores((1, [2, 5], 0), np.nan)
    accumulator = fc.UncertaintyAccumulator(nan_policy="omit").update(Y, given, out_of_distribution=OUT)
    kept = np.delete(np.arange(12), [2, 5])
    expected = fc.UncertaintyAccumulator(nan_policy="omit").update(Y[kept], P[:, kept], out_of_distribution=OUT[kept])
    found, without = accumulator.compute().to_dict(), expected.compute().to_dict()
    assert found.pop("n_nan") == 2
    assert without.pop("n_nan") == 0
    np.testing.assert_equal(found, without)
    assert accumulator.compute()["n"] == 10
    with pytest.raises(fc.DataError, match=r"y_true\[2\] is 9"):  # a label is looked at all the same
        fc.UncertaintyAccumulator(nan_policy="omit").update(label(2, 9), given)


def test_the_first_fault_is_told_whatever_the_threads(monkeypatch):
    monkeypatch.setattr(engine, "SMALL", 0)
    for module in (uncertainty, uncertainty_adding, uncertainty_rows):
        monkeypatch.setattr(module, "CHUNK", 2)
    for _ in range(5):
        with pytest.raises(fc.DataError, match=r"y_true\[3\] is 8"):
            fc.UncertaintyAccumulator(n_threads=3).update(np.where(np.arange(12) > 2, 5 + np.arange(12), Y), P)
        with pytest.raises(fc.DataError, match=r"members\[0, 9, 1\] is nan"):
            fc.UncertaintyAccumulator(n_threads=3).update(Y, scores((0, slice(9, 12), 1), np.nan))


def test_the_first_fault_is_told_whatever_thread_was_first(monkeypatch):
    def in_any_order(n_rows, row_bytes, rows_per_chunk, make_worker, n_threads):
        worker = make_worker()
        for chunk in (4, 1, 5, 0, 2, 3):
            worker(chunk, chunk + 1)

    monkeypatch.setattr(uncertainty_adding, "CHUNK", 2)
    monkeypatch.setattr(uncertainty_rows, "CHUNK", 2)
    monkeypatch.setattr(uncertainty_rows.engine, "run", in_any_order)
    kinds = uncertainty_rows.PredictedKinds(np.arange(12), np.zeros(12, int), False, 3)
    with pytest.raises(fc.DataError, match=r"y_true\[3\] is 3"):
        kinds.ordered(2)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (1, TypeError, "out_of_distribution has dtype int64; expected True, False or one of them a row"),
        (np.zeros(12), TypeError, "out_of_distribution has dtype float64"),
        ("yes", TypeError, "out_of_distribution has dtype"),
        (None, TypeError, "out_of_distribution has dtype"),
        (OUT[:4], fc.DataError, r"out_of_distribution has shape \(4,\), expected \(12,\)"),
        (np.ma.array(OUT, mask=OUT), fc.DataError, r"out_of_distribution\[0\] is masked"),
    ],
)
def test_what_is_no_bool(out, error, message):
    with pytest.raises(error, match=message):
        taken(out_of_distribution=out)
    if out is not None:
        with pytest.raises(error, match=message.replace("out_of_distribution", "correct")):
            fc.UncertaintyAccumulator().update_measures({"energy": np.zeros(12)}, correct=out)


def test_nothing_is_a_batch():
    for acc in (
        fc.UncertaintyAccumulator().update([], np.empty((2, 0, 3))),
        fc.UncertaintyAccumulator().update(None, np.empty((0, 3))),
        fc.UncertaintyAccumulator().update_measures({"energy": []}),
    ):
        assert acc.is_empty
        assert acc.to_bytes() == fc.UncertaintyAccumulator().to_bytes()


def test_all_rows_of_a_state_have_the_same_measures_and_classes():
    accumulator = fc.UncertaintyAccumulator().update(Y, P)
    energy = fc.UncertaintyAccumulator().update_measures({"energy": [1.0]})
    before = accumulator.to_bytes()
    other = fc.UncertaintyAccumulator().update([0], [[0.5, 0.5]])
    for change, message in {
        lambda: accumulator.update_measures(
            {"energy": [1.0]}
        ): "uncertainty has measures energy; those seen so far have max_",
        lambda: accumulator.merge(energy): "the other state has measures energy; those seen so far have",
        lambda: accumulator.merge(other): "the other state has 2 classes; those seen so far have 3",
        lambda: accumulator.update([0], [[0.5, 0.5]]): "members has 2 classes; those seen so far have 3",
        lambda: accumulator.merge(
            fc.UncertaintyAccumulator(from_logits=True)
        ): "cannot merge: from_logits is False here",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            change()
        assert isinstance(caught.value, fc.DataError) == ("has" in message and "other state" not in message)
    with pytest.raises(TypeError, match="cannot merge RankingAccumulator into UncertaintyAccumulator"):
        accumulator.merge(fc.RankingAccumulator())
    assert accumulator.to_bytes() == before
    measures = fc.ensemble_uncertainty(P)
    accumulator.update_measures(measures)  # of an unknown number of classes
    assert accumulator.compute()["n_classes"] == 3
    swapped = {name: getattr(measures, name) for name in reversed(uncertainty_state.MEASURES)}
    one, other = (fc.UncertaintyAccumulator().update_measures(given) for given in (measures, swapped))
    assert one.to_bytes() == other.to_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"from_logits": 1}, "from_logits is 1; expected True or False"),
        ({"nan_policy": "propagate"}, "nan_policy is 'propagate'; expected one of raise, omit"),
        ({"n_threads": 0}, "n_threads is 0"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fc.UncertaintyAccumulator(**settings)


# One writer at a time


def test_a_second_writer_is_told():
    accumulator = fc.UncertaintyAccumulator()
    with accumulator._changing(), pytest.raises(RuntimeError, match="being changed in another thread"):
        accumulator.update(Y, P)
    assert accumulator.update(Y, P).to_bytes() == WHOLE


READERS = {
    "compute": lambda one: one.compute()["n"],
    "bytes": lambda one: fc.UncertaintyAccumulator.from_bytes(one.to_bytes()).compute()["n"],
    "copy": lambda one: (one + fc.UncertaintyAccumulator()).compute()["n"],
    "histogram": lambda one: one.histogram("mutual_information").to_dict()["correct"],
    "repr": repr,
    "merge": lambda one: fc.UncertaintyAccumulator().merge(one).compute()["n"],
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_who_reads_waits_for_what_is_added(monkeypatch, reader):
    entered, go = threading.Event(), threading.Event()
    add = uncertainty.added

    def slowly(*arguments):
        entered.set()
        assert go.wait(20)
        add(*arguments)

    accumulator = fc.UncertaintyAccumulator().update(Y, P)
    twice = reader(accumulator + accumulator)
    monkeypatch.setattr(uncertainty, "added", slowly)
    found = []
    writer = threading.Thread(target=lambda: accumulator.update(Y, P))
    read = threading.Thread(target=lambda: found.append(reader(accumulator)))
    writer.start()
    assert entered.wait(20)
    read.start()
    read.join(0.05)
    assert not found
    go.set()
    read.join(20)
    writer.join(20)
    assert found == [twice]


def test_two_that_merge_each_other_do_not_wait_for_ever():
    one, other = fc.UncertaintyAccumulator(), fc.UncertaintyAccumulator()
    pairs = ((one, other), (other, one))
    threads = [
        threading.Thread(target=lambda a=a, b=b: [a.merge(b) for _ in range(2000)], daemon=True) for a, b in pairs
    ]
    [thread.start() for thread in threads]
    [thread.join(10) for thread in threads]
    assert not any(thread.is_alive() for thread in threads)


def test_an_error_in_a_thread_leaves_the_state_as_it_was(monkeypatch):
    """As Ctrl-C or a thread that cannot be started would: after some measures were added."""
    for module in (uncertainty, uncertainty_adding, uncertainty_rows):
        monkeypatch.setattr(module, "CHUNK", 5)
    accumulator = fc.UncertaintyAccumulator().update(Y, P)
    add, calls = uncertainty_adding._Adding.add, []

    def fail(self, *arguments):
        calls.append(threading.get_ident())
        if len(calls) == 4:
            raise MemoryError
        add(self, *arguments)

    monkeypatch.setattr(uncertainty_adding._Adding, "add", fail)
    with pytest.raises(MemoryError):
        accumulator.update(Y, P)
    assert accumulator.to_bytes() == WHOLE
    monkeypatch.setattr(uncertainty_adding._Adding, "add", add)
    twice = fc.UncertaintyAccumulator.from_bytes(WHOLE) + fc.UncertaintyAccumulator.from_bytes(WHOLE)
    assert accumulator.update(Y, P).to_bytes() == twice.to_bytes()
