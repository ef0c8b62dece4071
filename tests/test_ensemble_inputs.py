"""ensemble_uncertainty: members in every form, the same bits from all of them, and what is no ensemble."""

from __future__ import annotations

import numpy as np
import oracle_ensemble as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ensemble import MEASURES, NAMES, assert_same_bits, logits_of, probs_of

import fastcal as fc
from fastcal import engine
from fastcal.ensembles import members as doors
from fastcal.ensembles import workers

WIDTHS = [3, 130]


@pytest.fixture(params=["whole", "in chunks"])
def chunks(request, monkeypatch):
    """All rows at once, or few of them at a time on three threads."""
    if request.param == "in chunks":
        monkeypatch.setattr(workers, "CHUNK_BYTES", 1)
        monkeypatch.setattr(workers, "STATE_BYTES", 1)
        monkeypatch.setattr("fastcal.ensembles.stream.STATE_BYTES", 1)
        monkeypatch.setattr(engine, "SMALL", 0)
        monkeypatch.setenv("FASTCAL_NUM_THREADS", "3")


# Forms


def spread(members):
    """The same values with gaps between them."""
    wide = np.full((*members.shape[:2], 2 * members.shape[2]), 7, members.dtype)
    wide[:, :, ::2] = members
    return wide[:, :, ::2]


def read_only(members):
    members = members.copy()
    members.flags.writeable = False
    return members


FORMS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda members: (one for one in members),
    "dict values": lambda members: dict(enumerate(members)).values(),
    "map": lambda members: map(np.asarray, members),
    "Fortran order": np.asfortranarray,
    "strided": spread,
    "list of strided": lambda members: list(spread(members)),
    "list of transposed": lambda members: [np.ascontiguousarray(one.T).T for one in members],
    "read-only": read_only,
    "big-endian": lambda members: members.astype(members.dtype.newbyteorder(">")),
    "list of big-endian": lambda members: [one.astype(one.dtype.newbyteorder(">")) for one in members],
    "masked, nothing hidden": np.ma.masked_array,
    "reversed twice": lambda members: members[::-1].copy()[::-1],
    "unaligned": lambda members: (
        np.frombuffer(b"x" + members.tobytes(), np.uint8)[1:].view(members.dtype).reshape(members.shape)
    ),
}


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_every_form_gives_the_same_bits(n_classes, form, from_logits):
    members = (logits_of if from_logits else probs_of)(4, 131, n_classes, np.float32)
    before = members.copy()
    expected = fc.ensemble_uncertainty(members, from_logits=from_logits, n_threads=1)
    assert_same_bits(fc.ensemble_uncertainty(FORMS[form](members), from_logits=from_logits), expected)
    np.testing.assert_array_equal(members, before)


def test_nested_lists_integers_and_bools():
    nested = [[[0, 1, 0], [1, 0, 0]], [[1, 0, 0], [1, 0, 0]]]
    expected = fc.ensemble_uncertainty(np.array(nested, float))
    for members in (nested, np.array(nested), np.array(nested, bool), [np.array(one, np.int8) for one in nested]):
        assert_same_bits(fc.ensemble_uncertainty(members), expected)
    assert expected.mutual_information.dtype == np.float64
    logits = np.arange(12).reshape(2, 2, 3)
    found = fc.ensemble_uncertainty(logits, from_logits=True)
    assert_same_bits(found, fc.ensemble_uncertainty(logits.astype(float), from_logits=True))


@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_half_floats_are_widened(n_classes, from_logits):
    members = (logits_of if from_logits else probs_of)(3, 70, n_classes, np.float32)
    half = members.astype(np.float16)
    bits = (members.view(np.uint32) >> 16).astype(np.uint16)
    cut = (members.view(np.uint32) & 0xFFFF0000).view(np.float32)
    options = {"from_logits": from_logits}
    for form in (np.asarray, list, iter):
        found = fc.ensemble_uncertainty(form(half), **options)
        assert found.mutual_information.dtype == np.float32
        if from_logits:  # sums of float32 rows that were float16 are further off 1 than float32 rows may be
            assert_same_bits(found, fc.ensemble_uncertainty(half.astype(np.float32), **options))
        found = fc.ensemble_uncertainty(form(bits), dtype="bfloat16", **options)
        if from_logits:
            assert_same_bits(found, fc.ensemble_uncertainty(cut, **options))
    if not from_logits:
        expected = oracle.uncertainty(half.astype(np.longdouble))
        found = fc.ensemble_uncertainty(half)
        for name in MEASURES:
            np.testing.assert_allclose(getattr(found, name), expected[name].astype(float), atol=1e-6, err_msg=name)


