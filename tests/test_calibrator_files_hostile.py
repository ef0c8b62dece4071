"""Bytes that are no calibrator: every one a one-line ValueError that names the file, none executed, none half-read."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from conftest import JIT
from fitted_calibrators import SCORES, File, all_saved

import fastcal as fc
from fastcal.calibrators.files import MAX_HEADER, _Problem, _read
from fastcal.calibrators.methods import CLASSES


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return all_saved(tmp_path_factory.mktemp("saved"))


def load(data, tmp_path):
    (tmp_path / "file").write_bytes(data)
    return fc.load_calibrator(tmp_path / "file")


def read(data):
    """As :func:`load`, of bytes at hand: many times as fast."""
    return _read(io.BytesIO(data), len(data))


def refused(data, tmp_path, message=None):
    with pytest.raises(ValueError, match=message) as caught:
        load(data, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'file'} is not a fastcal calibrator: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_every_changed_byte_is_noticed(saved, tmp_path):
    data = saved["TemperatureScaling", 3][1].read_bytes()
    for place in range(len(data)):
        for change in (1, 0x20, 0x80) if place % 8 == 0 else (1 + place % 255,):
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(_Problem):
                read(bytes(damaged))
    for cut in range(0, len(data), 7):
        refused(data[:cut], tmp_path)
    refused(data + b"\n", tmp_path, "bytes left over")


HEADERS = {
    "nothing": (b"", "no header"),
    "no newline": (b"{}", "no header"),
    "a pickle": (b"\x80\x04\x95pickle\n", "no header"),
    "a state": (fc.Evaluation().to_bytes(), "no header"),
    "deep": (b"[" * 60000 + b"\n", "no header"),
    "deeper": (b'{"a":' * 60000 + b"\n", "no header"),
    "endless": (b"{" + b" " * MAX_HEADER + b"}\n", "no header"),
    "not UTF-8": (b'{"format": "\xff"}\n', "no header"),
    "huge digits": (b'{"format": "fastcal-calibrator", "version": ' + b"1" * 5000 + b"}\n", "no header"),
    "huge version": (b'{"format": "fastcal-calibrator", "version": ' + b"1" * 400 + b"}\n", "written by a newer"),
    "no version": (b'{"format": "fastcal-calibrator"}\n', "its version is None"),
    "a true version": (b'{"format": "fastcal-calibrator", "version": true}\n', "its version is True"),
    "version 0": (b'{"format": "fastcal-calibrator", "version": 0}\n', "its version is 0"),
    "newer": (
        b'{"format": "fastcal-calibrator", "version": 2}\n',
        "written by a newer fastcal, as version 2; this one",
    ),
    "twice": (b'{"format": "fastcal-calibrator", "version": 1, "version": 1}\n', "damaged"),
    "a NaN": (b'{"format": "fastcal-calibrator", "version": 1, "x": NaN}\n', "damaged"),
    "an infinity": (b'{"format": "fastcal-calibrator", "version": 1, "x": 1e999}\n', "damaged"),
    "only that": (b'{"format": "fastcal-calibrator", "version": 1}\n', "damaged, its header is not as fastcal writes"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_none(name, tmp_path):
    data, message = HEADERS[name]
    refused(data, tmp_path, message)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        fc.load_calibrator(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        fc.load_calibrator(tmp_path)
    with pytest.raises(ValueError, match="no plain file"):
        fc.load_calibrator("/dev/zero")


# Changes of a HistogramBinning's file by someone who knows how its checksum is made.
SAME = np.array(["x", "x", "y"])
FORGED = {
    "another class": (lambda f: f.header.update({"class": "os.system"}), "of class 'os.system', which is none of ours"),
    "a class that is a list": (lambda f: f.header.update({"class": []}), r"of class \[\], which is none of ours"),
    "a parent class": (lambda f: f.header.update({"class": "Calibrator"}), "none of ours"),
    "another of ours": (lambda f: f.header.update({"class": "PlattScaling"}), "its parameters are not those"),
    "a parameter more": (lambda f: f.parameters.update(evil=1), "its parameters are not those of its class"),
    "threads": (lambda f: f.parameters.update(n_threads=10**6), "its parameters are not those of its class"),
    "a parameter less": (lambda f: f.parameters.pop("n_bins"), "its parameters are not those of its class"),
    "parameters as text": (
        lambda f: f.header.update(parameters="n_bins=3"),
        "its parameters are not those of its class",
    ),
    "no bins": (lambda f: f.parameters.update(n_bins=-1), "n_bins"),
    "bins of text": (lambda f: f.parameters.update(n_bins="15"), "n_bins"),
    "nested": (lambda f: f.parameters.update(n_bins=[[1]]), "n_bins is"),
    "a mapping": (lambda f: f.parameters.update(n_bins={"a": 1}), "n_bins is"),
    "no input": (lambda f: f.parameters.update(input="os"), "input is 'os'; expected"),
    "fitted more": (lambda f: f.fitted.update(predict=1), "its fitted attributes are not those of its class"),
    "fitted less": (lambda f: f.fitted.pop("n_rows_"), "its fitted attributes are not those of its class"),
    "an array more": (lambda f: f.arrays.update(evil=np.zeros(3)), "an array that is none of ours"),
    "an array less": (lambda f: f.arrays.pop("values_"), "its fitted attributes are not those of its class"),
    "twice": (lambda f: f.fitted.update(values_=1.0), "its fitted attributes are not those of its class"),
    "no rows": (lambda f: f.fitted.update(n_rows_=0), "n_rows_ are 3, 3 and 0"),
    "rows of text": (lambda f: f.fitted.update(n_rows_="100"), "n_rows_ are 3, 3 and '100'"),
    "half a class": (lambda f: f.fitted.update(n_classes_=2.5), "n_classes_"),
    "one class": (lambda f: f.fitted.update(n_classes_=1), "columns for 1 classes"),
    "more classes": (lambda f: f.fitted.update(n_classes_=4), "3 columns for 4 classes"),
    "more columns": (lambda f: f.fitted.update(n_classes_=2**40, n_features_in_=2**40), "classes_ are not 1099"),
    "two labels": (lambda f: f.arrays.update(classes_=np.array(["bird", "cat"])), "classes_ are not 3 labels"),
    "other labels": (lambda f: f.arrays.update(classes_=np.array(["bird", "cat", "cow"])), "classes_ are not those"),
    "numbers for labels": (lambda f: f.arrays.update(classes_=np.arange(3)), "file is not"),
    "the same labels": (
        lambda f: f.arrays.update(classes=SAME, classes_=SAME),
        "expected a list of different labels",
    ),
    "no code points": (
        lambda f: f.arrays.update(classes_=np.full(9, 0x110000, "<u4").view("<U3")),
        "'classes_' is no text",
    ),
    "half a character": (
        lambda f: f.arrays.update(classes_=np.full(9, 0xD800, "<u4").view("<U3")),
        "'classes_' is no text",
    ),
    "not finite": (lambda f: f.arrays["values_"].__setitem__(3, np.inf), "'values_' is not finite"),
    "no figures": (lambda f: f.fitted.update(figures_={}), "figures_ are not those before and after"),
    "figures as text": (lambda f: f.fitted.update(figures_="x"), "figures_ are not those before and after"),
    "other figures": (lambda f: f.fitted["figures_"].update(after={"n": 1}), "figures_ after are others than n, "),
    "a figure below 0": (lambda f: f.after.update(ece=-0.5), "figures_ has ece -0.5"),
    "a figure of text": (lambda f: f.after.update(ece="x"), "figures_ has ece 'x'"),
    "no row held out": (lambda f: f.after.update(n=0), "figures_ has n 0"),
    "objects": (lambda f: setattr(f, "entries", [["values_", "|O", [3]]]), "an array that is none of ours"),
    "a negative size": (lambda f: setattr(f, "entries", [["values_", "<f8", [-1]]]), "the shape of 'values_' is none"),
    "half a size": (lambda f: setattr(f, "entries", [["values_", "<f8", [1.5]]]), "the shape of 'values_' is none"),
    "an absurd size": (lambda f: setattr(f, "entries", [["values_", "<f8", [2**31 - 1] * 4]]), "truncated"),
    "none of a size": (
        lambda f: setattr(f, "entries", [["values_", "<f8", [0, *[2**31 - 1] * 3]]]),
        "the shape of 'values_' is none",
    ),
    "long text": (lambda f: setattr(f, "entries", [["values_", "<U99999", [1]]]), "an array that is none of ours"),
    "the same twice": (lambda f: setattr(f, "entries", [["values_", "<f8", [0]]] * 2), "two arrays of one name"),
    "no entries": (lambda f: setattr(f, "entries", {"a": 1}), "an array that is none of ours"),
    "an entry of two": (lambda f: setattr(f, "entries", [["values_", "<f8"]]), "an array that is none of ours"),
    "five dimensions": (
        lambda f: setattr(f, "entries", [["values_", "<f8", [0] * 5]]),
        "an array that is none of ours",
    ),
    "a key more": (lambda f: f.header.update(more=1), "its header is not as fastcal writes it"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_files(name, saved, tmp_path):
    change, message = FORGED[name]
    file = File.of(saved["HistogramBinning", 3][1].read_bytes())
    change(file)
    refused(file.data(), tmp_path, message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a fastcal calibrator: no plain file"):
        fc.load_calibrator(tmp_path / "pipe")


def test_a_header_that_is_spelled_otherwise(saved, tmp_path):
    line, _, payload = saved["TemperatureScaling", 3][1].read_bytes().partition(b"\n")
    header = json.loads(line)
    for other in (json.dumps(header, sort_keys=True, indent=0).replace("\n", " "), json.dumps(header) + " "):
        refused(other.encode() + b"\n" + payload, tmp_path, "its header is not as fastcal writes it|checksum")


EVIL = [
    np.zeros(0),
    np.zeros(1),
    np.zeros((2, 2)),
    np.array(["x"]),
    np.array([True]),
    "text",
    -1,
    2**62,
    1.5,
    -1e300,
    None,
    True,
]


def twisted(value):
    """Arrays of the same shape and type that hold what they should not."""
    if not isinstance(value, np.ndarray):
        return
    flat = value.reshape(-1)
    kind = value.dtype.kind
    bad = {"f": [np.nan, np.inf, -np.inf, -1e300, 1e300, -0.5], "i": [-1, 2**31, -(2**62), 10**6], "u": [250]}
    for one in bad.get(kind, []):
        for place in {0, len(flat) // 2, len(flat) - 1}:
            changed = flat.copy()
            if len(changed):
                changed[place] = one
                yield changed.reshape(value.shape)
    yield flat[:-1]
    yield np.concatenate([flat, flat[-1:]])
    yield flat[::-1].copy().reshape(value.shape)
    yield value.astype(np.float32 if kind in "iu" else np.int64 if np.isfinite(flat).all() else bool)


@pytest.mark.skipif(not JIT, reason="every class is fitted")
@pytest.mark.parametrize("name", CLASSES)
def test_whatever_a_stranger_wrote_nothing_is_read_beyond_its_arrays(name, saved):
    """Each fitted attribute is changed by one who knows the checksum: a ValueError, or still probabilities."""
    n_refused = 0
    for n_classes in (1, 3):
        calibrator, path = saved[name, n_classes]
        data = path.read_bytes()
        scores = SCORES if n_classes == 3 else SCORES[:, 1]
        for attribute in calibrator.fitted:
            for evil in (*EVIL, *twisted(getattr(calibrator, attribute))):
                file = File.of(data)
                file.fitted.pop(attribute, None)
                file.arrays.pop(attribute, None)
                (file.arrays if isinstance(evil, np.ndarray) else file.fitted)[attribute] = evil
                try:
                    loaded = read(file.data())
                except _Problem:
                    n_refused += 1
                    continue
                loaded.n_threads = 1
                found = loaded.predict_proba(scores)
                assert ((found >= 0) & (found <= 1)).all(), (attribute, evil)
                loaded.predict(scores)
    assert n_refused > 20
