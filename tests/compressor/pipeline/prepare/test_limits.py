"""What can be asked of a compression, and the sentences on what cannot be."""

import math
from types import SimpleNamespace

import pytest

from compressor.costs import CandidateCost, Configuration, Costs, narrowest
from compressor.graph import RemovableBlock
from compressor.pipeline.prepare.limits import (
    Limits,
    budget_notes,
    check_goal,
    in_words,
    least_configuration,
    missed,
    over_in_words,
    shown_ms,
)
from compressor.search import Goal, Trial
from compressor.testing.workbench import WIDTHS, CoarseTimes, SmoothTimes, StaircaseTimes
from profiler.errors import BudgetError, UsageError

TIMES = StaircaseTimes()
FULL = Configuration(WIDTHS)
WHOLE = TIMES(FULL)
ORIGINAL = Trial(FULL, Costs(WHOLE, 40_000, 8_000), 0.95, 0.1)

BLOCKS = {"outer": ("a", "b"), "inner": ("b",), "other": ("c",)}


class Weights(CandidateCost):
    """A file of 100 bytes for each channel."""

    cheap = True

    def exact(self, configuration):
        return 100.0 * sum(configuration.widths.values())


def prepared(times=TIMES, original=ORIGINAL):
    costs = {"time": times, "size": Weights(), "memory": Weights(), "energy": Weights()}
    return SimpleNamespace(name="net.keras", original=original, times=TIMES, single_costs=lambda goal: costs)


def test_the_goal_follows_from_what_is_asked_and_what_the_network_is():
    goal = Limits(budget_ms=1.0, max_accuracy_drop=2.0, max_size_kb=3.0, max_memory_kb=4.0).goal(ORIGINAL)
    assert goal.least_score == pytest.approx(0.93)
    assert goal.limits == {"time": 1.0, "size": 3000.0, "memory": 4000.0}
    assert goal.objective == "time"
    assert Limits(max_accuracy_drop=0.0, minimize="memory").goal(ORIGINAL).objective == "memory"
    assert Limits(max_size_kb=1.0).goal(ORIGINAL).objective == "score"


def test_folders_are_told_apart_by_what_was_asked_for():
    assert Limits(budget_ms=1.0).asked() == {"budget_ms": 1.0}
    assert Limits(max_accuracy_drop=1.0, max_size_kb=2.0, minimize="size").asked() == {
        "max_accuracy_drop": 1.0, "max_size_kb": 2.0, "minimize": "size",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(), "Give what the network may take"),
        (Limits(budget_ms=math.inf), "--budget-ms must be above 0, not inf"),
        (Limits(max_energy_mj=0.0), "--max-energy-mj must be above 0, not 0"),
        (Limits(max_accuracy_drop=101.0), "--max-accuracy-drop is 0 to 100 points, not 101"),
        (Limits(max_accuracy_drop=math.nan), "--max-accuracy-drop is 0 to 100 points, not nan"),
        (Limits(budget_ms=1.0, minimize="time"), "--minimize time needs an accuracy to keep"),
    ],
)
def test_what_makes_no_sense(limits, words):
    with pytest.raises(UsageError, match=words):
        limits.check()


def test_a_network_within_all_limits_is_told_so():
    with pytest.raises(
        UsageError, match=r"already \(predicted\), within the limits of .* ms and 50 kB: give a smaller"
    ):
        check_goal(prepared(), Goal(budget_ms=2 * WHOLE, most_bytes=50_000))
    check_goal(prepared(), Goal(budget_ms=2 * WHOLE, most_bytes=20_000))
    # Where something is made small there is always something to do.
    check_goal(prepared(), Goal(budget_ms=2 * WHOLE, least_score=0.9))


def test_what_cannot_be_reached_is_told_with_what_can():
    least = TIMES(least_configuration(TIMES, FULL))
    assert least <= TIMES(narrowest(FULL))
    check_goal(prepared(), Goal(budget_ms=1.001 * least))
    with pytest.raises(BudgetError, match=rf"the fastest takes {least:.4g} ms \(predicted, 25% over\)"):
        check_goal(prepared(), Goal(budget_ms=0.8 * least))
    with pytest.raises(
        BudgetError, match=r"within 0.1 kB can .*the smallest takes 0.3 kB \(predicted, 3 times that\)"
    ):
        check_goal(prepared(), Goal(most_bytes=100, least_score=0.5))


def test_what_is_too_dear_to_know_beforehand_is_left_to_the_search():
    assert least_configuration(CoarseTimes(), FULL) is None
    check_goal(prepared(CoarseTimes()), Goal(budget_ms=1e-9))


def test_amounts_in_words():
    assert in_words("time", 0.5) == "0.5 ms"
    assert in_words("size", 12_345) == "12.35 kB"
    assert in_words("memory", 1000) == "1 kB of memory"
    assert in_words("energy", 0.25) == "0.25 mJ"
    assert over_in_words(1.12, 1.0) == "12% over"
    assert over_in_words(3000, 1000) == "3 times that"


