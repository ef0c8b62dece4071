"""Missing values under every ``nan_policy``, and what no function takes: which input has which outcome where."""

from __future__ import annotations

import math
import sys
import types

import numpy as np
import pytest
from conformance_calls import ACCUMULATORS, BINARY, OF_LOGITS, OF_SCORES, WITHOUT_WEIGHTS, plain

import fastcal as fc
from fastcal.arrays import array_of

# missing values

Y, P, W = (plain()[name] for name in ("y", "p", "weights"))
LABELS, ROWS, MEMBERS = (plain()[name] for name in ("labels", "probs", "members"))
GONE = np.zeros(len(Y), bool)
GONE[[4, 11, 30]] = True
KEPT = ~GONE


def of_pyarrow(values, gone):
    return pytest.importorskip("pyarrow").array(values, mask=gone)


def of_pandas(values, gone):
    pd = pytest.importorskip("pandas", reason="needs the bench extra")
    return pd.Series(pd.array(np.ma.masked_array(values, gone).tolist()))


def of_polars(values, gone):
    return pytest.importorskip("polars", reason="needs the bench extra").Series(
        np.ma.masked_array(values, gone).tolist()
    )


FORMS = {
    "masked": np.ma.masked_array,
    "pyarrow": of_pyarrow,
    "pandas": of_pandas,
    "polars": of_polars,
}


def said(form):
    return "masked" if form is np.ma.masked_array else "missing"


def arguments(form, where):
    """Labels, scores and weights (None: 1 each), of which one has missing values."""
    y, p, weights = Y, P, None
    if where == "y_true":
        y = form(Y, GONE)
    elif where == "y_prob":
        p = form(P, GONE)
    else:
        weights = form(W, GONE)
    return y, p, {} if weights is None else {"sample_weight": weights}


def without(where):
    return Y[KEPT], P[KEPT], {"sample_weight": W[KEPT]} if where == "sample_weight" else {}


def places(name):
    return ("y_true", "y_prob") if name in WITHOUT_WEIGHTS else ("y_true", "y_prob", "sample_weight")


def same(one, other):
    from public_calls import digest

    return digest(one) == digest(other)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_functions_follow_the_policy(form):
    for name in BINARY if form is of_pyarrow else ("ece", "smooth_ece", "aurc", "tace", "kernel_calibration_error"):
        function = getattr(fc, name)
        for where in places(name):
            y, p, more = arguments(form, where)
            kept_y, kept_p, kept = without(where)
            omitted = function(y, p, nan_policy="omit", **more)
            assert same(omitted, function(kept_y, kept_p, **kept)), (name, where)
            assert is_undefined(function(y, p, nan_policy="propagate", **more)), (name, where)
            message = (
                r"y_prob\[4\] is nan" if where == "y_prob" else rf"{where}\[4\] is {said(form)}; every row needs a"
            )
            with pytest.raises(fc.DataError, match=message):
                function(y, p, **more)


def is_undefined(result):
    if isinstance(result, float):
        return math.isnan(result)
    if hasattr(result, "risk"):
        return np.isnan(result.risk).all()
    if hasattr(result, "accuracy"):
        return np.isnan(result.accuracy).all()
    return any(math.isnan(one) for one in (result if isinstance(result, tuple) else vars(result).values()))


@pytest.mark.parametrize("name", ACCUMULATORS)
@pytest.mark.parametrize("rows", [False, True], ids=["lines", "rows"])
def test_accumulators_follow_the_policy(name, rows):
    kind = getattr(fc, name)
    scores, labels = (ROWS, LABELS) if rows else (P, Y)
    for argument in ("y_true", "sample_weight"):
        y = of_pyarrow(labels, GONE) if argument == "y_true" else labels
        weights = of_pyarrow(W, GONE) if argument == "sample_weight" else W
        seen = kind(nan_policy="omit").update(y, scores, sample_weight=weights)
        expected = kind(nan_policy="omit").update(labels[KEPT], scores[KEPT], sample_weight=W[KEPT])
        assert seen.compute()["n_nan"] == GONE.sum()
        got, wanted = seen.compute().to_dict(), expected.compute().to_dict()
        assert same({**got, "n_nan": 0}, wanted), argument
        strict = kind().update(labels, scores)
        before = strict.to_bytes()
        with pytest.raises(
            fc.DataError, match=rf"{argument}\[4\] is missing; every row needs a .*'omit' leaves it out"
        ):
            strict.update(y, scores, sample_weight=weights)
        assert strict.to_bytes() == before
        propagated = kind(nan_policy="propagate").update(y, scores, sample_weight=weights).compute()
        figures = [value for key, value in propagated.items() if isinstance(value, float) and key != "resolution"]
        assert all(math.isnan(value) for value in figures), argument


