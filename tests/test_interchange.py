"""The door for other libraries' arrays: what is copied, what is missing, what lives how long, and what is refused."""

from __future__ import annotations

import ctypes
import gc
import tracemalloc

import numpy as np
import pytest
from array_libraries import INSTALLED, OnlyCapsules, OnlyDevice, OnlyStream, chunked, fixed_lists
from conformance_calls import plain
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcal as fc
from fastcal.arrays import array_of, array_or_bits, labels_of
from fastcal.interchange import arrow

pa = pytest.importorskip("pyarrow")

LARGE = 1 << 20


def address(array):
    return array.__array_interface__["data"][0]


# copies


@pytest.mark.parametrize("library", INSTALLED)
def test_nothing_is_copied_where_the_layout_allows(library):
    """Read twice, an object of which nothing is copied gives the same memory."""
    for dtype in (*library.dtypes, *library.halves):
        for axes, name in ((1, "p"), (2, "probs")):
            given = plain(dtype)[name]
            values = library.of(given)
            if axes not in library.zero_copy or values is given:
                continue
            one, bits = array_or_bits("y_prob", values)
            assert address(one) == address(array_or_bits("y_prob", values)[0]), (dtype, axes)
            assert bits == (dtype == "bfloat16")
            assert (one.dtype.itemsize, one.shape) == (given.dtype.itemsize, given.shape)
            np.testing.assert_array_equal(
                one.view(np.uint16) if bits else one, given.view(np.uint16) if bits else given
            )


@pytest.mark.parametrize("library", [one for one in INSTALLED if 1 in one.values[0].zero_copy])
def test_a_large_one_takes_no_memory(library):
    values = np.ones(LARGE, library.dtypes[0])
    if library.line is None or library.name == "lists":
        return
    foreign = library.of(values)
    array_of("y_prob", library.of(values[:4]))
    tracemalloc.start()
    found = array_of("y_prob", foreign)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.nbytes == values.nbytes
    assert peak < values.nbytes / 3  # pandas tells what is missing, a byte each


def test_addresses_are_the_producers():
    values = np.arange(8.0)
    assert address(array_of("a", pa.array(values))) == address(values)
    assert address(array_of("a", pa.array(values)[3:])) == address(values) + 24
    assert address(array_of("a", memoryview(values)[2:])) == address(values) + 16
    assert address(array_of("a", fixed_lists(values.reshape(4, 2))[1:])) == address(values) + 16


def test_addresses_of_the_bench_extra():
    torch = pytest.importorskip("torch", reason="needs the bench extra")
    jax = pytest.importorskip("jax", reason="needs the bench extra")
    polars = pytest.importorskip("polars", reason="needs the bench extra")
    pandas = pytest.importorskip("pandas", reason="needs the bench extra")
    tensor = torch.ones(5, 3, requires_grad=True)
    assert address(array_of("a", tensor)) == tensor.data_ptr()
    assert array_of("a", tensor.T).strides == (4, 12)
    device = jax.numpy.ones(5)
    assert address(array_of("a", device)) == device.unsafe_buffer_pointer()
    series = polars.Series([1.0, 2.0])
    assert address(array_of("a", series)) == address(series.to_numpy(allow_copy=False))
    frame = pandas.DataFrame(np.ones((4, 3)))
    assert np.shares_memory(array_of("a", frame), frame.to_numpy(copy=False))


def test_a_memory_map(tmp_path):
    np.save(tmp_path / "p.npy", np.arange(4.0))
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    found = array_of("y_prob", mapped)
    assert type(found) is np.ndarray
    assert address(found) == address(mapped)


# lifetimes


@pytest.mark.parametrize("form", [lambda a: a, OnlyCapsules, OnlyDevice, lambda a: OnlyStream(pa.chunked_array([a]))])
def test_memory_is_released_with_the_last_view(form):
    gc.collect()
    before = pa.total_allocated_bytes()
    values = pa.array(list(range(100_000)))
    taken = pa.total_allocated_bytes() - before
    view = array_of("y_prob", form(values))[10:20]
    del values
    gc.collect()
    assert pa.total_allocated_bytes() - before > taken / 2 >= 400_000
    assert view.tolist() == list(range(10, 20))
    del view
    gc.collect()
    assert pa.total_allocated_bytes() - before < taken / 2


