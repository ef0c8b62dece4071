"""Out-of-distribution measures of rows: laws, special values, and every kind of input that they take or refuse."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import oracle_ood
import pytest
from conftest import JIT
from forms import Framed, read_only
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal import engine, rowwise
from fastcal.metrics import activations, ood

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((12, 40))
WEIGHTS = RNG.standard_normal((4, 40))
FLOATS = ["float64", "float32", "float16", "bfloat16"]
EXACT = {"float64": 1e-13, "float32": 1e-6, "float16": 1e-6, "bfloat16": 1e-6}


def cast(values, dtype):
    return np.asarray(values).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.fixture(params=["whole", "cut"])
def cut_up(request, monkeypatch):
    """All rows at once, or in boxes of a few on three threads."""
    if request.param == "cut":
        monkeypatch.setattr(ood, "STRETCH", 3)
        monkeypatch.setattr(engine, "SMALL", 0)
        monkeypatch.setattr(rowwise, "CHUNK_BYTES", 8)
        monkeypatch.setattr(activations, "SERIAL", 300)
        monkeypatch.setattr(activations, "COSINES", 8)
        monkeypatch.setenv("FASTCAL_NUM_THREADS", "3")


@st.composite
def two_sets(draw):
    """Uncertainties of two sets, with ties within and between them, of any float type, and an epsilon."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    inside, given_rows = (np.round(rng.standard_normal(n), draw(st.sampled_from([0, 1, 9]))) for n in sizes)
    dtypes = draw(st.sampled_from(FLOATS)), draw(st.sampled_from(FLOATS))
    epsilon = draw(st.sampled_from([0, 0.05, 0.1, 0.25, 0.3, 0.5, 1 / 3, 1, np.float32(0.5)]))
    return cast(inside, dtypes[0]), cast(given_rows, dtypes[1]), epsilon


# Regions


@given(two_sets())
def test_regions_equal_their_definitions(sets):
    inside, rows, epsilon = sets
    for ours, twin in (
        (fc.valid_ood_region, oracle_ood.valid_ood_region),
        (fc.softmax_extrapolation, oracle_ood.softmax_extrapolation),
    ):
        found = ours(inside, rows, epsilon=epsilon)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, twin(inside, rows, epsilon=float(epsilon)))
    share = fc.valid_ood_share(inside, rows, epsilon=epsilon)
    assert share == pytest.approx(oracle_ood.valid_ood_share(inside, rows, epsilon=float(epsilon)))


@given(two_sets(), st.integers(0, 99))
def test_laws_of_regions(sets, seed):
    inside, rows, epsilon = sets
    found = fc.valid_ood_region(inside, rows, epsilon=epsilon)
    order = np.random.default_rng(seed).permutation(len(inside))
    np.testing.assert_array_equal(fc.valid_ood_region(inside[order], rows, epsilon=epsilon), found)
    np.testing.assert_array_equal(fc.softmax_extrapolation(-inside, -rows, epsilon=epsilon), found)
    np.testing.assert_array_equal(fc.valid_ood_region(np.exp2(inside), np.exp2(rows), epsilon=epsilon), found)
    if epsilon <= 0.5:
        assert not (found & fc.softmax_extrapolation(inside, rows, epsilon=epsilon)).any()
    assert (found <= fc.valid_ood_region(inside, rows, epsilon=min(1, epsilon + 0.1))).all()


@pytest.mark.parametrize("n", [1, 19, 20, 21, 40, 100])
@pytest.mark.parametrize("epsilon", [0.05, 1 - 0.95, 0.1, 0.3, 0.7])
def test_a_share_of_just_1_less_epsilon_is_not_enough(n, epsilon):
    """What 0.05, or 1 - 0.95, rounds to changes nothing."""
    inside = np.arange(n)
    found = fc.valid_ood_region(inside, inside + 0.5, epsilon=epsilon)
    percent = round(100 * epsilon)
    np.testing.assert_array_equal(found, (np.arange(n) + 1) * 100 > n * (100 - percent))