def test_splits_with_missing_labels_give_the_same_bits():
    y = np.ma.masked_array(LABELS, GONE)
    options = {"nan_policy": "omit", "n_threads": 1}
    whole = fc.Evaluation(**options).update(y, ROWS).to_bytes()
    parts = [fc.Evaluation(**options).update(y[k : k + 5], ROWS[k : k + 5]) for k in range(0, len(y), 5)]
    assert sum(parts[::-1]).to_bytes() == whole
    order = np.random.default_rng(0).permutation(len(y))
    assert fc.Evaluation(**options).update(y[order], ROWS[order]).to_bytes() == whole


def test_a_row_that_is_missing_is_not_looked_at():
    """Neither its score nor its weight has to be in order; those of other rows have."""
    y, p = np.ma.masked_array([1, 0, 1], [0, 1, 0]), np.array([0.5, 7.0, 0.25])
    assert fc.ece(y, p, nan_policy="omit") == fc.ece([1, 1], [0.5, 0.25])
    assert fc.ece(y, p, sample_weight=[1, -1, 1], nan_policy="omit") == fc.ece([1, 1], [0.5, 0.25])
    weights = np.ma.masked_array([1, 0, 1], [0, 1, 0])
    assert fc.ece([1, 9, 1], p, sample_weight=weights, nan_policy="omit") == fc.ece([1, 1], [0.5, 0.25])
    assert fc.aurc([1, 9, 1], p, sample_weight=weights, nan_policy="omit") == fc.aurc([1, 1], [0.5, 0.25])
    p[2] = 7
    with pytest.raises(fc.DataError, match=r"y_prob\[2\] is 7"):
        fc.ece(y, p, nan_policy="omit")


def test_missing_labels_of_uncertainty():
    y = of_pyarrow(LABELS, GONE)
    seen = fc.UncertaintyAccumulator(nan_policy="omit").update(y, MEMBERS)
    expected = fc.UncertaintyAccumulator(nan_policy="omit").update(LABELS[KEPT], MEMBERS[:, KEPT])
    assert seen.compute()["n_nan"] == GONE.sum()
    assert same({**seen.compute().to_dict(), "n_nan": 0}, expected.compute().to_dict())
    with pytest.raises(fc.DataError, match=r"y_true\[4\] is missing; say y_true=None for rows without labels"):
        fc.UncertaintyAccumulator().update(y, MEMBERS)
    outside = fc.UncertaintyAccumulator().update(y, MEMBERS, out_of_distribution=GONE)  # these need no label
    assert outside.compute()["n_out"] == GONE.sum()
    measures = {"energy": P}
    judged = fc.UncertaintyAccumulator(nan_policy="omit").update_measures(measures, correct=of_pyarrow(Y == 1, GONE))
    assert judged.compute()["n_nan"] == GONE.sum()
    with pytest.raises(fc.DataError, match=r"correct\[4\] is missing"):
        fc.UncertaintyAccumulator().update_measures(measures, correct=of_pyarrow(Y == 1, GONE))


def test_large_labels_do_not_go_through_floats():
    large = 2**53 + 1
    y = of_pyarrow(np.array([0, large, 1]), np.array([True, False, False]))
    with pytest.raises(fc.DataError, match=rf"y_true\[1\] is {large}; labels are integers 0 to 1"):
        fc.ece(y, [0.5, 0.5, 0.5], nan_policy="omit")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_a_policy_what_is_missing_raises(form):
    word = said(form)
    for name in OF_SCORES:
        with pytest.raises(fc.DataError, match=rf"^score\[4\] is {word}; every row needs a score"):
            getattr(fc, name)(Y, form(P, GONE))
        with pytest.raises(fc.DataError, match=rf"^y_true\[4\] is {word}; every row needs one"):
            getattr(fc, name)(form(Y, GONE), P)
    with pytest.raises(fc.DataError, match=rf"^y_true\[4\] is {word}; every row needs a label"):
        fc.compare(form(LABELS, GONE), ROWS, ROWS)
    with pytest.raises(fc.DataError, match=rf"^sample_weight\[4\] is {word}; every row needs a weight"):
        fc.corp_curve(Y, P, sample_weight=form(W, GONE))
    with pytest.raises(fc.DataError, match=rf"^scores\[4\] is {word}; every score is needed"):
        fc.IsotonicCalibration().fit(form(P, GONE), Y)
    with pytest.raises(fc.DataError, match=rf"^y_true\[4\] is {word}; every row needs a label"):
        fc.IsotonicCalibration().fit(P, form(Y, GONE))
    with pytest.raises(fc.DataError, match=rf"^y\[4\] is {word}"):
        fc.isotonic_regression(form(P, GONE))