def test_bfloat16_of_libraries():
    members = logits_of(3, 20, 5, np.float32)
    expected = fc.ensemble_uncertainty(
        (members.view(np.uint32) >> 16).astype(np.uint16), from_logits=True, dtype="bfloat16"
    )
    cut = (members.view(np.uint32) & 0xFFFF0000).view(np.float32)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    found = fc.ensemble_uncertainty(cut.astype(ml_dtypes.bfloat16), from_logits=True)
    assert_same_bits(found, expected)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(cut).bfloat16()
    assert_same_bits(fc.ensemble_uncertainty(tensor, from_logits=True), expected)
    assert_same_bits(fc.ensemble_uncertainty(list(tensor), from_logits=True), expected)
    assert_same_bits(fc.ensemble_uncertainty(tensor.unbind(0), from_logits=True), expected)


def test_tensors():
    torch = pytest.importorskip("torch")
    members = probs_of(3, 20, 5, np.float32)
    expected = fc.ensemble_uncertainty(members)
    for form in (torch.from_numpy(members), torch.from_numpy(members).requires_grad_(), [torch.from_numpy(members[0])]):
        found = fc.ensemble_uncertainty(form)
        assert len(found.prediction) == 20
    assert_same_bits(fc.ensemble_uncertainty(torch.from_numpy(members).transpose(0, 1).transpose(0, 1)), expected)
    with pytest.raises(TypeError, match="members is on meta"):
        fc.ensemble_uncertainty(torch.empty((2, 3, 4), device="meta"))


@pytest.mark.parametrize("n_classes", WIDTHS)
def test_the_highest_precision_wins(n_classes):
    members = logits_of(3, 70, n_classes)
    mixed = [members[0], members[1].astype(np.float32), members[2].astype(np.float16)]
    found = fc.ensemble_uncertainty(mixed, from_logits=True)
    assert_same_bits(found, fc.ensemble_uncertainty([one.astype(float) for one in mixed], from_logits=True))
    # a member that does not count has no say in it
    assert fc.ensemble_uncertainty(mixed, from_logits=True, weights=[0, 1, 1]).max_probability.dtype == np.float32
    # of what is seen once, the first decides
    one = fc.ensemble_uncertainty(iter(mixed[1:]), from_logits=True)
    np.testing.assert_array_equal(
        one.max_probability, fc.ensemble_uncertainty(mixed[1:], from_logits=True).max_probability
    )
    assert fc.ensemble_uncertainty(iter(mixed[::-1]), from_logits=True).max_probability.dtype == np.float32


def test_more_axes_and_no_rows():
    members = probs_of(3, 24, 5)
    expected = fc.ensemble_uncertainty(members)
    images = members.reshape(3, 2, 3, 4, 5)
    for form in (images, list(images), iter(images)):
        found = fc.ensemble_uncertainty(form)
        for name in NAMES:
            assert getattr(found, name).shape == (2, 3, 4)
            np.testing.assert_array_equal(getattr(found, name).ravel(), getattr(expected, name))
    for form in (members[:, :0], list(members[:, :0]), iter(members[:, :0])):
        assert fc.ensemble_uncertainty(form).prediction.shape == (0,)


def test_memory_mapped(tmp_path):
    members = probs_of(3, 40, 5, np.float32)
    np.save(tmp_path / "members.npy", members)
    mapped = np.load(tmp_path / "members.npy", mmap_mode="r")
    assert_same_bits(fc.ensemble_uncertainty(mapped), fc.ensemble_uncertainty(members))


def test_masked_values_make_a_row_none():
    members = probs_of(2, 5, 3)
    mask = np.zeros(members.shape, bool)
    mask[1, 2, 0] = True
    for form in (np.ma.masked_array(members, mask), list(np.ma.masked_array(members, mask))):
        found = fc.ensemble_uncertainty(form)
        assert found.prediction.tolist().index(-1) == 2
        assert np.isnan(found.mutual_information).tolist() == [False, False, True, False, False]


# Weights


@pytest.mark.parametrize("n_classes", [5, 130])
@pytest.mark.parametrize("from_logits", [False, True])
def test_members_of_unlike_precision(n_classes, from_logits):
    """Whole blocks among them, of lines of another precision than the scores."""
    members = (logits_of if from_logits else probs_of)(3, 200, n_classes)
    for dtypes in ((np.float64, np.float32, np.float16), (np.float32, np.float64, np.float32)):
        mixed = [one.astype(dtype) for one, dtype in zip(members, dtypes, strict=True)]
        expected = fc.ensemble_uncertainty(np.array([one.astype(float) for one in mixed]), from_logits=from_logits)
        assert_same_bits(fc.ensemble_uncertainty(mixed, from_logits=from_logits), expected)
        for kind in ("kl", "js"):
            options = {"kind": kind, "from_logits": from_logits}
            np.testing.assert_array_equal(
                fc.ensemble_disagreement(mixed, **options),
                fc.ensemble_disagreement([one.astype(float) for one in mixed], **options),
            )