def test_what_was_missed_and_by_how_much():
    near = Trial(Configuration({"a": 1}), Costs(0.6, 3000), 0.9, 0.1)
    text = missed(Goal(budget_ms=0.5, most_bytes=2000), near, ORIGINAL, 0.9, "90.0% accuracy")
    assert "No network within 0.5 ms and 2 kB was found" in text
    assert "0.6 ms (predicted, 20% over) and 3 kB (predicted, 50% over)" in text
    assert text.endswith("has 90.0% accuracy")
    text = missed(Goal(least_score=0.94), near, ORIGINAL, 0.9, "")
    assert text.startswith("No faster network within 1 points was found: the nearest loses 5.00 points")
    text = missed(Goal(least_score=0.94, most_bytes=2000, minimize="size"), near, ORIGINAL, 0.9, "x")
    assert "3 kB (predicted, 50% over), loses 5.00 points on validation rows" in text


def steered(predicted_ms, steered_ms, size_bytes=3000):
    return Trial(Configuration({"a": 1}), Costs(predicted_ms, size_bytes, steered_ms=steered_ms), 0.9, 0.1)


def test_measured_times_are_compared_and_called_measured():
    original = steered(1.0, 2.0)
    case = prepared(CoarseTimes(), original)
    check_goal(case, Goal(budget_ms=1.5), "measured")  # predicted to be within it, and measured above it
    with pytest.raises(
        UsageError, match=r"takes 2 ms already \(measured\), within the budget of 2.5 ms: give a smaller"
    ):
        check_goal(case, Goal(budget_ms=2.5), "measured")
    with pytest.raises(
        UsageError,
        match=r"takes 2 ms \(measured\) and 3 kB \(predicted\) already, within the limits of 2.5 ms and",
    ):
        check_goal(case, Goal(budget_ms=2.5, most_bytes=4000), "measured")
    near = steered(0.4, 0.6)
    text = missed(Goal(budget_ms=0.5, most_bytes=2000), near, original, 0.9, "90.0% accuracy", "measured")
    assert "takes 0.6 ms (measured, 20% over) and 3 kB (predicted, 50% over) and has" in text
    text = missed(Goal(least_score=0.94), near, original, 0.9, "x", "measured")
    assert "at 0.6 ms (measured)" in text
    assert "predicted" not in text
    assert shown_ms(near, "measured") == 0.6


def test_multiplications_that_stand_for_time_are_compared_and_never_taken_for_it():
    flops = SmoothTimes()
    least = flops(least_configuration(flops, FULL))
    check_goal(prepared(flops), Goal(budget_ms=1.001 * least), "flops")
    predicted = TIMES(narrowest(FULL))
    assert predicted > least
    with pytest.raises(
        BudgetError,
        match=rf"the one of fewest multiplications takes {least:.4g} ms \(by its multiplications, 25% over; "
        rf"predicted {predicted:.4g} ms\)",
    ):
        check_goal(prepared(flops), Goal(budget_ms=0.8 * least), "flops")
    near = steered(0.7, 0.6)
    text = missed(Goal(budget_ms=0.5), near, ORIGINAL, 0.9, "x", "flops")
    assert "takes 0.6 ms (by its multiplications, 20% over; predicted 0.7 ms) and has x" in text
    text = missed(Goal(least_score=0.94), near, ORIGINAL, 0.9, "x", "flops")
    assert "at 0.7 ms (predicted)" in text
    assert shown_ms(near, "flops") == 0.7


def test_a_budget_that_only_multiplications_keep_is_told():
    goal = Goal(budget_ms=0.65)
    (note,) = budget_notes(goal, steered(0.7, 0.6), "flops")
    assert "budget of 0.65 ms was compared with multiplications" in note
    assert note.endswith("predicted to take 0.7 ms, 8% over.")
    assert budget_notes(goal, steered(0.6, 0.6), "flops") == ()
    assert budget_notes(goal, steered(0.7, 0.68), "flops") == ()  # missed: that is an error of its own
    assert budget_notes(goal, steered(0.7, 0.6), "measured") == ()
    assert budget_notes(Goal(least_score=0.9), steered(0.7, 0.6), "flops") == ()


class Halves(StaircaseTimes):
    """Each block takes half of what is left."""

    def exact(self, configuration):
        return super().exact(configuration) / 2 ** len(configuration.removed)


def test_where_blocks_may_go_the_network_without_them_is_looked_at_before_a_goal_is_refused():
    times, given = Halves(), prepared(Halves())
    blocks = {name: RemovableBlock(name, layers, name, 0, False) for name, layers in BLOCKS.items()}
    given.structures = SimpleNamespace(blocks=blocks)
    least = times(least_configuration(times, FULL))
    bare = times(narrowest(FULL)) / 4  # what is inside another block goes with it
    check_goal(given, Goal(budget_ms=1.1 * bare), blocks=True)
    with pytest.raises(BudgetError, match=rf"by removing channels: .* more than {least:.4g} ms"):
        check_goal(given, Goal(budget_ms=1.1 * bare))
    with pytest.raises(BudgetError, match=rf"by removing channels or blocks: .* more than {bare:.4g} ms"):
        check_goal(given, Goal(budget_ms=0.9 * bare), blocks=True)
