"""The suite for search methods finds what is wrong: one faulty method for each check."""

import doctest
import time

import numpy as np
import pytest

import compressor.costs.configuration
import compressor.costs.staircase
import compressor.search.group_importance
import compressor.testing.methods
from compressor.costs import Configuration, narrowest, scaled
from compressor.search import SearchMethod, SearchOverError
from compressor.search.uniform import UniformWidth
from compressor.testing.methods import CHECKS, Case, check_method
from compressor.testing.workbench import (
    MOST_CANDIDATES,
    TWELVE,
    WIDTHS,
    Counting,
    SmoothTimes,
    StaircaseTimes,
    synthetic,
)


class Sound(SearchMethod):
    """Halves its step until the goal is just met: what the faulty ones are made of."""

    name = "sound"

    def search(self, problem):
        for step in self.steps():
            smaller = self.smaller(problem, step)
            if problem.budget is not None:
                if self.cost(problem, smaller) <= problem.budget or step == 31:
                    self.attempt(problem, smaller)
                    return
            elif self.attempt(problem, smaller).score < problem.least_score:
                return

    def steps(self):
        return range(1, 32)

    def smaller(self, problem, step):
        return scaled(problem.full, 1 - step / 32)

    def cost(self, problem, smaller):
        return problem.cost.exact(smaller)

    def attempt(self, problem, smaller):
        return problem.try_configuration(smaller)


def found_by(check, method, tmp_path, message):
    case = Case(method, tmp_path / "records", synthetic())
    with pytest.raises((AssertionError, SearchOverError), match=message):
        CHECKS[check](case)
    with pytest.raises((AssertionError, SearchOverError)):
        check_method(method, tmp_path / "whole")


def test_a_sound_method_passes(tmp_path):
    check_method(Sound, tmp_path)


def test_every_check_has_a_faulty_method_here():
    names = {name for name in globals() if name.startswith("test_found_")}
    missing = {check for check in CHECKS if not any(check.replace(" ", "_") in name for name in names)}
    assert missing == {"training"}  # tests/compressor/search/test_training_methods.py


def test_found_by_search_nothing_tried(tmp_path):
    class Lazy(Sound):
        def search(self, problem):
            pass

    found_by("search", Lazy, tmp_path, "nothing was tried")


def test_found_by_search_goal_missed(tmp_path):
    class Wide(Sound):
        def steps(self):
            return [1]

        def cost(self, problem, smaller):
            return 0.0

    found_by("search", Wide, tmp_path, "the goal was not met")


def test_found_by_search_impossible_widths(tmp_path):
    class Zero(Sound):
        def attempt(self, problem, smaller):
            return problem.try_configuration(smaller.with_widths({"a": 0}))

    class Wider(Sound):
        def attempt(self, problem, smaller):
            return problem.try_configuration(smaller.with_widths({"a": 25}))

    class Forgetful(Sound):
        def cost(self, problem, smaller):
            return problem.cost.exact(Configuration({"a": smaller.widths["a"]}))

    found_by("search", Zero, tmp_path / "0", r"impossible widths \{'a': 0\}")
    found_by("search", Wider, tmp_path / "25", r"impossible widths \{'a': 25\}")
    found_by("search", Forgetful, tmp_path / "f", "are not the groups")


def test_found_by_search_no_end(tmp_path):
    class Endless(Sound):
        def search(self, problem):
            super().search(problem)
            for a in range(1, 25):
                for b in range(1, 49):
                    problem.try_configuration(problem.full.with_widths({"a": a, "b": b}))

    found_by("search", Endless, tmp_path, f"{MOST_CANDIDATES} candidates and no end")


def test_found_by_search_not_gone_on_with(tmp_path):
    class Deaf(Sound):
        def attempt(self, problem, smaller):
            problem.known.clear()
            return super().attempt(problem, smaller)

    found_by("search", Deaf, tmp_path, "done again")


def test_found_by_resume_tried_again(tmp_path):
    class Renaming(Sound):
        """Looks its own count up on disk, and so tries everything after a kill."""

        def attempt(self, problem, smaller):
            if problem.folder is not None and not (problem.folder / "finished").exists():
                problem.known.clear()
            return super().attempt(problem, smaller)

        def search(self, problem):
            super().search(problem)
            if problem.folder is not None:
                (problem.folder / "finished").touch()

    found_by("resume", Renaming, tmp_path, "tried again what was finished")