def test_regions_in_pieces(cut_up):
    inside, rows = RNG.standard_normal(50), RNG.standard_normal(23)
    np.testing.assert_array_equal(fc.valid_ood_region(inside, rows), oracle_ood.valid_ood_region(inside, rows))


def test_float32_is_compared_with_float64_as_it_is():
    just_above = np.float64(np.float32(0.1)) + 1e-12
    assert fc.valid_ood_region([just_above], np.float32([0.1])).tolist() == [False]
    assert fc.softmax_extrapolation([just_above], np.float32([0.1])).tolist() == [True]


def test_in_distribution_rows_are_inside_as_often_as_epsilon_says():
    inside, others = RNG.standard_normal((2, 20_000))
    assert fc.valid_ood_share(inside, others, epsilon=0.05) == pytest.approx(0.05, abs=0.01)
    assert fc.softmax_extrapolation(inside, others, epsilon=0.05).mean() == pytest.approx(0.05, abs=0.01)


def test_an_empty_set_has_no_rows_inside():
    assert fc.valid_ood_region([1.0], []).shape == (0,)
    with pytest.raises(fc.DataError, match="uncertainty is empty"):
        fc.valid_ood_share([1.0], [])


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, NAN, "0.1", None])
@pytest.mark.parametrize("function", [fc.valid_ood_region, fc.valid_ood_share, fc.softmax_extrapolation])
def test_bad_epsilon(function, epsilon):
    with pytest.raises(ValueError, match="epsilon is"):
        function([1.0], [2.0], epsilon=epsilon)


# Saturation


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", [1, 2, 3, 10, 130])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_saturation_equals_its_definition(dtype, k, temperature, cut_up):
    logits = cast(RNG.standard_normal((200 if JIT else 5, k)) * RNG.uniform(0.1, 40, (1, 1)), dtype)
    for epsilon in (1e-12, 1e-3, 0.1, 0.7):
        found = fc.softmax_saturation(logits, epsilon=epsilon, temperature=temperature)
        expected = oracle_ood.softmax_saturation(logits.astype(float), epsilon=epsilon, temperature=temperature)
        assert found == pytest.approx(expected, abs=1e-9)


def test_saturation_tells_what_one_less_p_does_not():
    logits = np.float32([[25.0, 0.0], [30.0, 0.0], [35.0, 0.0]])
    assert (1 - fc.softmax(logits).max(axis=1) == 0).all()
    assert fc.softmax_saturation(logits, epsilon=1e-12) == pytest.approx(2 / 3)
    assert fc.softmax_saturation(logits, epsilon=1e-15) == pytest.approx(1 / 3)


@pytest.mark.skipif(not JIT, reason="needs many classes")
def test_sums_of_many_classes_do_not_drift():
    logits = np.full((1, 200_001), -20, np.float32)
    logits[0, 77] = 0
    rest = 200_000 * np.exp(-20.0)
    for nearly, expected in ((1 - 1e-6, 0), (1 + 1e-6, 1)):
        assert fc.softmax_saturation(logits, epsilon=nearly * rest / (1 + rest)) == expected


def test_shapes_and_special_rows_of_saturation():
    assert fc.softmax_saturation([[INF, 0.0], [-INF, 1.0], [0.0, 0.0]]) == pytest.approx(2 / 3)
    assert fc.softmax_saturation(np.zeros((2, 3, 4))) == 0.0
    assert fc.softmax_saturation([40.0, 0.0]) == 1.0
    bits = cast([[40.0, 0.0]], "bfloat16").view(np.uint16)
    assert fc.softmax_saturation(bits, dtype="bfloat16") == 1.0


