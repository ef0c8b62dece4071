"""Rows in blocks by a hash of their number: as even as chance, and the same wherever rows are worked on."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from few import LABELS, ROWS, N, P, W, Y
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from strategies import Rows, cuts, rows

import fastcal as fc
from fastcal import engine, kernels
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.blocks import BLOCKS
from fastcal.accumulators.serial import pack


def blocks_of(start, n, seed):
    out = np.empty(n, np.int64)
    kernels.grouped.blocks(np.uint64(start), np.uint64(seed), out)
    return out


SEEDS = [0, 1, 2**62, 2**63 - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_are_as_even_as_chance(seed):
    n = BLOCKS * (200 if JIT else 5)
    counts = np.bincount(blocks_of(0, n, seed), minlength=BLOCKS)
    assert len(counts) == BLOCKS
    statistic = ((counts - n / BLOCKS) ** 2 / (n / BLOCKS)).sum()
    low, high = chi2.ppf([0.0005, 0.9995], BLOCKS - 1)
    assert low < statistic < high


def test_blocks_of_neighbours_and_of_other_seeds_have_nothing_in_common():
    n = BLOCKS * (100 if JIT else 5)
    for left, right in (
        (blocks_of(0, n, 0)[:-1], blocks_of(0, n, 0)[1:]),
        (blocks_of(0, n, 0), blocks_of(0, n, 1)),
        (blocks_of(0, n, 7), blocks_of(2**40, n, 7)),
        (blocks_of(0, n, 7), blocks_of(n, n, 7)),
    ):
        same = int((left == right).sum())
        assert abs(same - len(left) / BLOCKS) < 4 * np.sqrt(len(left) / BLOCKS) + 1
        pairs = np.bincount((left >> 5) * 32 + (right >> 5), minlength=1024)
        statistic = ((pairs - len(left) / 1024) ** 2 / (len(left) / 1024)).sum()
        low, high = chi2.ppf([0.0005, 0.9995], 1023)
        assert low < statistic < high


def test_the_block_of_a_row_is_that_of_its_number_wherever_it_is_worked_on():
    whole = blocks_of(0, 50, 9)
    for start in (0, 1, 17, 49):
        np.testing.assert_array_equal(blocks_of(start, 50 - start, 9), whole[start:])
    assert ((whole >= 0) & (whole < BLOCKS)).all()
    np.testing.assert_array_equal(blocks_of(2**61, 5, 2**63 - 1), blocks_of(2**61 - 1, 6, 2**63 - 1)[1:])


def seen(data: Rows, index=slice(None), row=None, seed=4, **options):
    y, p, w = data.part(index)
    empty = fc.Evaluation(bootstrap=seed, from_logits=data.from_logits, classwise=False, **options)
    return empty.update(y, p, sample_weight=w, row=row)


def whole_weights(data: Rows) -> Rows:
    """Sums of integer weights have the same bits in any order."""
    if data.weights is None or data.weights.dtype.kind != "f":
        return data
    return Rows(data.labels, data.scores, np.arange(len(data)) % 4, data.from_logits)


@settings(max_examples=30 if JIT else 4)
@given(rows(max_rows=60), st.data())
def test_parts_with_the_numbers_of_their_rows_have_the_bytes_of_the_whole(drawn, data):
    drawn = whole_weights(drawn)
    first = data.draw(st.sampled_from([0, 1000, 2**61]))
    bounds = data.draw(cuts(len(drawn)))
    parts = [seen(drawn, slice(a, b), row=first + a) for a, b in pairwise(bounds)]
    order = data.draw(st.permutations(range(len(parts))))
    whole = seen(drawn, row=first).to_bytes()
    assert sum(parts[i] for i in order).to_bytes() == whole
    one_after_the_other = fc.Evaluation(bootstrap=4, from_logits=drawn.from_logits, classwise=False)
    for a, b in pairwise(bounds):
        y, p, w = drawn.part(slice(a, b))
        one_after_the_other.update(y, p, sample_weight=w, row=first + a)
    assert one_after_the_other.to_bytes() == whole


def test_rows_are_numbered_as_they_come():
    data = Rows(LABELS, ROWS, None, False)
    stream = fc.Evaluation(bootstrap=4, classwise=False)
    for a, b in pairwise([0, 10, 11, N]):
        stream.update(LABELS[a:b], ROWS[a:b])
    assert stream.to_bytes() == seen(data).to_bytes() == seen(data, row=0).to_bytes()
    assert seen(data, row=1).to_bytes() != seen(data).to_bytes()


def test_rows_that_are_left_out_keep_their_numbers():
    p = P.copy()
    p[3] = np.nan
    data, cut = Rows(Y, p, None, False), N // 2
    whole = seen(data, nan_policy="omit")
    stream = seen(data, slice(0, cut), nan_policy="omit").update(Y[cut:], p[cut:])
    assert stream.to_bytes() == whole.to_bytes()
    with_numbers = seen(data, slice(0, cut), row=0, nan_policy="omit") + seen(
        data, slice(cut, None), row=cut, nan_policy="omit"
    )
    assert with_numbers.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_and_chunks_do_not_show_in_blocks(monkeypatch, n_threads):
    data = Rows(LABELS, ROWS, None, False)
    whole = seen(data).to_bytes()
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 10)
    assert seen(data, n_threads=n_threads).to_bytes() == whole


def test_another_seed_has_other_blocks_and_does_not_merge():
    data = Rows(LABELS, ROWS, None, False)
    one, other = seen(data, seed=4), seen(data, seed=5)
    assert one.to_bytes() != other.to_bytes()
    assert one.compute()["bootstrap"] != other.compute()["bootstrap"]
    before = one.to_bytes()
    with pytest.raises(ValueError, match="bootstrap is 4 here and 5 there"):
        one.merge(other)
    assert one.to_bytes() == before


def test_states_of_blocks_come_back_as_they_went():
    whole = seen(Rows(LABELS, ROWS, W, False))
    for back in (fc.Evaluation.from_bytes(whole.to_bytes()), pickle.loads(pickle.dumps(whole))):
        assert back.to_bytes() == whole.to_bytes()
        assert back.compute()["bootstrap"] == whole.compute()["bootstrap"]
    empty = fc.Evaluation(bootstrap=4, classwise=False)
    assert (empty + whole).to_bytes() == (whole + empty).to_bytes() == whole.to_bytes()
    assert fc.Evaluation.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()


def test_intervals_of_blocks_hold_the_figures_and_other_parts_do_not_change():
    report = seen(Rows(LABELS, ROWS, None, False)).compute()
    plain = fc.Evaluation(classwise=False).update(LABELS, ROWS).compute()
    found = report["bootstrap"]
    for name in ("accuracy", "nll", "brier", "entropy", "confidence"):
        low, high = found[name]
        assert low < report[name] < high
        assert report[name] == plain[name]
    if JIT:
        for name in ("accuracy", "nll", "brier"):
            widths = [one[1] - one[0] for one in (found[name], getattr(plain["intervals"], name))]
            assert widths[0] == pytest.approx(widths[1], rel=0.25)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", 2**63])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match=r"seed is|bootstrap is"):
        fc.Evaluation(bootstrap=seed)


@pytest.mark.parametrize("row", [-1, 1.5, True, "1", 2**62])
def test_row_numbers_that_are_none(row):
    base = seen(Rows(Y, P, None, False))
    before = base.to_bytes()
    with pytest.raises(ValueError, match="row is"):
        base.update([0], [0.5], row=row)
    assert base.to_bytes() == before


def made_up(arrays=lambda found: found, **more):
    """Bytes of a state of blocks that was changed."""
    state = fc.Evaluation(bootstrap=4, classwise=False, n_bins=3).update(Y[:9], P[:9])
    settings = {**json.loads(state.to_bytes().partition(b"\n")[0])["settings"], **more}
    found = {f"{part}.{name}": a for part, own in state._states.items() for name, a in own.items() if a.dtype != object}
    return pack("Evaluation", settings, arrays(found))


def with_array(name, change):
    return {"arrays": lambda found: {**found, name: change(found[name])}}


HOSTILE = {
    "labels": {"headers": {"bootstrap": ["a", "b"]}},
    "all labels": {"headers": {"bootstrap": list(range(BLOCKS))}},
    "another seed's type": {"bootstrap": "4"},
    "fewer blocks": with_array("bootstrap.count", lambda a: a[:-1].copy()),
    "other rows": with_array("bootstrap.counts", lambda a: a + np.eye(BLOCKS, 3, dtype=np.int64)),
    "rows in other blocks": with_array("bootstrap.count", lambda a: np.roll(a, 1, axis=0)),
    "counts below 0": with_array("bootstrap.hits", lambda a: a - 1),
    "digits that are none": with_array("bootstrap.score_sum", lambda a: a - 1),
}


def test_a_state_of_blocks_that_was_not_changed_is_taken():
    assert fc.Evaluation.from_bytes(made_up()).compute()["n"] == 9


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_bytes_that_are_no_blocks(changes):
    with pytest.raises(ValueError, match=r"fastcal state|seed is|bootstrap is"):
        fc.Evaluation.from_bytes(made_up(**changes))