def test_an_array_is_read_once_from_a_capsule():
    class Same:
        capsules = pa.array([1.0]).__arrow_c_array__()

        def __arrow_c_array__(self, requested_schema=None):
            return self.capsules

    assert array_of("y_prob", Same()).tolist() == [1.0]
    with pytest.raises(TypeError, match="y_prob was released before it was read"):
        array_of("y_prob", Same())


class Stream:
    """What can be read but once, and has no rows then."""

    def __init__(self, values):
        self.values = pa.chunked_array([values])

    def __arrow_c_stream__(self, requested_schema=None):
        given, self.values = self.values, self.values[:0]
        return given.__arrow_c_stream__()


def test_what_can_be_read_once():
    some = np.random.default_rng(0)
    p, w = some.random((2, 40))
    y = (some.random(40) < p).astype(int)

    def both():
        assert fc.compare(Stream(y), p, p / 2, sample_weight=Stream(w)) is not None
        names = ("ece", "adaptive_ece", "tace", "spiegelhalter_test", "score_decomposition")
        for call in (getattr(fc, name) for name in names):
            yield call(Stream(y), Stream(p), sample_weight=Stream(w)), call(y, p, sample_weight=w)
        yield fc.corp_curve(Stream(y), Stream(p)).fitted.tolist(), fc.corp_curve(y, p).fitted.tolist()

    for found, expected in both():
        assert found == expected


def test_a_stream_that_fails_says_why():
    def batches():
        yield pa.record_batch({"a": [1.0]})
        raise ValueError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.float64()}), batches())
    with pytest.raises(TypeError, match=r"y_prob cannot be read: .*the disk is gone"):
        array_of("y_prob", OnlyStream(reader))


# values, against what the library itself lists


def listed(array):
    return array.tolist()  # None where masked


NUMBERS = {
    **{name: st.integers(0, 100) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    "int64": st.integers(-(2**62), 2**62),
    "uint64": st.integers(0, 2**64 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
    "bool": st.booleans(),
}


@st.composite
def arrow_lines(draw):
    """Chunks of numbers, some of them missing, each a slice of a longer one."""
    kind = draw(st.sampled_from(sorted(NUMBERS)))
    type_ = pa.bool_() if kind == "bool" else pa.from_numpy_dtype(kind)
    chunks = draw(st.lists(st.lists(st.none() | NUMBERS[kind], max_size=20), max_size=3))
    return pa.chunked_array([pa.array([None, *one, None], type_)[1:-1] for one in chunks], type_)


@given(arrow_lines())
def test_lines_of_arrow(values):
    found = array_of("y_prob", values)
    assert listed(found) == values.to_pylist()
    assert isinstance(found, np.ma.MaskedArray) == (values.null_count > 0)
    for one in values.chunks[:1]:
        assert listed(array_of("y_prob", one)) == one.to_pylist()


@given(st.data())
def test_rows_of_arrow(data):
    width, kind = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(["fixed", "list", "large"]))
    row = st.lists(st.none() | st.floats(width=32, allow_nan=False), min_size=width, max_size=width)
    rows = data.draw(st.lists(st.none() | row, min_size=1, max_size=8))
    makers = {"fixed": lambda t: pa.list_(t, width), "list": pa.list_, "large": pa.large_list}
    values = pa.array([None, *rows, [0.5] * width], makers[kind](pa.float32()))[1:-1]
    width = width if kind == "fixed" or any(one is not None for one in rows) else 0
    expected = [[None] * width if one is None else one for one in rows]
    assert listed(array_of("y_prob", values)) == expected


def test_columns_of_arrow():
    table = pa.table({"a": [0.25, None, 1.0], "b": pa.array([1, 0, None], pa.int8())})
    assert listed(array_of("y_prob", table)) == [[0.25, 1.0], [None, 0.0], [1.0, None]]
    assert listed(array_of("y_prob", pa.concat_tables([table, table]))) == 2 * listed(array_of("y_prob", table))
    assert listed(array_of("y_prob", table.slice(1))) == [[None, 0.0], [1.0, None]]
    assert listed(array_of("y_prob", table.to_struct_array().chunk(0)[1:])) == [[None, 0.0], [1.0, None]]
    rows = pa.StructArray.from_arrays([pa.array([1.0, 2.0])], ["a"], mask=pa.array([False, True]))
    assert listed(array_of("y_prob", rows)) == [[1.0], [None]]
    long = np.arange(3.0 * arrow.STRETCH)
    np.testing.assert_array_equal(
        array_of("y_prob", pa.table({"a": long, "b": -long})), np.stack([long, -long], axis=1)
    )


ODD_FORMS = {
    "nulls only": (pa.nulls(2), [None, None]),
    "a dictionary": (pa.array([5, None, 6, 5]).dictionary_encode(), [5, None, 6, 5]),
    "a dictionary with a null": (pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([7, None])), [7, None]),
    "an empty dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), pa.array([], pa.int8())),
        [None],
    ),
    "no rows": (pa.array([], pa.int16()), []),
    "no bools": (pa.array([], pa.bool_()), []),
    "no chunks": (pa.chunked_array([], pa.float32()), []),
    "no columns": (pa.table({}), []),
    "no rows of lists": (pa.chunked_array([], pa.list_(pa.float32(), 2)), []),
    "an empty table": (pa.table({"a": pa.array([], pa.float32()), "b": pa.array([], pa.float32())}), []),
    "lists of lists": (pa.array([[[1, 2]], [[3, 4]]]), [[[1, 2]], [[3, 4]]]),
    "a missing list": (pa.array([[1.0, 2.0], None, [3.0, None]]), [[1.0, 2.0], [None, None], [3.0, None]]),
    "half floats": (pa.array(np.float16([0.5, 2]), pa.float16()), [0.5, 2.0]),
}