def test_missing_scores_make_their_row_none():
    pa = pytest.importorskip("pyarrow")
    rows = pa.table({"a": [0.25, None, 0.5], "b": [0.75, 1.0, 0.5]})
    assert np.isnan(fc.softmax(rows)).all(axis=1).tolist() == [False, True, False]
    assert fc.softmax_summary(rows).prediction.tolist() == [1, -1, 0]
    assert fc.ensemble_uncertainty([rows, rows]).prediction.tolist() == [1, -1, 0]
    assert np.isnan(fc.entropy(rows)).tolist() == [False, True, False]
    with pytest.raises(fc.DataError, match=r"y_prob\[1, 0\] is nan; nan_policy='omit' leaves such rows out"):
        fc.accuracy([1, 1, 0], rows)
    assert fc.accuracy([1, 1, 0], rows, nan_policy="omit") == 1.0


# what no function takes


class Fake:
    """An array of a library on an accelerator."""

    shape = (4,)
    ndim = 1
    dtype = np.dtype(np.float32)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("an array on a device was copied")


class Cuda(Fake):
    __cuda_array_interface__ = {"shape": (4,), "typestr": "<f4", "data": (0, False), "version": 3}  # noqa: RUF012
    device = types.SimpleNamespace(id=1)

    def get(self):
        return np.zeros(4, np.float32)


class Dlpack(Fake):
    def __dlpack_device__(self):
        return 10, 0

    def __dlpack__(self, **options):
        raise AssertionError("an array on a device was copied")


class Jax(Fake):
    def devices(self):
        return {Named("cpu"), Named("gpu")}


class Named(types.SimpleNamespace):
    def __init__(self, platform):
        super().__init__(platform=platform)

    def __hash__(self):
        return hash(self.platform)

    def __repr__(self):
        return f"{self.platform}:0"


Jax.__module__ = "jaxlib._jax"


def sparse():
    from scipy import sparse

    return sparse.csr_array(np.eye(4))


UNUSUAL = {
    "cuda": (Cuda, r"is on cuda:1; call {}.get\(\) first"),
    "dlpack": (Dlpack, "is on rocm:0; copy it to the host first"),
    "JAX on a gpu": (Jax, r"is on gpu:0; call jax.device_get\({}\) first"),
    "sparse": (sparse, "is a sparse matrix; expected an array"),
    "text": (lambda: ["a"] * 4, "has dtype <U1; expected real numbers"),
    "objects": (lambda: np.array([None] * 4), "has dtype object; expected real numbers; None, text or rows"),
    "complex": (lambda: np.zeros(4, complex), "has dtype complex128; expected real numbers"),
    "dates": (lambda: np.zeros(4, "M8[s]"), r"has dtype datetime64\[s\]; expected real numbers"),
    "bytes": (lambda: b"abcd", "has dtype |S4; expected real numbers"),
    "Arrow's text": (
        lambda: of_pyarrow(np.array(["a"] * 4), None),
        r"holds text \(Arrow's 'u'\); expected real numbers",
    ),
    "Arrow's decimals": (lambda: arrow_of("decimal"), r"holds decimals \(Arrow's 'd:5,2'\)"),
    "Arrow's dates": (lambda: arrow_of("date"), "holds dates, times or durations"),
}


def arrow_of(kind):
    import datetime
    import decimal

    pa = pytest.importorskip("pyarrow")
    if kind == "date":
        return pa.array([datetime.date(2020, 1, 1)] * 4)
    return pa.array([decimal.Decimal("1.25")] * 4, pa.decimal128(5, 2))