BAD_LOGITS = [
    ([[0.0, 1.0], [0.0, NAN]], r"logits\[1, 1\] is nan"),
    ([[0.0, 1.0], [INF, INF]], r"logits\[1\] has 2 logits of \+inf"),
    ([[-INF, -INF]], r"logits\[0\] has no logit above -inf"),
    ([[0.0], [-INF]], r"logits\[1\] has no logit above -inf"),
    (np.ma.masked_array([[0.0, 1.0]], [[0, 1]]), r"logits\[0, 1\] is nan"),
    (np.zeros((0, 3)), "logits is empty"),
    (np.zeros((3, 0)), "at least 1 class"),
    (1.0, r"logits has shape \(\)"),
]


@pytest.mark.parametrize(("logits", "message"), BAD_LOGITS, ids=[message for _, message in BAD_LOGITS])
def test_bad_logits(logits, message):
    with pytest.raises(fc.DataError, match=message):
        fc.softmax_saturation(logits)


def test_the_first_bad_row_is_named(cut_up):
    logits = np.zeros((30, 2))
    logits[[7, 20, 29]] = NAN
    with pytest.raises(fc.DataError, match=r"logits\[7, 0\] is nan"):
        fc.softmax_saturation(logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"epsilon": 0}, "epsilon is 0"), ({"epsilon": 1}, "epsilon"), ({"temperature": 0}, "temp")],
)
def test_bad_options_of_saturation(options, message):
    with pytest.raises(ValueError, match=message):
        fc.softmax_saturation([[0.0, 1.0]], **options)


