"""tests/DEVIATIONS.md is what there is: ``python -m tests.deviations --write``."""

from __future__ import annotations

import deviations
import their_examples
from their_suites import FACES, LEFT_OUT, LIMITED_TO, NAMED


def test_the_list_is_current():
    assert deviations.page() == deviations.PAGE.read_text()


def test_all_of_it_is_there():
    page = deviations.page()
    for module, tests in LEFT_OUT.items():
        assert all(name in page and why in page for name, why in tests.items()), module
    assert set(LEFT_OUT) | set(LIMITED_TO) | set(NAMED) <= set(FACES)
    assert set(their_examples.WITHOUT_EXAMPLES) <= set(their_examples.FACES)
    assert len(deviations.behaviour()) >= 20
    assert all(len(row) == 3 and all(row) for row in deviations.behaviour())
    assert deviations.allowed()