Z = np.zeros(4)
PLACES = {
    **{f"{name}, y_prob": (lambda odd, name=name: getattr(fc, name)([0, 1, 0, 1], odd), "y_prob") for name in BINARY},
    **{f"{name}, y_true": (lambda odd, name=name: getattr(fc, name)(odd, Z), "y_true") for name in BINARY[:8]},
    **{name: (lambda odd, name=name: getattr(fc, name)([0, 1, 0, 1], odd), "score") for name in OF_SCORES},
    **{name: (lambda odd, name=name: getattr(fc, name)(odd), "logits") for name in OF_LOGITS},
    "a weight": (lambda odd: fc.ece([0, 1, 0, 1], Z, sample_weight=odd), "sample_weight"),
    "entropy": (fc.entropy, "probs"),
    "prob_b": (lambda odd: fc.compare([0, 1, 0, 1], Z, odd), "prob_b"),
    "Evaluation": (lambda odd: fc.Evaluation().update([0, 1, 0, 1], odd), "y_prob"),
    "RankingAccumulator": (lambda odd: fc.RankingAccumulator().update([0, 1, 0, 1], odd), "score"),
    "UncertaintyAccumulator": (lambda odd: fc.UncertaintyAccumulator().update_measures({"energy": odd}), "energy"),
    "a fit": (lambda odd: fc.PlattScaling().fit(odd, [0, 1, 0, 1]), "scores"),
    "labels of a fit": (lambda odd: fc.PlattScaling().fit(Z, odd), "y_true"),
    "X": (lambda odd: fc.IsotonicRegression().fit(odd, [0, 1, 0, 1]), "X"),
    "y": (fc.isotonic_regression, "y"),
    "a member": (lambda odd: fc.ensemble_uncertainty([odd, odd]), r"members\[0\]"),
    "features": (fc.activation_norm, "features"),
    "norm": (lambda odd: fc.mental_model_confidence(odd, 0.5, 3), "norm"),
    "score_in": (lambda odd: fc.ood_metrics(odd, Z), "score_in"),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_no_array_of_numbers_is_refused_by_name(kind):
    make, message = UNUSUAL[kind]
    for place, (call, argument) in PLACES.items():
        if place == "a member" and kind in ("text", "bytes"):
            continue  # the names of files
        with pytest.raises(TypeError, match=f"^{argument}(\\[0\\])? " + message.replace("|", r"\|").format(argument)):
            call(make())


def test_what_torch_has_beside_dense_tensors_on_the_cpu():
    torch = pytest.importorskip("torch", reason="needs the bench extra")
    refused = {
        "is on meta, and holds no numbers": torch.zeros(4, device="meta"),
        r"is a tensor of layout torch.sparse_coo; .* call y_prob.to_dense\(\) first": torch.eye(4).to_sparse(),
        "has dtype torch.complex64; expected real numbers": torch.zeros(4, dtype=torch.complex64),
    }
    for message, tensor in refused.items():
        with pytest.raises(TypeError, match=f"^y_prob {message}"):
            fc.ece([0, 1, 0, 1], tensor)
    negative = torch.tensor([0.5 - 0.25j]).conj().imag
    assert negative.is_neg()
    assert array_of("y_prob", negative).tolist() == [0.25]
    assert array_of("y_prob", torch.tensor(0.5)).shape == ()
    assert array_of("y_prob", torch.tensor([0.5]).to(torch.float8_e4m3fn)).tolist() == [0.5]
    assert type(fc.softmax(torch.ones(2, 2, requires_grad=True))) is np.ndarray  # results carry no gradients


def test_quantized_tensors_and_other_devices():
    """As torch itself has them where there is such a device."""
    pytest.importorskip("torch", reason="needs the bench extra")
    torch = sys.modules["torch"]

    class Device(types.SimpleNamespace):
        def __init__(self, kind):
            super().__init__(type=kind)

        def __str__(self):
            return f"{self.type}:0"

    class Elsewhere:
        layout = torch.strided
        is_nested = False
        dtype = torch.float32

        def __init__(self, device, quantized):
            self.device, self.is_quantized = Device(device), quantized

    Elsewhere.__module__ = "torch"
    for device in ("cuda", "mps", "xpu"):
        with pytest.raises(TypeError, match=rf"^y_prob is on {device}:0; call y_prob.cpu\(\) first"):
            array_of("y_prob", Elsewhere(device, False))
    with pytest.raises(TypeError, match=r"^y_prob is a quantized tensor; call y_prob.dequantize\(\) first"):
        array_of("y_prob", Elsewhere("cpu", True))


def test_what_is_lazy_or_traced():
    polars = pytest.importorskip("polars", reason="needs the bench extra")
    jax = pytest.importorskip("jax", reason="needs the bench extra")
    with pytest.raises(TypeError, match=r"^y_prob is a LazyFrame of polars; call y_prob.collect\(\) first"):
        fc.ece([0], polars.LazyFrame({"p": [0.5]}))
    with pytest.raises(TypeError, match=r"^y_prob is a .*Tracer that cannot be read"):
        jax.jit(lambda p: fc.ece([0, 1], p))(jax.numpy.zeros(2))
    deleted = jax.numpy.zeros(2)
    deleted.delete()
    with pytest.raises(TypeError, match=r"^y_prob is an array of JAX that has been deleted"):
        fc.ece([0, 1], deleted)


def test_no_library_is_imported():
    import subprocess

    code = "import fastcal as fc, sys; fc.ece([0, 1], [0.25, 0.5]); fc.softmax([1.0, 2.0]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"pandas", "polars", "pyarrow", "torch", "jax", "ml_dtypes", "dask", "sklearn"}