@pytest.mark.parametrize("name", ODD_FORMS)
def test_odd_forms_of_arrow(name):
    values, expected = ODD_FORMS[name]
    assert listed(array_of("y_prob", values)) == expected


def test_lists_of_arrays():
    rows = [pa.array([0.5, None]), np.array([1.0, 2.0])]
    assert listed(array_of("y_prob", rows)) == [[0.5, None], [1.0, 2.0]]
    masked = [np.ma.masked_array([1.0, 2.0], [0, 1]), np.ma.masked_array([3.0, 4.0], False)]
    assert listed(array_of("y_prob", masked)) == [[1.0, None], [3.0, 4.0]]
    with pytest.raises(fc.DataError, match=r"y_prob is no array: row 1 has shape \(1,\), row 0 has \(2,\)"):
        array_of("y_prob", [pa.array([0.5, 1.0]), pa.array([0.5])])
    with pytest.raises(TypeError, match=r"y_prob\[1\] holds text"):
        array_of("y_prob", [pa.array([0.5]), pa.array(["a"])])


class WithoutDlpack(OnlyCapsules):
    """As pyarrow 17: where a value is missing, an array has no device of DLPack's either."""

    def __dlpack_device__(self):
        raise TypeError("Can only use DLPack on arrays with no nulls.")


def test_arrow_says_where_its_arrays_lie():
    assert listed(array_of("y_prob", WithoutDlpack(pa.array([0.5, None])))) == [0.5, None]


def test_numbers_of_bfloat16_by_themselves():
    torch = pytest.importorskip("torch", reason="needs the bench extra")
    half = torch.tensor(0.25, dtype=torch.bfloat16)
    assert array_of("y_prob", half).shape == ()
    assert array_of("y_prob", [half, half]).tolist() == [0.25, 0.25]
    assert fc.ece([0, 1], [half, half]) == 0.25
    with pytest.raises(TypeError, match=r"y_prob is a list that cannot be read: .*BFloat16"):
        array_of("y_prob", [[half, half]])


def test_small_numbers_of_ml_dtypes():
    import ml_dtypes

    for dtype, expected in ((ml_dtypes.float8_e5m2, np.float32), (ml_dtypes.int4, np.int8)):
        found = array_of("y_prob", np.array([0, 1, 2]).astype(dtype))
        assert (found.dtype, found.tolist()) == (expected, [0, 1, 2])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 65535), min_size=1))
def test_bfloat16_is_widened_exactly(bits):
    import ml_dtypes

    bits = np.array(bits, np.uint16)
    found = array_of("y_prob", bits.view(ml_dtypes.bfloat16))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), bits.astype(np.uint32) << 16)


