"""Points along the front: at which times they are looked for, and what is trained."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.costs import CandidateCost, Configuration, Costs
from compressor.pipeline.final import Finalist, in_proportion, train_points
from compressor.pipeline.final.points import targets
from compressor.search import METHODS, Trial, get_method
from profiler.progress import silent


def test_most_are_looked_for_between_the_winner_and_the_original():
    found = targets(1.0, 8.0, 3)
    assert found == pytest.approx([2.0, 0.7, 4.0])
    assert targets(1.0, 8.0, 0) == []


@given(st.floats(0.01, 1.0), st.integers(1, 12))
def test_where_the_winner_is_nearly_as_slow_all_are_faster(share, count):
    found = targets(share, 1.0, count)
    assert len(found) == count
    assert all(time_ms < 1.0 for time_ms in found)
    assert all(abs(np.log(time_ms / share)) > np.log(1.05) for time_ms in found)


def trial(width, ms, score):
    return Trial(Configuration({"a": width}), Costs(ms), score, 0.1)


class Linear(CandidateCost):
    """A device that takes a tenth of a millisecond per channel."""

    cheap = True

    def exact(self, configuration):
        return 0.1 * configuration.widths["a"]


@dataclass
class Trained:
    """Stands for `FinalTraining`: remembers what it was asked to train; there is time for `most`."""

    most: int
    asked: list = field(default_factory=list)

    def one(self, trial, deadline, progress, others):
        if len(self.asked) == self.most:
            return None
        self.asked.append(trial)
        return Finalist(trial, (Path("x.keras"),), (0.5,), True)


def points(most, count, trials=()):
    times = Linear()
    prepared = SimpleNamespace(
        steering=times,
        times=times,
        costs=lambda configuration: Costs(times.exact(configuration)),
        importance={"a": np.ones(80) / 80},
        original=trial(80, 8.0, 1.0),
    )
    winner = Finalist(trial(10, 1.0, 0.9), (Path("w.keras"),), (0.9,), True)
    finals = Trained(most)
    found = train_points(
        prepared, finals, list(trials), winner, count, float("inf"), silent, partial(in_proportion, prepared)
    )
    return found, finals.asked


def test_where_no_trial_is_near_a_network_in_the_winners_proportions_is_made():
    found, asked = points(9, 4)
    assert [point.trial.widths["a"] for point in found] == [10, 20, 7, 40]
    assert asked == [point.trial for point in found[1:]]


def test_trials_are_taken_where_they_are_near():
    tried = trial(21, 2.1, 0.95)
    found, _ = points(9, 4, [tried])
    assert tried in [point.trial for point in found]


def test_fewer_points_where_time_runs_out():
    found, asked = points(1, 5)
    assert len(found) == 2
    assert len(asked) == 1
    assert len(points(9, 1)[0]) == 1


class Tiles(CandidateCost):
    """A device that works in tiles of eight channels, 0.8 ms each."""

    cheap = True

    def exact(self, configuration):
        return 0.8 * sum(-(-width // 8) for width in configuration.widths.values())


@pytest.mark.parametrize(("on_edges", "widths"), [(True, {"a": 8, "b": 16}), (False, {"a": 4, "b": 16})])
def test_a_method_that_knows_no_staircase_is_not_handed_its_edges(on_edges, widths):
    # 5 and 20 channels are 1 and 3 tiles. For 3 in all b must be 16, and a 4 in proportion; 8 cost the same.
    times, full = Tiles(), Configuration({"a": 80, "b": 80})
    prepared = SimpleNamespace(
        original=Trial(full, Costs(8.0), 1.0, 0.1), steering=times, times=times,
        costs=lambda configuration: Costs(times.exact(configuration)), importance={name: np.ones(80) / 80 for name in full.widths},
    )  # fmt: skip
    found = in_proportion(
        prepared, Trial(Configuration({"a": 5, "b": 20}), Costs(3.2), 0.9, 0.1), 0.75, on_edges
    )
    assert found.widths == widths


class Squared(Linear):
    """Weights between two layers of one width."""

    def exact(self, configuration):
        return float(configuration.widths["a"] ** 2)


def test_what_costs_so_many_times_as_much_is_said_of_the_cost_that_is_meant():
    times = Linear()
    prepared = SimpleNamespace(
        original=trial(80, 8.0, 1.0), steering=times, times=times,
        costs=lambda configuration: Costs(times.exact(configuration)), importance={"a": np.ones(80) / 80},
    )  # fmt: skip
    winner = trial(10, 1.0, 0.9)
    assert in_proportion(prepared, winner, 0.7).widths == {"a": 7}
    assert in_proportion(prepared, winner, 0.7, by=Squared()).widths == {"a": 8}


def test_only_the_baselines_know_no_staircase():
    assert {name for name in METHODS if not get_method(name).on_edges} == {"uniform", "importance", "deepiot"}


def test_the_full_widths_of_a_network_without_blocks_are_a_point():
    times = Linear()
    prepared = SimpleNamespace(
        original=trial(80, 8.0, 1.0), steering=times, times=times,
        costs=lambda configuration: Costs(times.exact(configuration)), importance={"a": np.ones(80) / 80},
    )  # fmt: skip
    whole = trial(40, 4.0, 0.9)
    assert in_proportion(prepared, whole, 2.0) is None
    without = replace(whole, configuration=whole.configuration.without(["block"]))
    assert in_proportion(prepared, without, 2.0).widths == {"a": 80}