def test_found_by_resume_worse_end(tmp_path):
    class Hurried(Sound):
        """Counts candidates of the earlier run as its own."""

        def search(self, problem):
            if not problem.known:
                super().search(problem)
            else:
                self.attempt(problem, self.smaller(problem, 1))

    found_by("resume", Hurried, tmp_path, "it ended with")


def test_found_by_deadline(tmp_path):
    class Patient(Sound):
        def search(self, problem):
            problem.deadline = time.monotonic() + 60
            super().search(problem)

    class Losing(Sound):
        def run(self, problem):
            try:
                self.search(problem)
            except SearchOverError:
                return []
            return problem.best()

    found_by("deadline", Patient, tmp_path / "p", "without any time")
    found_by("deadline", Losing, tmp_path / "l", "lost what it had")


def test_found_by_same_seed(tmp_path):
    class Restless(Sound):
        turn = 0

        def smaller(self, problem, step):
            type(self).turn += 1
            smaller = scaled(problem.full, 1 - step / 32)
            return smaller.with_widths({"c": max(1, smaller.widths["c"] - type(self).turn % 5)})

    case = Case(Restless, tmp_path, synthetic())
    with pytest.raises(AssertionError, match="same seed differ"):
        CHECKS["same seed"](case)


def test_found_by_out_of_reach(tmp_path):
    class Proud(Sound):
        def search(self, problem):
            super().search(problem)
            best = problem.best()[0]
            if not problem.goal.met_by(best):
                problem.trials.clear()

    found_by("out of reach", Proud, tmp_path, "nothing was tried")


def test_found_by_diverging(tmp_path):
    class Fragile(Sound):
        def attempt(self, problem, smaller):
            trial = super().attempt(problem, smaller)
            assert trial.score > -1, "training diverged"
            return trial

    found_by("diverging", Fragile, tmp_path, "training diverged")


def test_found_by_limits(tmp_path):
    class OnlyTime(Sound):
        def cost(self, problem, smaller):
            limit = problem.goal.budget_ms
            return (
                problem.budget * StaircaseTimes(problem.full.widths)(smaller) / limit
                if limit
                else super().cost(problem, smaller)
            )

    found_by("limits", OnlyTime, tmp_path, "was not met")


def test_found_by_steering(tmp_path):
    class OnlyStaircase(Sound):
        def cost(self, problem, smaller):
            value = problem.cost.exact(smaller)
            staircase = StaircaseTimes(problem.full.widths)
            return staircase(smaller) / 2.2 if isinstance(problem.cost, SmoothTimes) else value

    case = Case(OnlyStaircase, tmp_path, synthetic())
    with pytest.raises(AssertionError, match="was not met"):
        CHECKS["steering"](case)


def test_found_by_sizes(tmp_path):
    class ThreeGroups(Sound):
        def smaller(self, problem, step):
            smaller = super().smaller(problem, step)
            groups = list(smaller.widths)
            if len(groups) > 2:
                return smaller.with_widths({groups[2]: 16})
            return Configuration({"a": 1, "b": 1, "c": 1})

    case = Case(ThreeGroups, tmp_path, synthetic())
    with pytest.raises(AssertionError, match="are not the groups"):
        CHECKS["sizes"](case)


def test_a_check_is_named_and_can_be_left_out(tmp_path):
    class Fragile(Sound):
        def attempt(self, problem, smaller):
            trial = super().attempt(problem, smaller)
            assert trial.score > -1, "training diverged"
            return trial

    with pytest.raises(AssertionError) as caught:
        check_method(Fragile, tmp_path / "1")
    if hasattr(caught.value, "__notes__"):
        assert "'diverging'" in caught.value.__notes__[0]
    check_method(Fragile, tmp_path / "2", leave_out=("diverging",))


@pytest.mark.parametrize(
    "module",
    [
        compressor.testing.methods,
        compressor.costs.configuration,
        compressor.costs.staircase,
        compressor.search.group_importance,
    ],
)
def test_examples_in_the_text_hold(module):
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted
    assert not outcome.failed


def test_benches_of_other_sizes():
    bench = synthetic(TWELVE)
    assert bench.full.widths == TWELVE
    assert bench.between(0.0) == bench.times.exact(narrowest(bench.full))
    assert bench.between(1.0, "size") == bench.others["size"].exact(bench.full)
    assert synthetic().full.widths == WIDTHS


def test_searches_have_no_part_in_each_other(tmp_path):
    case = Case(UniformWidth, tmp_path, synthetic())
    first = case.finished("budget")
    assert case.finished("budget") is first
    assert isinstance(first.evaluate, Counting)
    assert len(first.evaluate.asked) == 1
    assert (tmp_path / "budget").is_dir()