# Activations


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [1, 2, 31, 32, 33, 100])
def test_activations_equal_their_definitions(dtype, width, cut_up):
    features = cast(RNG.standard_normal((20, width)), dtype)
    weights = cast(RNG.standard_normal((5, width)), dtype)
    norm, familiarity = fc.activation_norm(features), fc.activation_familiarity(features, weights)
    assert norm.dtype == familiarity.dtype == ("float64" if dtype == "float64" else "float32")
    z, w = features.astype(float), weights.astype(float)
    np.testing.assert_allclose(norm, oracle_ood.activation_norm(z).astype(float), rtol=EXACT[dtype])
    expected = oracle_ood.activation_familiarity(z, w).astype(float)
    np.testing.assert_allclose(familiarity, expected, rtol=EXACT[dtype], atol=EXACT[dtype])


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_laws_of_activations(seed, scale):
    rng = np.random.default_rng(seed)
    z, w = rng.standard_normal((6, 5)), rng.standard_normal((3, 5))
    norm, familiarity = fc.activation_norm(z), fc.activation_familiarity(z, w)
    np.testing.assert_allclose(fc.activation_norm(scale * z), scale * norm, rtol=1e-13)
    np.testing.assert_allclose(fc.activation_familiarity(scale * z, w / scale), familiarity, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(fc.activation_familiarity(z, w[::-1]), familiarity, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(along := fc.activation_familiarity(3 * w, w), 1, rtol=1e-15)
    assert (along <= 1).all()
    turned = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    np.testing.assert_allclose(fc.activation_norm(z @ turned), norm, rtol=1e-12)
    np.testing.assert_allclose(fc.activation_familiarity(z @ turned, w @ turned), familiarity, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("dtype", "scale"), [("float64", 1e200), ("float64", 1e-250), ("float64", 1e-310)])
def test_neither_overflow_nor_underflow(dtype, scale):
    z = np.array([[3.0, 4.0], [4.0, -3.0]]) * scale
    np.testing.assert_allclose(fc.activation_norm(z), 5 * scale, rtol=1e-13)
    np.testing.assert_allclose(fc.activation_familiarity(z, [[1.0, 0.0]]), [0.6, 0.8], rtol=1e-12)
    np.testing.assert_allclose(fc.activation_familiarity([[1.0, 0.0]], z), [0.8], rtol=1e-12)
    np.testing.assert_allclose(fc.activation_familiarity(np.float32([[3e38, 3e38]]), [[1.0, 0.0]]), [0.5**0.5])
    assert fc.activation_norm([[1.5e308, 1.5e308]]) == INF


def test_features_of_norm_0_have_no_angle():
    assert fc.activation_norm([[0.0, 0.0]]).tolist() == [0.0]
    found = fc.activation_familiarity([[0.0, 0.0], [2.0, 0.0]], [[1.0, 0.0]])
    assert np.isnan(found[0])
    assert found[1] == 1.0


def test_rows_of_any_shape():
    z = FEATURES.reshape(3, 4, 40)
    assert fc.activation_norm(z).shape == fc.activation_familiarity(z, WEIGHTS).shape == (3, 4)
    assert fc.activation_norm(z)[1, 2] == fc.activation_norm(z[1, 2])
    assert isinstance(fc.activation_norm(z[1, 2]), float)
    assert fc.activation_norm(np.zeros((0, 3))).shape == fc.activation_familiarity(np.zeros((0, 3)), [[1, 0, 0]]).shape


SAME = {
    "list": np.ndarray.tolist,
    "big-endian": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble),
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": read_only,
    "masked, nothing hidden": np.ma.masked_array,
    "frame": Framed,
}


@pytest.mark.parametrize("form", SAME.values(), ids=SAME)
def test_forms_of_the_same_rows(form):
    z, w = form(FEATURES), form(WEIGHTS)
    np.testing.assert_allclose(fc.activation_norm(z), fc.activation_norm(FEATURES), rtol=1e-15)
    familiarity = fc.activation_familiarity(FEATURES, WEIGHTS)
    np.testing.assert_allclose(fc.activation_familiarity(z, w), familiarity, rtol=1e-13)
    assert fc.softmax_saturation(z, epsilon=0.9) == fc.softmax_saturation(FEATURES, epsilon=0.9)
    norm = fc.activation_norm(FEATURES)
    expected = fc.mental_model_confidence(norm, familiarity, 4)
    np.testing.assert_array_equal(fc.mental_model_confidence(form(norm), form(familiarity), 4), expected)


def test_integers_and_tensors():
    assert fc.activation_norm([[3, 4]]).tolist() == [5.0]
    assert fc.activation_familiarity([[3, 4]], [[0, 2]]).tolist() == [0.8]
    torch = pytest.importorskip("torch")
    z, w = torch.tensor(FEATURES), torch.nn.Parameter(torch.tensor(WEIGHTS))
    np.testing.assert_array_equal(fc.activation_familiarity(z, w), fc.activation_familiarity(FEATURES, WEIGHTS))
    halves = fc.activation_familiarity(z.bfloat16(), w.bfloat16())
    expected = fc.activation_familiarity(cast(FEATURES, "bfloat16"), cast(WEIGHTS, "bfloat16"))
    np.testing.assert_array_equal(halves, expected)
    bits = z.bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(fc.activation_familiarity(bits, w.bfloat16(), dtype="bfloat16"), expected)
    np.testing.assert_array_equal(fc.activation_norm(bits, dtype="bfloat16"), fc.activation_norm(z.bfloat16()))
    assert fc.mental_model_confidence(torch.tensor([2.0]).bfloat16(), torch.tensor([0.5]), 3).dtype == np.float32


BAD_FEATURES = [
    (([[1.0, NAN]], [[1.0, 0.0]]), r"features\[0, 1\] is nan; expected finite"),
    (([[1.0, 0.0], [INF, 0.0]], [[1.0, 0.0]]), r"features\[1, 0\] is inf"),
    ((np.ma.masked_array([[0.0, 1.0]], [[0, 1]]), [[1.0, 0.0]]), r"features\[0, 1\] is nan"),
    ((1.0, [[1.0]]), r"features has shape \(\)"),
    ((np.zeros((3, 0)), np.zeros((2, 0))), r"features has shape \(3, 0\)"),
    (([[1.0, 0.0]], [[1.0]]), r"class_weights has shape \(1, 1\); expected \(K, 2\)"),
    (([[1.0, 0.0]], [1.0, 0.0]), r"class_weights has shape \(2,\)"),
    (([[1.0, 0.0]], np.zeros((0, 2))), r"class_weights has shape \(0, 2\)"),
    (([[1.0, 0.0]], [[1.0, 0.0], [NAN, 0.0]]), r"class_weights\[1, 0\] is nan"),
    (([[1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]), r"class_weights\[1\] has norm 0"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_FEATURES, ids=[message for _, message in BAD_FEATURES])
def test_bad_features(arguments, message):
    with pytest.raises(fc.DataError, match=message):
        fc.activation_familiarity(*arguments)
    if "features" in message:
        with pytest.raises(fc.DataError, match=message):
            fc.activation_norm(arguments[0])


# The mental model


@given(st.integers(0, 2**32 - 1), st.integers(2, 1000))
def test_mental_model_equals_its_definition(seed, k):
    rng = np.random.default_rng(seed)
    norm, familiarity = rng.exponential(30, 20), rng.uniform(-1, 1, 20)
    found = fc.mental_model_confidence(norm, familiarity, k)
    np.testing.assert_allclose(
        found, oracle_ood.mental_model_confidence(norm, familiarity, k).astype(float), rtol=1e-12
    )
    more = fc.mental_model_confidence(norm, np.minimum(familiarity + 0.1, 1), k)
    assert (more >= found).all()


def test_mental_model_at_its_ends():
    assert fc.mental_model_confidence(0.0, 0.3, 4) == fc.mental_model_confidence(0.0, NAN, 4) == 0.25
    assert fc.mental_model_confidence(1e6, -1.0, 3) == 0.0
    assert fc.mental_model_confidence(1e6, 1.0, 3) == 1.0
    assert fc.mental_model_confidence(5.0, -1.0, 2) == 0.5
    assert fc.mental_model_confidence(5.0, 1 + 1e-5, 3) == fc.mental_model_confidence(5.0, 1.0, 3)
    assert isinstance(fc.mental_model_confidence(1.0, 0.5, np.int64(3)), float)
    grid = fc.mental_model_confidence(np.float32([[1.0], [2.0]]), cast([0.0, 0.5, 1.0], "float16"), 3)
    assert grid.shape == (2, 3)
    assert grid.dtype == np.float32
    assert fc.mental_model_confidence([], [], 3).shape == (0,)


def test_mental_model_is_the_softmax_of_weights_that_are_spread_out():
    """Of one class it is the probability where all others are at -1 / (K - 1)."""
    k, norm = 5, 3.0
    simplex = np.eye(k) - 1 / k
    simplex /= np.linalg.norm(simplex, axis=1, keepdims=True)
    z = norm * simplex[2]
    expected = fc.softmax(simplex @ z).max()
    familiarity = fc.activation_familiarity(z, simplex)
    assert fc.mental_model_confidence(fc.activation_norm(z), familiarity, k) == pytest.approx(expected, rel=1e-12)


BAD_MODEL = [
    ((-1.0, 0.5, 3), r"norm is -1.0; norms are finite and not negative"),
    (([1.0, INF], 0.5, 3), r"norm\[1\] is inf"),
    (([1.0, NAN], 0.5, 3), r"norm\[1\] is nan"),
    (([1.0], [[0.5, 1.2]], 3), r"familiarity\[0, 1\] is 1.2; cosines lie in \[-1, 1\]"),
    (([1.0, 2.0], [0.5, NAN], 3), r"familiarity\[1\] is nan"),
    (([1.0, 2.0], np.ma.masked_array([0.5, 0.5], [0, 1]), 3), r"familiarity\[1\] is nan"),
    (([1.0, 2.0], [0.5, 0.5, 0.5], 3), r"familiarity has shape \(3,\), which does not go with the shape \(2,\)"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_MODEL, ids=[message for _, message in BAD_MODEL])
def test_bad_mental_model(arguments, message):
    with pytest.raises(fc.DataError, match=message):
        fc.mental_model_confidence(*arguments)


@pytest.mark.parametrize("n_classes", [1, 0, -3, 2.0, True, None])
def test_bad_number_of_classes(n_classes):
    with pytest.raises(ValueError, match="n_classes is"):
        fc.mental_model_confidence(1.0, 0.5, n_classes)
