"""Workers that go on with the next batch: nobody who asks sees that they do, nor that a batch raised."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import base, order, rows, spiegelhalter

N, STEP, DTYPES = (400, 37, ("f4", "f8", "f4", "f2", "f4")) if JIT else (10, 30, ("f4", "f8", "f4"))


def batches(n_classes=3, seed=0):
    """Batches of the same classes: other dtypes, lengths and layouts, with weights and without."""
    rng = np.random.default_rng(seed)
    found = []
    for number, dtype in enumerate(DTYPES):
        n = N + number * STEP
        logits = (rng.standard_normal((n, n_classes)) * 3).astype(dtype)
        weights = rng.integers(0, 3, n) if number in (1, 2) else None
        found.append((rng.integers(0, n_classes, n), logits[:, ::-1] if number == 0 else logits, weights))
    return found


def seen(given, **options):
    state = fc.Evaluation(from_logits=True, **options)
    for y, z, w in given:
        state.update(y, z, sample_weight=w)
    return state


@pytest.fixture
def many_chunks(monkeypatch):
    """Chunks of a block, on as many threads as are asked for."""
    monkeypatch.setattr(rows, "CHUNK_BYTES", 1)
    monkeypatch.setattr(rows, "MAX_CHUNK", 64)
    monkeypatch.setattr(engine, "SMALL", 0)


@pytest.mark.parametrize("n_threads", [1, 3] if JIT else [2])
@pytest.mark.parametrize("n_cells", [None, 40] if JIT else [40])
def test_batches_in_one_go_and_each_by_itself_have_the_same_bytes(n_threads, n_cells, many_chunks, monkeypatch):
    if n_cells:  # confidences are counted in cells from the first batch on
        monkeypatch.setattr(order, "FIRST_ROWS", 32)
        monkeypatch.setattr(order, "MOST_ROWS", 32)
        monkeypatch.setattr(order, "MOST_DENSE", 64)
        monkeypatch.setattr(order, "check_cells", lambda _: 40)
    given = batches()
    alone = sum(seen([batch]) for batch in given)
    together = seen(given, n_threads=n_threads)
    assert len(together._open) == min(n_threads, -(-len(given[-1][0]) // 64))
    assert together.to_bytes() == alone.to_bytes()
    assert not together._open


def test_asking_in_between_changes_nothing():
    given = batches()
    asked = fc.Evaluation(from_logits=True)
    for y, z, w in given:
        before = asked.n_nan
        assert asked._row_counts()["n"] == asked.update(y, z, sample_weight=w)._row_counts()["n"] - len(y) + before
        asked.compute()
    assert asked.to_bytes() == seen(given).to_bytes()


def test_workers_are_collected_before_their_words_are_full(monkeypatch):
    given = batches()
    whole = seen(given).to_bytes()
    monkeypatch.setattr(base, "MOST_OPEN", N)
    often = seen(given)
    assert often._n_open == len(given[-1][0])
    assert often.to_bytes() == whole


@pytest.mark.parametrize("n_threads", [1, 3] if JIT else [2])
def test_a_batch_that_raises_leaves_no_trace(n_threads, many_chunks):
    given = batches()
    whole = seen(given).to_bytes()
    state = seen(given[:3], n_threads=n_threads)
    y, z, _ = given[2]
    z = z.copy()
    z[-1, 1] = np.nan
    with pytest.raises(fc.DataError, match=rf"y_prob\[{len(y) - 1}, 1\] is nan"):
        state.update(y, z)
    for y, z, w in given[3:]:
        state.update(y, z, sample_weight=w)
    assert state.to_bytes() == whole


def test_nor_does_one_that_is_interrupted(many_chunks, monkeypatch):
    given = batches()
    state = seen(given)
    add, calls = spiegelhalter.SpiegelhalterPart.add, []

    def interrupted(part, own, chunk):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(part, own, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(spiegelhalter.SpiegelhalterPart, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            state.update(*given[2][:2])
    assert state.to_bytes() == seen(given).to_bytes()


def test_slices_and_blocks_do_not_linger():
    y, z, _ = batches()[0]
    for options, more in (({"groups": True}, {"groups": y}), ({"bootstrap": 0}, {})):
        state = fc.Evaluation(from_logits=True, **options).update(y, z, **more)
        assert not state._open
        assert state.compute()["n"] == len(y)


def test_one_that_does_not_go_back_has_the_same_bytes_and_says_so_when_an_update_has_failed(many_chunks):
    given = batches()
    state = fc.Evaluation(from_logits=True)
    state.goes_back = False
    for y, z, _ in given[:2]:
        state.update(y, z)
    assert state.to_bytes() == seen([(y, z, None) for y, z, _ in given[:2]]).to_bytes()
    wrong = given[0][0].copy()
    wrong[-1] = 9
    state.update(*given[0][:2])
    with pytest.raises(fc.DataError):
        state.update(wrong, given[0][1])
    for use in (state.to_bytes, state.compute, lambda: state.update(*given[0][:2])):
        with pytest.raises(RuntimeError, match="failed half way"):
            use()
    assert state.reset().update(*given[0][:2]).to_bytes() == seen([(*given[0][:2], None)]).to_bytes()


@pytest.mark.parametrize(
    ("n_rows", "per_chunk", "expected"),
    [
        (52428, 13056, 13120),  # 4 chunks, not 5
        (16384, 13056, 8192),
        (14000, 13056, 14016),
        (100, 64, 64),
        (1000, 3, 3),
        (1 << 20, 1 << 16, 1 << 16),
        (1, 640, 64),
    ],
)
def test_chunks_of_a_batch_are_about_as_long_as_each_other(n_rows, per_chunk, expected):
    assert rows.evenly(n_rows, per_chunk) == expected
