"""Files of calibrators: the same bits back, for ever; anything else a ValueError in one line that names the file.

``python tests/test_calibrator_files.py`` writes the fixtures in tests/calibrators: a file of each class, and beside it
what it predicts. That is done once a version. They stay as they were written: a new version of the format gets new
ones, and a reader for both.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fitted_calibrators import SCORES, File, all_saved, fitted, rows
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.calibrators.base import Calibrator
from fastcal.calibrators.files import MAX_HEADER, packed
from fastcal.calibrators.methods import METHODS

FIXTURES = Path(__file__).parent / "calibrators"
MADE = fitted("TemperatureScaling")  # whose numbers a test changes


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return all_saved(tmp_path_factory.mktemp("saved"))


def same(one, other):
    assert type(one) is type(other)
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        if name not in ("n_threads", "classes"):
            if isinstance(value, np.ndarray):
                assert value.dtype == vars(other)[name].dtype, name
            np.testing.assert_array_equal(np.asarray(value), np.asarray(vars(other)[name]), err_msg=name)


def test_loaded_ones_predict_the_same_bits_and_are_saved_as_the_same_bytes(saved, tmp_path):
    for (name, n_classes), (calibrator, path) in saved.items():
        again = fc.load_calibrator(path)
        same(calibrator, again)
        scores = SCORES if n_classes == 3 else SCORES[:, 1] if n_classes == 1 else rows(2)[0]
        for dtype in (np.float32, np.float64):
            ours, theirs = (one.predict_proba(scores.astype(dtype)) for one in (again, calibrator))
            assert ours.tobytes() == theirs.tobytes(), name
        np.testing.assert_array_equal(again.predict(scores), calibrator.predict(scores))
        again.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == path.read_bytes(), name
        assert (
            pickle.loads(pickle.dumps(again)).predict_proba(scores).tobytes() == again.predict_proba(scores).tobytes()
        )


def test_what_a_file_says_of_the_fit(saved):
    for (name, n_classes), (calibrator, path) in saved.items():
        header = json.loads(path.read_bytes().partition(b"\n")[0])
        assert (header["format"], header["version"], header["class"]) == ("fastcal-calibrator", 1, name)
        assert (header["fitted"]["n_rows_"], header["fitted"]["n_classes_"]) == (100, max(n_classes, 2))
        assert header["fitted"]["figures_"]["before"]["n"] == 20
        after = header["fitted"]["figures_"]["after"]
        assert float(after["nll"]) == calibrator.figures_["after"]["nll"]
        assert "n_threads" not in header["parameters"]
        assert header["fastcal"] == fc.__version__


def test_the_number_of_threads_is_nobody_elses(tmp_path):
    fitted("TemperatureScaling", n_threads=1).save(tmp_path / "one")
    fitted("TemperatureScaling").save(tmp_path / "all")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "all").read_bytes()
    assert fc.load_calibrator(str(tmp_path / "one")).n_threads is None


@pytest.mark.parametrize(
    "classes",
    [
        [3, 1, 2],
        np.array([0.5, 1.5, 2.5]),
        ("b", "a", "ü"),
        np.array([b"x", b"y", b"z"]),
        np.array(["b", "a", "c"], object),
    ],
)
def test_labels_of_any_kind(classes, tmp_path):
    scores, y = rows()
    calibrator = fc.TemperatureScaling(input="probs", classes=classes).fit(scores, np.asarray(classes)[y])
    calibrator.save(tmp_path / "file")
    again = fc.load_calibrator(tmp_path / "file")
    same(calibrator, again)
    assert again.figures_ is None
    assert again.predict(scores).tolist() == np.asarray(classes)[scores.argmax(axis=1)].tolist()
    again.fit(scores, np.asarray(classes)[y])
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


@given(st.floats(1e-3, 1e3), st.floats(0, 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_the_same_bits(temperature, gradient, nll):
    made = MADE
    made.temperature_, made.gradient_norm_, made.figures_["after"]["nll"] = temperature, gradient, abs(nll)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        made.save(path)
        again = fc.load_calibrator(path)
    assert (again.temperature_, again.gradient_norm_) == (temperature, gradient)
    assert again.figures_["after"]["nll"] == abs(nll)


def test_parameters_that_are_arrays_and_many_labels(tmp_path):
    scores, y = rows()
    edges = np.linspace(0, 1, 6)
    for binning in (edges, edges.tolist(), np.linspace(0, 1, 101)):
        calibrator = fc.HistogramBinning(binning=binning).fit(scores, y)
        calibrator.save(tmp_path / "file")
        again = fc.load_calibrator(tmp_path / "file")
        same(calibrator, again)
        assert again.predict_proba(SCORES).tobytes() == calibrator.predict_proba(SCORES).tobytes()
    many = [f"label {k}" for k in range(100)]
    scores, y = rows(100, 200)
    fc.TemperatureScaling(input="probs", classes=many).fit(scores, np.array(many)[y]).save(tmp_path / "file")
    assert fc.load_calibrator(tmp_path / "file").classes_.tolist() == many


def test_figures_that_are_no_numbers(tmp_path):
    scores, y = rows()
    never = np.eye(3)[(y[:5] + 1) % 3]
    calibrator = fc.HistogramBinning().fit(scores, y, held_out=(never, y[:5]))
    assert calibrator.figures_["before"]["nll"] == np.inf
    calibrator.figures_["after"]["classwise_ece"] = np.nan  # as of too many classes
    calibrator.save(tmp_path / "file")
    assert b'"nll": "Infinity"' in (tmp_path / "file").read_bytes()
    again = fc.load_calibrator(tmp_path / "file").figures_
    assert again["before"]["nll"] == np.inf
    assert np.isnan(again["after"]["classwise_ece"])


# --- writing ----------------------------------------------------------------------------------------------------------


def full(_):
    raise OSError(28, "No space left on device")


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    calibrator = fitted("TemperatureScaling")
    path = tmp_path / "calibrator.json"
    path.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"calibrator\.json cannot be written: No space left on device"):
            calibrator.save(path)
    assert path.read_bytes() == b"before"
    calibrator.save(path)
    assert fc.load_calibrator(path).temperature_ == calibrator.temperature_
    with pytest.raises(OSError, match="cannot be written: it is a folder"):
        calibrator.save(tmp_path)
    with pytest.raises(OSError, match="cannot be written: No such file or directory"):
        calibrator.save(tmp_path / "none" / "file")
    assert [one.name for one in tmp_path.iterdir()] == ["calibrator.json"]
    link = tmp_path / "link"
    link.symlink_to(path)
    calibrator.save(link)
    assert link.is_symlink()


def test_what_no_file_holds(tmp_path):
    class Own(fc.TemperatureScaling):
        pass

    scores, y = rows()
    with pytest.raises(ValueError, match="is not fitted yet"):
        fc.TemperatureScaling().save(tmp_path / "file")
    with pytest.raises(ValueError, match="Own is none of fastcal's own calibrators"):
        Own(input="probs").fit(scores, y).save(tmp_path / "file")
    calibrator = fitted("TemperatureScaling")
    for value in (np.nan, np.inf, 1j, {}, np.zeros(2, complex), np.zeros((1,) * 5), np.array([np.nan]), [object()]):
        calibrator.nll_ = value
        with pytest.raises(ValueError, match=r"nll_ is .*, which no file holds"):
            calibrator.save(tmp_path / "file")
    calibrator.nll_ = "x" * MAX_HEADER
    with pytest.raises(ValueError, match="which no reader takes"):
        calibrator.save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_what_no_reader_takes_is_not_written(tmp_path):
    scores, y = rows()
    for changed in ({"classes": ["a", "b", "c"]}, {"bounds": (2, 1)}):
        calibrator = fc.TemperatureScaling(input="probs").fit(scores, y).set_params(**changed)
        with pytest.raises(ValueError, match="this TemperatureScaling cannot be saved, for no reader takes it: "):
            calibrator.save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_threads_that_write_the_same_file(tmp_path):
    made = [fitted("TemperatureScaling", n_classes) for n_classes in (2, 3)] * 2

    def save_and_load(one):
        for _ in range(10):
            one.save(tmp_path / "file")
            fc.load_calibrator(tmp_path / "file")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save_and_load, made))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- fixtures ---------------------------------------------------------------------------------------------------------


def expectation(calibrator):
    """What a fixture's calibrator says of its own rows: numbers that JSON holds exactly."""
    return {"predict_proba": calibrator.predict_proba(SCORES).tolist(), "predict": calibrator.predict(SCORES).tolist()}


@pytest.mark.parametrize("method", METHODS)
def test_a_file_written_by_version_1_is_read_for_ever(method, tmp_path):
    path = FIXTURES / f"{method}-v1.json"
    calibrator = fc.load_calibrator(path)
    assert type(calibrator).__name__ == METHODS[method]
    assert isinstance(calibrator, Calibrator)
    expected = json.loads((FIXTURES / f"{method}-v1.expected.json").read_text())
    assert calibrator.predict(SCORES).tolist() == expected["predict"]
    np.testing.assert_allclose(calibrator.predict_proba(SCORES), expected["predict_proba"], rtol=1e-13, atol=1e-15)
    assert calibrator.n_rows_ == 100
    assert calibrator.figures_["after"]["n"] == 20
    file = File.of(path.read_bytes())
    assert file.data() == path.read_bytes()
    if file.header["fastcal"] == fc.__version__:
        assert packed(calibrator) == path.read_bytes()


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    warnings.simplefilter("ignore", fc.FitWarning)
    for short, long in METHODS.items():
        one = fitted(long)
        one.save(FIXTURES / f"{short}-v1.json")
        (FIXTURES / f"{short}-v1.expected.json").write_text(json.dumps(expectation(one)) + "\n")
