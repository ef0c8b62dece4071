"""Tables, pages and plots of the benchmarks say what the recorded run says, and leave out nothing that was asked."""

import importlib
from dataclasses import replace

import pytest

from bench import asked, pages, plots
from bench.record import Growth, Pair, Run, Whole

ROOFS = {"read": 32e9, "copy": 28e9, "sort": 2e8}
MACHINE = {"processor": "a processor", "cores": 2, "threads": 2, "memory": 24 << 30, "system": "Linux"}
VERSIONS = {"Python": "3.11.7", "fastcal": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0", "scikit-learn": "1.9.1"}

FAST = Pair(
    "courses", "softmax", "50 x 10 float32", "torch", 1e-3, 3e-3, 2.5, 3.5, 9, 14_000_000, None, "copy", 1, 2, 2, 0.4
)
SLOW = replace(FAST, work="entropy", peer="np.sort", theirs=1.5e-3, memory=None, roof="", n_bytes=None, share_aim=None)
LARGE = Whole("memory", "of a report", 40.0, "MB", at_most=32)
ISSUE = asked.Asked(3, "Rows", (FAST.key, "courses: entropy, *", LARGE.key))
SHORT = asked.Short(("courses: entropy",), "the adder is at its bound", ("one idea", "another"), "entropy")
GROWN = Growth("softmax", "N", [100, 1000], [1e-5, 1e-4], [0, 8_000_000], 1.0, 1.0, 1.0)
RUN = Run("full", "2026-01-02", "abc", MACHINE, VERSIONS, ROOFS, [FAST, SLOW], [LARGE], [GROWN], ["relplot"], 60.0)


@pytest.fixture(scope="module")
def recorded():
    return Run.load(pages.FULL)


# --- the recorded run -------------------------------------------------------------------------------------------------


def test_pages_are_those_of_the_recorded_run(recorded):
    """``python -m bench.pages`` writes what is stale."""
    assert pages.stale(recorded) == []


def test_the_recorded_run_is_a_full_one_with_all_peers(recorded):
    assert recorded.mode == "full"
    assert recorded.missing == []


def test_all_that_was_asked_for_is_measured_and_has_an_aim(recorded):
    figures = pages.by_key(recorded)
    for issue in asked.read_asked():
        assert issue.absent(figures) == []
        without = [one.key for one in issue.found(figures) if not _has_an_aim(one)]
        assert without == []


def _has_an_aim(one):
    aims = (one.aim, one.share_aim) if isinstance(one, Pair) else (one.at_most, one.at_least)
    return any(aim is not None for aim in aims)


def test_what_is_short_is_explained(recorded):
    figures, shorts = pages.by_key(recorded), asked.read_short()
    for issue in asked.read_asked():
        for one in issue.found(figures):
            if pages.missed(one, recorded):
                assert any(short.explains(one.key) for short in shorts), one.key


def test_nothing_grows_faster_than_it_may_without_a_reason(recorded):
    shorts = asked.read_short()
    faster = [one.key for one in recorded.growth if not one.holds]
    assert [key for key in faster if not any(short.explains(key) for short in shorts)] == []
    assert {one.against for one in recorded.growth} == {"N", "K"}


def test_the_plots_have_their_lines(recorded):
    speeds = plots.speeds(recorded)
    assert set(speeds["rows"]) == set(plots.AGAINST_ROWS)
    assert set(speeds["classes"]) == set(plots.AGAINST_CLASSES)
    assert all(one["peers"] for one in speeds["rows"].values() if one is not speeds["rows"]["Evaluation"])


def test_what_was_asked_for_stands_among_the_trials():
    """Before any run: a trial that is renamed or dropped cannot leave the table unnoticed."""
    modules = {"comparisons": ("table",), "calls": ("small_calls",)}
    kinds = ("calibrators_temperature", "calibrators_linear", "calibrators_binned", "calibrators_binary")
    modules |= {"calibrators": kinds}
    for issue in asked.read_asked():
        for pattern in (key for key in issue.keys if " / " in key):
            name = pattern.split(":")[0]
            trials = [
                trial
                for module in modules.get(name, (name,))
                for trial in importlib.import_module(f"bench.{module}").TRIALS
            ]
            keys = [f"{name}: {trial.work}, {trial.words} / {peer}" for trial in trials for peer in trial.aims]
            assert asked.matching(pattern, keys), pattern


# --- how a run is rendered --------------------------------------------------------------------------------------------


def test_a_table_of_what_was_asked_for():
    found = "\n".join(pages.asked(RUN, [ISSUE], [SHORT]))
    assert found.startswith("1 of 3 figures")
    assert "**Rows** (issue 3)" in found
    met = "| torch 2.13.0 | 2x, 40% of copy | 3x (2.5 to 3.5) | 50% of copy | 0 / 0 MB | met |"
    assert f"| softmax | 50 x 10 float32 {met}" in found
    link = "**[short](bench/results/RESULTS.md#short-1)**"
    assert f"| np.sort (numpy 2.4.6) | 2x | 1.5x (2.5 to 3.5) |  |  | {link} |" in found
    assert "| of a report | | | at most 32 MB | 40 MB | | | **short** |" in found


def test_what_was_not_measured_is_said():
    found = pages.asked(RUN, [replace(ISSUE, keys=("order: a work, *",))], [])
    assert found[0].startswith("0 of 1 figures")
    assert "| order: a work, * | | | | not measured in this run | | | |" in found


def test_the_page_says_what_is_short_and_why():
    found = "\n".join(pages.results(RUN, [ISSUE], [SHORT]))
    assert '<a id="short-1"></a>' in found
    assert "- courses: entropy, 50 x 10 float32 / np.sort: 1.50x of 2x" in found
    assert "Profile: the adder is at its bound" in found
    assert "- another" in found
    assert f"not explained:\n\n- {LARGE.key}\n" in found
    assert "| softmax | N | 100 | 1,000 | 10.00 us, 0.10 ms | 1.00 | 1.00 | 8 MB | 1.00 | 1 | holds |" in found
    assert "not installed, and not measured: relplot" in found


def test_growth_beyond_its_bound_is_said():
    grown = replace(GROWN, exponent=2.0)
    assert "**grows faster**" in "\n".join(pages.growth_table([grown]))
    found = "\n".join(pages.short_ones(replace(RUN, growth=[grown]), []))
    assert "- growth: softmax against N" in found
    assert not grown.holds
    assert not replace(GROWN, memory_exponent=1.0, memory_at_most=0.0).holds


def test_a_section_is_replaced_and_the_rest_is_left():
    text = "before\n<!-- bench: asked -->\nold\n<!-- bench: end of asked -->\nafter\n"
    found = pages.replaced(text, "asked", ["new", "lines"])
    assert found == "before\n<!-- bench: asked -->\nnew\nlines\n<!-- bench: end of asked -->\nafter\n"
    with pytest.raises(ValueError, match="no section 'versions'"):
        pages.replaced(text, "versions", [])


def test_other_figures_make_pages_and_plots_stale(recorded):
    changed = replace(recorded.pairs[0], ours=recorded.pairs[0].ours * 1.5)
    other = replace(recorded, pairs=[changed, *recorded.pairs[1:]], roofs={**recorded.roofs, "read": 1e9})
    assert pages.stale(other) == [pages.README.name, pages.PAGE.name, "roofline.svg"]


def test_a_profile_and_two_ideas_are_demanded(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text('[[short]]\nkeys = ["a"]\nprofile = "p"\ntried = ["one"]\n')
    with pytest.raises(ValueError, match="two ideas"):
        asked.read_short(path)


def test_a_peer_in_a_plot_is_beside_ours_on_the_same_input():
    pairs = [replace(FAST, given="50 x 10 float32", ours=ours, theirs=theirs) for ours, theirs in ((1, 5), (2, 4))]
    pairs.append(replace(FAST, given="50 x 10 float32", peer="itself, float32 rows", theirs=0.1))
    assert plots.fastest_peers(pairs, FAST.work, against="N") == [(50, 12.5, 25)]
    assert plots.fastest_peers(pairs, FAST.work, against="K") == [(10, 125, 250)]


def test_brackets_in_a_pattern_are_themselves():
    assert asked.matching("a [x], *", ["a [x], b", "a x, b"]) == ["a [x], b"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("50,000 x 1,000 float32", (50_000, 1000)),
        ("20,000,000 float32 uniform, int64 labels", (20_000_000, 1)),
        ("1,000,000 x 10 float32 logits, slices of 100", (1_000_000, 10)),
        ("500,000 rows, 10 members, 10 classes, float32 logits", (500_000, 10)),
        ("50,000 x 1,000 bfloat16", (50_000, 1000)),
    ],
)
def test_rows_and_classes_of_an_input_in_words(given, expected):
    assert plots.shape(given) == expected


def test_a_plot_says_what_it_is_drawn_of(tmp_path):
    for plot in plots.PLOTS:
        first, second = tmp_path / plot.name, tmp_path / f"again-{plot.name}"
        plots.draw(plot, RUN, first)
        plots.draw(plot, RUN, second)
        assert first.read_bytes() == second.read_bytes()
        assert plots.drawn_of(first) == plots.digest(plot.data(RUN))
    assert plots.drawn_of(tmp_path / "none.svg") is None
