"""Which candidate is trained next, and which one is handed over: cases worked by hand, and what must always hold."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.costs import Configuration, Costs
from compressor.pipeline.final.shortlist import CLOSE, Finalist, Shortlist, front, nearest
from compressor.search import Goal, Trial

LEAST = 0.9
KEEP = Goal(least_score=LEAST)
ORIGINAL = Trial(Configuration({"a": 1000}), Costs(1.0), 0.95, 0.1)


def trial(width, score, ms=None):
    """A candidate of so many of the original's 1000 channels, each of a thousandth of its time."""
    return Trial(Configuration({"a": width}), Costs(width / 1000 if ms is None else ms), score, 0.1)


def resized(model, ratio):
    """In proportion: so many channels more or less."""
    width = int(model.widths["a"] * ratio * (1 + 1e-9))
    return trial(width, -math.inf) if 1 <= width < 1000 else None


def trained(one, score, error=0.0, goal=KEEP):
    met = goal.met_by(replace(one, score=score)) and goal.cost(one) < goal.cost(ORIGINAL)
    sure = met and goal.met_by(replace(one, score=score - error))
    return Finalist(replace(one, score=score), (Path("n.keras"),), (score,), met, error, sure)


def shortlist(trials, goal=KEEP, finalists=2, in_proportion=resized):
    ranked = sorted(trials, key=goal.rank, reverse=True)
    return Shortlist(goal, ranked, ORIGINAL, finalists, in_proportion)


def play(made, truth, most=50, error=0.0):
    """Train what is asked for, at most so often; `truth` is what a width scores."""
    known = []
    while len(known) < most:
        following = made.next(known)
        if following is None:
            break
        known.append(trained(following, truth(following.widths["a"]), error, made.goal))
    return known


def widths(known):
    return [one.trial.widths["a"] for one in known]


@pytest.mark.parametrize("dearer", [1.3, 1.7, 2.5])
def test_what_was_trained_is_not_asked_for_again_where_its_file_costs_more_than_was_predicted(dearer):
    made = shortlist([trial(500, 0.95)])
    known = []
    for _ in range(40):
        following = made.next(known)
        if following is None:
            break
        costs = Costs(dearer * following.costs.predicted_ms)
        known.append(trained(replace(following, costs=costs), 0.95 if following.widths["a"] > 300 else 0.5))
    assert len(set(widths(known))) == len(known) < 20


# --- where a score must be kept ---------------------------------------------------------------------------------------


def test_the_first_is_the_cheapest_on_the_front_that_had_the_score_in_the_search():
    tried = [trial(900, 0.95), trial(500, 0.91), trial(600, 0.905), trial(300, 0.85)]
    assert shortlist(tried).next([]) == tried[1]
    assert shortlist(tried[3:]).next([]) == tried[3]


def test_where_none_had_the_score_the_best_is_first():
    tried = [trial(300, 0.80), trial(500, 0.85), trial(600, 0.84), trial(700, -math.inf)]
    assert shortlist(tried).next([]) == tried[1]


def test_what_keeps_the_score_leads_a_step_down_and_then_halfway():
    # 500 keeps; 0.7 of it fails; sqrt(350 * 500) = 418 keeps; sqrt(350 * 418) = 382 fails; 418 / 382 is close.
    known = play(shortlist([trial(500, 0.91)]), lambda width: 0.92 if width >= 400 else 0.8)
    assert widths(known) == [500, 350, 418, 382]
    assert shortlist([]).choice(known).trial.widths == {"a": 418}


def test_what_misses_the_score_leads_a_step_up_and_then_halfway_to_the_original():
    # Steps up from 300 are 428 and 611; from there halfway to the original is less than a step: 781, 883, 939.
    assert widths(play(shortlist([trial(300, 0.91)]), lambda width: 0.8)) == [300, 428, 611, 781, 883, 939]
    made = shortlist([trial(500, 0.91)])
    assert widths(play(made, lambda width: 0.8)) == [500, 707, 840, 916]
    assert widths(play(made, lambda width: 0.92 if width >= 800 else 0.8)) == [500, 707, 840, 770]
    assert widths(play(made, lambda width: 0.92 if width >= 600 else 0.8)) == [500, 707, 594, 648]


