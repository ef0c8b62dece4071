"""Constants of the ordered room so small that a few rows go through many pieces, stretches and threads."""

from __future__ import annotations

import pytest

from fastcal import engine
from fastcal.ordered import columns, groups, interpolation, pieces, sequence


@pytest.fixture(params=["whole", "in pieces"], scope="module")
def cut_up(request):
    """Both ways: everything at once, and in pieces of 8 rows on up to 3 threads."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in pieces":
            patch.setattr(pieces, "PIECE_ROWS", 8)
            patch.setattr(pieces, "STRETCH", 5)
            patch.setattr(groups, "PART_ROWS", 4)
            patch.setattr(columns, "STRETCH", 7)
            patch.setattr(sequence, "STRETCH", 6)
            patch.setattr(interpolation, "CHUNK", 3)
            patch.setattr(engine, "SMALL", 0)
            patch.setenv("FASTCAL_NUM_THREADS", "3")
        yield request.param