@pytest.mark.parametrize("n_classes", [2, 130])
@pytest.mark.parametrize("shape", [(2, 6, 0), (2, 3, 1), (2, 6, 1)])
def test_kernels_get_the_rows_that_there_is_room_for(shape, n_classes):
    """They look at no bounds: the last lock, whatever the doors have let in."""
    m, n, more = shape
    rows = np.full((m, n, n_classes + more), 0.5, np.float32)
    worker = workers.Worker(n_classes, rows.dtype, False)
    columns = workers.new_columns(6, rows.dtype)
    with pytest.raises(fc.DataError, match=rf"members has rows \({n}, {n_classes + more}\) where \(7, {n_classes}\)"):
        worker.flat(rows, (0, 7))
    extremes = workers.Extremes(doors.member_scores(rows[0], 0, None))
    form = np.ones(2, np.float32), 2.0, worker.states(1), extremes, columns
    with pytest.raises(fc.DataError, match="members has rows"):
        worker.add(rows, (1, 7), *form, opens=True, closes=True)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_weights(n_classes, from_logits):
    members = (logits_of if from_logits else probs_of)(4, 131, n_classes)
    options = {"from_logits": from_logits}
    plain = fc.ensemble_uncertainty(members, **options)
    for weights in ([1, 1, 1, 1], [0.3] * 4, np.full(4, 1e-100), [True] * 4):
        assert_same_bits(fc.ensemble_uncertainty(members, weights=weights, **options), plain)
    repeated = fc.ensemble_uncertainty(members[[0, 1, 1, 2, 2, 2]], **options)
    weighted = fc.ensemble_uncertainty(members, weights=[1, 2, 3, 0], **options)
    for name in NAMES:
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=1e-14, err_msg=name)
    members[3, 5] = np.nan  # not looked at
    for form in (members, list(members), iter(members)):
        found = fc.ensemble_uncertainty(form, weights=np.array([1, 2, 3, 0], np.int8), **options)
        assert_same_bits(found, weighted)


BAD_WEIGHTS = {
    "negative": ([1, -1], fc.DataError, r"weights\[1\] is -1; a weight is 0, or from"),
    "NaN": ([np.nan, 1], fc.DataError, r"weights\[0\] is nan"),
    "infinite": ([1, np.inf], fc.DataError, r"weights\[1\] is inf"),
    "tiny": ([1, 1e-200], fc.DataError, r"weights\[1\] is 1e-200"),
    "nothing": ([0, 0], fc.DataError, "weights are all 0"),
    "too few": ([1], fc.DataError, "weights has 1 entries"),
    "too many": ([1, 2, 3], fc.DataError, "weights has 3 entries"),
    "two axes": ([[1, 1]], fc.DataError, r"weights has shape \(1, 2\)"),
    "a number": (1.0, fc.DataError, r"weights has shape \(\)"),
    "words": (["a", "b"], TypeError, "weights has dtype"),
    "masked": (np.ma.masked_array([1.0, 1.0], [0, 1]), fc.DataError, r"weights\[1\] is masked"),
}


@pytest.mark.parametrize("form", [np.asarray, list, iter])
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_that_are_none(case, form):
    weights, error, message = BAD_WEIGHTS[case]
    with pytest.raises(error, match=message):
        fc.ensemble_uncertainty(form(probs_of(2, 5, 3)), weights=weights)


# What is no ensemble