def test_a_candidate_of_the_search_is_taken_where_one_is_near():
    tried = [trial(500, 0.91), trial(360, 0.89), trial(355, 0.7)]
    assert widths(play(shortlist(tried), lambda width: 0.92))[:2] == [500, 355]  # aimed at 350
    beaten = [trial(500, 0.91), trial(345, 0.89), trial(355, 0.7)]
    assert widths(play(shortlist(beaten), lambda width: 0.92))[:2] == [500, 345]


def test_a_lower_bound_below_the_limit_does_not_keep_it():
    known = play(shortlist([trial(500, 0.91)]), lambda width: 0.905 if width < 700 else 0.93, error=0.01)
    assert widths(known)[:2] == [500, 707]
    assert known[0].met
    assert not known[0].sure
    assert shortlist([]).choice(known).trial.widths["a"] >= 700


def test_where_none_surely_keeps_it_the_most_accurate_that_keeps_it_by_the_mean_is_taken_and_else_the_nearest():
    made = shortlist([])
    some = [trained(trial(w, s), s, 0.02) for w, s in ((500, 0.907), (400, 0.905), (300, 0.88))]
    assert made.choice(some).trial.widths == {"a": 500}
    none = [trained(trial(w, s), s, 0.02) for w, s in ((500, 0.87), (400, 0.88), (300, 0.6))]
    assert made.choice(none).trial.widths == {"a": 400}


def test_other_seeds_that_show_a_failure_open_the_way_up_again():
    made = shortlist([trial(500, 0.91)])
    known = play(made, lambda width: 0.92 if width >= 400 else 0.8)
    assert made.next(known) is None
    lucky = [
        replace(one, scores=(0.92, 0.8), met=False, sure=False) if one is known[2] else one for one in known
    ]
    assert made.choice(lucky).trial.widths == {"a": 500}
    assert made.next(lucky).widths == {"a": 457}  # sqrt(418 * 500)


def test_steps_of_the_staircase_between_which_nothing_lies_are_passed_over():
    def stairs(model, ratio):
        width = int(model.widths["a"] * ratio) // 100 * 100
        return trial(width, -math.inf) if width else None

    known = play(
        shortlist([trial(800, 0.91)], in_proportion=stairs), lambda width: 0.92 if width > 500 else 0.8
    )
    assert widths(known) == [800, 500, 600]


def test_nothing_is_widened_beyond_a_limit_or_to_the_cost_of_the_original():
    made = shortlist([trial(500, 0.91)], Goal(least_score=LEAST, budget_ms=0.6))
    assert all(width <= 600 for width in widths(play(made, lambda width: 0.8)))
    assert len(play(made, lambda width: 0.8)) > 1
    assert widths(play(shortlist([trial(950, 0.91)]), lambda width: 0.8)) == [950]


def test_no_faster_than_the_original_is_no_answer_but_shows_the_way_down():
    made = shortlist([trial(1000, 0.95)])
    known = play(made, lambda width: 0.92 if width >= 800 else 0.8)
    assert widths(known)[:2] == [1000, 700]
    assert 800 <= made.choice(known).trial.widths["a"] < 1000


def test_what_passes_another_limit_leads_nowhere():
    made = shortlist([trial(500, 0.95)], Goal(least_score=LEAST, budget_ms=0.1))
    assert widths(play(made, lambda width: 0.95)) == [500]


def test_by_size_the_smaller_one_counts():
    goal = Goal(least_score=LEAST, minimize="size")
    small = replace(trial(500, 0.91), costs=Costs(0.5, size_bytes=100))
    fast = replace(trial(100, 0.91), costs=Costs(0.1, size_bytes=900))
    assert shortlist([fast, small], goal).next([]) == small


def test_what_the_search_found_serves_where_nothing_that_was_trained_does():
    tried = [trial(500, 0.91), trial(700, 0.93)]
    made = shortlist(tried)
    assert made.untrained([trained(tried[0], 0.8)]) == tried[1]
    assert made.untrained([trained(tried[0], 0.92)]) is None
    assert made.untrained([trained(one, 0.8) for one in tried]) is None


# --- under a budget ---------------------------------------------------------------------------------------------------


def test_under_a_budget_the_best_of_the_search_are_trained_and_the_best_score_wins():
    goal = Goal(budget_ms=0.5)
    tried = [trial(500, 0.8), trial(400, 0.7), trial(300, 0.6), trial(900, 0.99)]
    made = shortlist(tried, goal)
    known = play(made, {500: 0.90, 400: 0.93}.__getitem__)
    assert widths(known) == [500, 400]
    assert made.choice(known).trial.widths == {"a": 400}


