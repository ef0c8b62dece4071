"""Bytes that are no state: every one a one-line ValueError, none executed, none half-read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc

STATE = fc.Evaluation().update([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], sample_weight=[1, 2, 0.5]).to_bytes()


def nothing(header):
    pass


def edited(change=nothing, payload=lambda data: data):
    line, _, data = STATE.partition(b"\n")
    header = json.loads(line)
    data = payload(data)
    header["sha256"] = hashlib.sha256(data).hexdigest()
    change(header)
    return json.dumps(header).encode() + b"\n" + data


def setting(**values):
    return lambda header: header["settings"].update(values)


def entry(index, value):
    return lambda header: header["arrays"].__setitem__(index, value)


def flipped(data):
    numbers = np.frombuffer(data, "<i8").copy()
    numbers[-1] = -5
    return numbers.tobytes()


def places():
    """Where each array of the state stands in its payload: name -> slice of numbers."""
    found, start = {}, 0
    for name, _, shape in json.loads(STATE.partition(b"\n")[0])["arrays"]:
        size = int(np.prod(shape))
        found[name] = slice(start, start + size)
        start += size
    return found


def changed(data, name, by, place=0):
    numbers = np.frombuffer(data, "<i8").copy()
    numbers[places()[name]][place] += by
    return numbers.tobytes()


def without(name):
    def drop(header):
        header["arrays"] = [entry for entry in header["arrays"] if entry[0] != name]

    return edited(drop, lambda data: np.delete(np.frombuffer(data, "<i8"), places()[name]).tobytes())


BAD = {
    "nothing": (b"", "no header"),
    "no newline": (b"{}", "no header"),
    "not JSON": (b"\x80\x04\x95pickle\n", "no header"),
    "deep JSON": (b"[" * 60000 + b"\n", "no header"),
    "a long header": (b"{" + b" " * (1 << 20) + b"}\n", "no header"),
    "another format": (edited(lambda h: h.update(format="other")), "no header"),
    "a later version": (edited(lambda h: h.update(version=99)), "version 99; this fastcal reads versions 1 to 2"),
    "another class": (edited(lambda h: h.update({"class": "X"})), "a state of 'X', not of Evaluation"),
    "a wrong checksum": (edited(lambda h: h.update(sha256="0")), "checksum"),
    "cut off": (STATE[:-9], "checksum"),
    "cut off, checksum mended": (edited(payload=lambda d: d[:-8]), "truncated"),
    "longer, checksum mended": (edited(payload=lambda d: d + b"12345678"), "left over"),
    "no settings": (edited(lambda h: h.pop("settings")), "no settings"),
    "an unknown setting": (edited(setting(evil=1)), "evil"),
    "a setting out of range": (edited(setting(n_bins=-3)), "n_bins is -3"),
    "a setting of another type": (edited(setting(n_bins="15; import os")), "n_bins"),
    "huge bins": (edited(setting(n_bins=2**60)), "n_bins"),
    "other bins": (edited(setting(n_bins=16)), "expected"),
    "columns as text": (edited(setting(columns="2")), "columns is '2'"),
    "an entry that is no array": (edited(entry(0, "x")), "none of ours"),
    "an array of objects": (edited(entry(0, ["rows.n", "|O", [1]])), "none of ours"),
    "a negative shape": (edited(entry(0, ["rows.n", "<i8", [-1]])), "none of ours"),
    "an absurd shape": (edited(entry(0, ["rows.n", "<i8", [2**31, 2**31]])), "truncated"),
    "another name": (edited(lambda h: h["arrays"][0].__setitem__(0, "reliability.evil")), "expected"),
    "more hits than rows": (edited(payload=lambda d: changed(d, "reliability.hits", 1000)), "contradict each other"),
    "rows that were not binned": (edited(payload=lambda d: changed(d, "rows.n", 1000)), "contradict each other"),
    "more rows than can be added to": (edited(payload=lambda d: changed(d, "rows.n", 2**62)), "does not hold"),
    "rows without columns": (edited(setting(columns=None)), "rows without columns"),
    "columns that are a bool": (edited(setting(columns=True)), "columns is True"),
    "columns without end": (edited(setting(columns=2**80)), "columns is 1208925819614629174706176"),
    "a number of threads": (edited(setting(n_threads=100_000)), "settings are not those of"),
    "a version that is a bool": (edited(lambda h: h.update(version=True)), "version True"),
    "half of the weighted arrays": (without("reliability.weighted_pair"), "weighted_pair has shape None"),
    "a sum without end": (edited(payload=lambda d: changed(d, "scores.nll_sum", 2**62, -1)), "does not hold"),
    "negative digits": (edited(payload=flipped), "does not hold what it should"),
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_state(name):
    data, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        fc.Evaluation.from_bytes(data)
    assert "\n" not in str(caught.value)


@given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_harmless(place, change):
    damaged = bytearray(STATE)
    damaged[place] ^= change
    try:
        back = fc.Evaluation.from_bytes(bytes(damaged))
    except ValueError:
        return
    assert back.compute()["n"] == 3  # the header's own spelling of a setting, say


@pytest.mark.parametrize("name", ["evaluation-v1", "evaluation-weighted-v1", "evaluation-v2", "evaluation-weighted-v2"])
def test_a_state_written_by_an_old_version_is_read_for_ever(name):
    """The files stay as they were written; a new format gets a new version, new files, and a reader for both."""
    data = (Path(__file__).parent / "states" / f"{name}.bin").read_bytes()
    report = fc.Evaluation.from_bytes(data).compute()
    expected = json.loads((Path(__file__).parent / "states" / f"{name}.json").read_text())
    for figure, value in expected.items():
        same = value if not isinstance(value, float) else pytest.approx(value, rel=1e-14)
        assert report[figure] == same, figure
    again = fc.Evaluation.from_bytes(data).to_bytes()
    assert again == data if name.endswith("v2") else fc.Evaluation.from_bytes(again).to_bytes() == again