PROBS = probs_of(2, 5, 3)
BAD = {
    "one model": (PROBS[0], fc.DataError, r"members has shape \(5, 3\); expected \(M, N, K\); one model's rows"),
    "a vector": (PROBS[0, 0], fc.DataError, r"members has shape \(3,\)"),
    "no members": (PROBS[:0], fc.DataError, r"members has shape \(0, 5, 3\); an ensemble has at least 1 member"),
    "an empty list": ([], fc.DataError, "members is empty"),
    "an empty generator": (iter([]), fc.DataError, "members yields nothing"),
    "no classes": (PROBS[:, :, :0], fc.DataError, r"members\[0\] has shape \(5, 0\); a row holds at least 1 class"),
    "a list of rows": (list(PROBS[0]), fc.DataError, r"members\[0\] has shape \(3,\); expected rows \(N, K\)"),
    "other rows": (
        [PROBS[0], PROBS[1, :4]],
        fc.DataError,
        r"members\[1\] has shape \(4, 3\), members\[0\] has \(5, 3\)",
    ),
    "other classes": (iter([PROBS[0], PROBS[1, :, :2]]), fc.DataError, r"members\[1\] has shape \(5, 2\)"),
    "ragged": ([[[0.5, 0.5], [1.0]]], fc.DataError, r"members\[0\] is no array: row 1 has 1 values"),
    "words": ([["a"]], TypeError, r"members\[0\] has dtype"),
    "complex": (PROBS * 1j, TypeError, "members has dtype complex128"),
    "a path": ("probs.npy", TypeError, "members is 'probs.npy'; expected a list of files"),
    "bytes": (b"probs", TypeError, "expected an array, a list or an iterable"),
    "a mapping": ({"a": PROBS[0]}, TypeError, "expected an array, a list or an iterable"),
    "nothing": (None, TypeError, "members is None"),
    "a generator of paths": (iter(["a.npy"]), TypeError, "members yields a path"),
}


@pytest.mark.parametrize("case", BAD)
def test_members_that_are_none(case):
    members, error, message = BAD[case]
    with pytest.raises(error, match=message):
        fc.ensemble_uncertainty(members)


def test_other_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="dtype is 'float8'"):
        fc.ensemble_uncertainty(list(PROBS), dtype="float8")
    with pytest.raises(ValueError, match="n_threads is 0"):
        fc.ensemble_uncertainty(PROBS, n_threads=0)
    with pytest.raises(TypeError, match="members has dtype float64; the bits of bfloat16"):
        fc.ensemble_uncertainty(PROBS, dtype="bfloat16")


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("form", [np.asarray, list, iter])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, float])
def test_the_first_fault_is_named(n_classes, form, dtype):
    members = probs_of(3, 131, n_classes).astype(dtype)
    members[2, 90, 1] = 1.25
    members[1, 120, 0] = -0.5  # later, though it is of an earlier member
    members[0, 3, 0] = np.nan  # no error
    first = (
        r"members\[1, 120, 0\] is -0.5"
        if form is iter
        else r"members\[2, 90, 1\] is 1.25; probabilities lie in \[0, 1\]"
    )
    with pytest.raises(fc.DataError, match=first):
        fc.ensemble_uncertainty(form(members))
    members[2, 90] /= 2
    members[2, 90, 1] = 0
    members[1, 120, 0] = 0
    with pytest.raises(fc.DataError, match=r"members\[(2, 90|1, 120)\] sums to"):
        fc.ensemble_uncertainty(form(members))


def test_faults_of_bits_and_of_more_axes():
    bits = np.full((2, 3, 2), 0x3F00, np.uint16)  # 0.5
    bits[1, 2, 1] = 0x3FC0  # 1.5
    with pytest.raises(fc.DataError, match=r"members\[1, 2, 1\] is 1.5"):
        fc.ensemble_uncertainty(bits, dtype="bfloat16")
    members = probs_of(3, 24, 5).reshape(3, 2, 3, 4, 5)
    members[1, 1, 0, 2, 4] = np.inf
    with pytest.raises(fc.DataError, match=r"members\[1, 1, 0, 2, 4\] is inf"):
        fc.ensemble_uncertainty(members)


def test_what_is_within_rounding_is_no_fault():
    members = probs_of(2, 70, 3)
    members[0, 3] = [1.00009, 0, 0]
    members[1, 4] = [-0.00009, 0.5, 0.5]
    members[1, 5] *= 1.0009
    assert (fc.ensemble_uncertainty(members).prediction >= 0).all()
    for row, values in ((3, [1.00011, 0, 0]), (4, [-0.00011, 0.5, 0.5]), (5, [0.4, 0.4, 0.2012])):
        wrong = members.copy()
        wrong[1, row] = values
        with pytest.raises(fc.DataError, match=rf"members\[1, {row}"):
            fc.ensemble_uncertainty(wrong)


@given(st.integers(1, 5), st.integers(1, 200), st.sampled_from([1, 2, 9, 130]), st.integers(1, 4))
def test_threads_and_forms_do_not_show(n_members, n_rows, n_classes, n_threads):
    members = probs_of(n_members, n_rows, n_classes, np.float32, seed=n_rows)
    expected = fc.ensemble_uncertainty(members, n_threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SMALL", 0)
        patch.setattr(workers, "CHUNK_BYTES", 1000)
        for form in (np.asarray, list, iter):
            assert_same_bits(fc.ensemble_uncertainty(form(members), n_threads=n_threads), expected)