def test_pandas_of_many_kinds():
    pd = pytest.importorskip("pandas", reason="needs the bench extra")
    large = 2**60 + 1
    forms = {
        "Int64": (pd.array([1, None, large], dtype="Int64"), [1, None, large]),
        "boolean": (pd.Series([True, None], dtype="boolean"), [True, None]),
        "Float32": (pd.Series([0.5, None], dtype="Float32"), [0.5, None]),
        "of Arrow": (pd.array([1, None, large], dtype="int64[pyarrow]"), [1, None, large]),
        "categories": (pd.Series(pd.Categorical.from_codes([1, -1, 0], [2, large])), [large, None, 2]),
        "mixed columns": (pd.DataFrame({"a": pd.array([1, None]), "b": [0.5, 1.5]}), [[1, 0.5], [None, 1.5]]),
        "no columns": (pd.DataFrame(index=[0, 1]), [[], []]),
        "one column": (pd.DataFrame({"a": [1.0, 2.0]}), [[1.0], [2.0]]),
        "sparse": (pd.Series(pd.arrays.SparseArray([0.0, 1.0])), [0.0, 1.0]),
        "an index": (pd.Index([1, 2]), [1, 2]),
        "twice the name": (
            pd.DataFrame([[0.5, 1], [1.5, 2]], columns=["a", "a"]).astype("Float64"),
            [[0.5, 1], [1.5, 2]],
        ),
    }
    for name, (values, expected) in forms.items():
        assert listed(array_of("y_prob", values)) == expected, name
    for values, dtype in (
        (pd.Series(["a"]), "str"),
        (pd.Series([None, 0.5], dtype=object), "object"),
        (pd.Series(pd.to_datetime(["2020"])), "datetime64"),
        (pd.Series(pd.to_datetime(["2020"]).tz_localize("UTC")), "datetime64"),
        (pd.Series(["a"], dtype="category"), "str"),
        (pd.period_range("2020", periods=1), "period"),
    ):
        with pytest.raises(TypeError, match=f"y_prob has dtype {dtype}.*; expected real numbers"):
            array_of("y_prob", values)
    with pytest.raises(TypeError, match=r"y_prob.iloc\[:, 1\] has dtype str"):
        array_of("y_prob", pd.DataFrame({"a": [1.0], "b": ["x"]}))


def test_labels_may_be_text():
    expected = ["a", None, "b"]
    assert listed(labels_of("y_true", pa.array(expected))) == expected
    assert listed(labels_of("y_true", pa.array([1, None]))) == [1, None]
    with pytest.raises(fc.DataError, match=r"groups\[1\] is missing; every row needs a group"):
        fc.Evaluation(groups=True).update([0, 1, 1], [0.5, 0.5, 0.5], groups=pa.array(expected))
    seen = [
        fc.Evaluation(groups=True).update([0, 1], [0.5, 0.25], groups=form).to_bytes()
        for form in (["x", "y"], pa.array(["x", "y"]), np.array(["x", "y"]))
    ]
    assert len(set(seen)) == 1


def test_text_of_the_bench_extra():
    pd = pytest.importorskip("pandas", reason="needs the bench extra")
    polars = pytest.importorskip("polars", reason="needs the bench extra")
    labels, scores = ["b", "a", "b", "a"] * 5, np.linspace(0.1, 0.9, 20)
    expected = fc.PlattScaling(classes=["a", "b"]).fit(scores, labels).slope_
    for form in (pd.Series, polars.Series, pa.array, pd.Categorical, lambda a: pa.array(a).dictionary_encode()):
        assert fc.PlattScaling(classes=["a", "b"]).fit(scores, form(labels)).slope_ == expected
        with pytest.raises(fc.DataError, match=r"y_true\[1\] is missing; every row needs a label"):
            fc.PlattScaling(classes=["a", "b"]).fit(scores, form(["a", None, *labels[2:]]))


def test_a_device_of_arrow():
    """As a library on an accelerator would hand it over."""

    class Elsewhere:
        def __arrow_c_device_array__(self, requested_schema=None, **options):
            schema, array = pa.array([1.0]).__arrow_c_device_array__()
            at = arrow._capsule_pointer(array, b"arrow_device_array") + arrow._DeviceArray.device_type.offset
            ctypes.c_int32.from_address(at).value = 2
            return schema, array

    with pytest.raises(TypeError, match=r"y_prob is on cuda:-?[0-9]+; copy it to the host first"):
        array_of("y_prob", Elsewhere())


def test_chunks_of_other_widths():
    values = pa.chunked_array([pa.array([[1.0]]), pa.array([[1.0, 2.0]])])
    with pytest.raises(fc.DataError, match=r"chunks have rows of shapes \(1,\) and \(2,\)"):
        array_of("y_prob", values)
    assert array_of("y_prob", chunked(np.arange(9.0), pa.array)).tolist() == list(range(9))