def test_where_all_are_over_the_budget_the_nearest_is_taken():
    goal = Goal(budget_ms=0.1)
    made = shortlist([trial(500, 0.8), trial(400, 0.7)], goal)
    assert made.choice(play(made, {500: 0.9, 400: 0.6}.__getitem__)).trial.widths == {"a": 400}


# --- what must always hold --------------------------------------------------------------------------------------------

searches = st.lists(
    st.builds(trial, st.integers(10, 999), st.floats(0.5, 1.0)), min_size=1, max_size=8,
    unique_by=lambda one: one.widths["a"],
)  # fmt: skip
goals = st.sampled_from([KEEP, Goal(budget_ms=0.5), Goal(least_score=LEAST, budget_ms=0.6)])


@st.composite
def truths(draw):
    """What full training reaches: rising with the width, but for luck."""
    enough, seed = draw(st.integers(1, 1000)), draw(st.integers(0, 10**6))
    luck = draw(st.sampled_from([0.0, 0.02, 0.1]))
    return lambda width: 0.9 + (width - enough) / 2000 + luck * math.sin(seed + width)


@given(searches, truths(), goals, st.sampled_from([0.0, 0.01, math.nan]))
@settings(max_examples=300)
def test_it_ends_and_trains_nothing_twice(tried, truth, goal, error):
    known = play(shortlist(tried, goal), truth, error=error)
    assert 1 <= len(known) <= 2 + math.ceil(2 * math.log(1000) / math.log(CLOSE))
    assert len(known) < 50
    assert len(set(widths(known))) == len(known)


@given(searches, truths(), goals, st.sampled_from([0.0, 0.01]))
@settings(max_examples=300)
def test_the_choice_is_never_beaten_in_cost_and_score(tried, truth, goal, error):
    made = shortlist(tried, goal)
    known = play(made, truth, error=error)
    chosen = made.choice(known)
    within = [one for one in known if goal.excess(one.trial) == 0]
    if goal.excess(chosen.trial) == 0:
        assert not any(
            goal.cost(one.trial) < goal.cost(chosen.trial) and one.mean_score > chosen.mean_score
            for one in within
        )
    else:
        assert not within


@given(searches, truths(), goals, st.sampled_from([0.0, 0.01]))
@settings(max_examples=300)
def test_more_time_never_leads_to_a_worse_choice(tried, truth, goal, error):
    made = shortlist(tried, goal)
    known = play(made, truth, error=error)
    choices = [made.choice(known[:count]) for count in range(1, len(known) + 1)]
    for less, more in itertools.pairwise(choices):
        assert (more.met, more.sure) >= (less.met, less.sure)
        if goal.least_score is None or not less.met:
            assert goal.rank(more.trial) >= goal.rank(less.trial)
        elif less.sure and more.sure:
            assert goal.cost(more.trial) <= goal.cost(less.trial)
        elif not more.sure:
            assert more.low_score >= less.low_score


@given(searches, truths(), st.sampled_from([0.0, 0.01]))
@settings(max_examples=300)
def test_whatever_failed_is_cheaper_than_whatever_keeps_the_score(tried, truth, error):
    known = play(shortlist(tried), truth, error=error)
    keeping = [one.trial.predicted_ms for one in known if one.low_score >= LEAST]
    failed = [one.trial.predicted_ms for one in known if not one.low_score >= LEAST]
    assert max(failed, default=0.0) < min(keeping, default=1.0)


# --- the front of the search ------------------------------------------------------------------------------------------


def test_the_trial_nearest_to_a_cost_on_the_front():
    trials = [trial(5, 0.9, 1.0), trial(6, 0.8, 1.05), trial(4, 0.85, 0.98), trial(9, 0.95, 2.0)]
    found = front(trials, KEEP.cost)
    assert [one.widths["a"] for one in found] == [4, 5, 9]
    assert nearest(found, KEEP.cost, 1.02).widths == {"a": 5}
    assert nearest(found[:1], KEEP.cost, 1.02).widths == {"a": 4}
    assert nearest(found, KEEP.cost, 1.5) is None
    assert nearest([], KEEP.cost, 1.0) is None


@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_what_diverged_in_the_search_is_not_on_the_front(score):
    assert shortlist([trial(500, 0.91), trial(300, score)]).next([]).widths == {"a": 500}
