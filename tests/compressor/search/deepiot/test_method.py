"""The search of DeepIoT and FastDeepIoT: thresholds, candidates, moves, and going on after a kill."""

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from compressor.costs import Configuration
from compressor.search import Goal, get_method
from compressor.search import base as search_base
from compressor.search.deepiot import DeepIoT, FastDeepIoT, trajectory
from compressor.search.deepiot import training as deepiot_training
from compressor.search.deepiot.method import _TimeSteering, expected
from compressor.testing.workbench import TILE, WIDTHS, StaircaseTimes, make_problem
from profiler.errors import UsageError

TOTAL = sum(WIDTHS.values())
FULL = Configuration(WIDTHS)
WHOLE = StaircaseTimes()(FULL)


class Scripted:
    """Stands in for training: from 0.7 the channels drift apart, the first ones of each group upwards."""

    made: ClassVar[list] = []

    def __init__(self, prepared, rates, seed):
        self.iteration = 0
        self.asked = []
        Scripted.made.append(self)

    def run(self, iterations, threshold, slopes, alive):
        self.iteration += iterations
        self.asked.append((iterations, threshold, slopes.copy()))
        self.alive = alive

    @property
    def probabilities(self):
        drift = min(1.0, self.iteration / 60)
        return np.concatenate([0.7 + 0.25 * drift * np.linspace(1, -2, width) for width in WIDTHS.values()])

    def network(self, keep, threshold):
        return SimpleNamespace(save=lambda path: path.write_text("a network"))

    def arrays(self):
        return {"iteration": np.array(self.iteration)}

    def restore(self, arrays):
        self.iteration = int(arrays["iteration"])
        return True


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    Scripted.made = []
    monkeypatch.setattr(deepiot_training, "Training", Scripted)


def few(kind, **options):
    return kind(iterations=2, **options)


def test_the_threshold_rises_as_in_the_paper():
    problem = make_problem(Goal(budget_ms=1e-3 + 0.2 * WHOLE))
    DeepIoT(iterations=3).run(problem)
    (training,) = Scripted.made
    thresholds = [threshold for _, threshold, _ in training.asked]
    assert thresholds == pytest.approx([0.025 * step for step in range(len(thresholds))])
    assert all(iterations == 3 for iterations, _, _ in training.asked)
    assert not any(slopes.any() for _, _, slopes in training.asked)


def test_it_stops_as_soon_as_the_budget_holds_and_makes_full_use_of_it():
    budget = 0.55 * WHOLE
    problem = make_problem(Goal(budget_ms=budget))
    (trial,) = few(DeepIoT).run(problem)
    assert trial.predicted_ms <= budget
    p = np.split(Scripted.made[0].probabilities, np.cumsum(list(WIDTHS.values()))[:-1])
    lowest = min(v[i] for v, name in zip(p, WIDTHS, strict=True) for i in trial.keep[name])
    # Widths come from one threshold alone, and with one channel more it would be over the budget.
    assert trial.widths == {n: int((v >= lowest).sum()) for n, v in zip(WIDTHS, p, strict=True)}
    for values, name in zip(p, WIDTHS, strict=True):
        if (values < lowest).any() and values[values < lowest].max() == max(v[v < lowest].max() for v in p):
            more = {**trial.widths, name: trial.widths[name] + 1}
            assert StaircaseTimes()(Configuration(more)) > budget


def test_beyond_the_last_threshold_the_cost_falls_step_by_step():
    budget = 0.12 * WHOLE
    problem = make_problem(Goal(budget_ms=budget))
    method = few(DeepIoT, steps=4, final_threshold=0.4)
    (trial,) = method.run(problem)
    assert trial.predicted_ms <= budget
    thresholds = [threshold for _, threshold, _ in Scripted.made[0].asked]
    assert thresholds[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert len(thresholds) > 8
    assert thresholds == sorted(thresholds)


def test_under_a_limit_on_the_score_it_walks_down_and_looks_between():
    problem = make_problem(Goal(least_score=0.9))
    best = few(DeepIoT).run(problem)
    assert problem.goal.met_by(best[0])
    missed = [trial for trial in best if trial.score < 0.9]
    assert missed
    assert max(t.predicted_ms for t in missed) / best[0].predicted_ms < 1.35
    assert len(problem.trials) <= 12


def test_a_walk_that_falls_all_the_way_at_once_looks_between():
    problem = make_problem(Goal(least_score=0.9))
    best = few(DeepIoT, steps=1, final_threshold=0.99).run(problem)
    assert problem.goal.met_by(best[0])
    assert best[0].predicted_ms < 0.9 * WHOLE


@pytest.mark.parametrize(("unlucky", "below", "ends"), [(4, 0.004, False), (2, 0.05, True)])
def test_one_unlucky_score_does_not_end_the_walk(unlucky, below, ends):
    problem = make_problem(Goal(least_score=0.4))
    judge, seen = problem.evaluate, []

    def noisy(candidate):
        seen.append(candidate)
        score, loss = judge(candidate)
        return (0.4 - below if 1 < len(seen) <= 1 + unlucky else score), loss

    problem.evaluate = noisy
    best = few(DeepIoT).run(problem)
    # Either it goes on below the unlucky ones, or it looks between the first of them and the one above.
    last_unlucky = problem.trials[unlucky].predicted_ms
    assert (best[0].predicted_ms < last_unlucky) != ends


@pytest.mark.parametrize("kind", [DeepIoT, FastDeepIoT])
@pytest.mark.parametrize("goal", [Goal(budget_ms=0.3 * WHOLE), Goal(least_score=0.85)])
def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(kind, goal, tmp_path):
    def make(folder, known=()):
        return make_problem(goal, tmp_path / folder, known)

    whole = make("whole")
    few(kind).run(whole)
    for kill in range(1, len(whole.trials) + 1):
        first = make(f"killed{kill}")
        judge, left = first.evaluate, iter(range(kill - 1))

        def killed(candidate, judge=judge, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return judge(candidate)

        first.evaluate = killed
        with pytest.raises(KeyboardInterrupt):
            few(kind).run(first)
        second = make(f"killed{kill}", first.trials)
        few(kind).run(second)
        assert {t.candidate.key for t in second.trials} == {t.candidate.key for t in whole.trials}
        assert len(second.evaluate.asked) == len(whole.trials) - kill + 1


def test_killed_between_candidates_it_goes_on_from_its_last_step(tmp_path):
    class KilledError(Exception):
        pass

    problem = make_problem(Goal(budget_ms=0.3 * WHOLE), tmp_path)

    def kill(share, note):
        if share > 0.4:
            raise KilledError

    problem.progress = kill
    with pytest.raises(KilledError):
        few(DeepIoT).run(problem)
    again = make_problem(Goal(budget_ms=0.3 * WHOLE), tmp_path)
    few(DeepIoT).run(again)
    first, second = Scripted.made
    assert second.asked[0][1] >= first.asked[-1][1] > 0.3
    assert len(again.trials) == 1


def test_records_of_another_search_are_not_gone_on_with(tmp_path):
    few(DeepIoT).run(make_problem(Goal(budget_ms=0.3 * WHOLE), tmp_path))
    few(DeepIoT).run(make_problem(Goal(budget_ms=0.4 * WHOLE), tmp_path))
    assert Scripted.made[1].asked[0][1] == 0.0


def test_broken_records_are_no_reason_to_fail(tmp_path):
    (tmp_path / "deepiot.npz").write_bytes(b"half of a fi")
    assert few(DeepIoT).run(make_problem(Goal(budget_ms=0.4 * WHOLE), tmp_path))


@pytest.fixture
def clock(monkeypatch):
    """A clock that training alone moves: by `seconds` for each iteration."""
    state = SimpleNamespace(now=1000.0, seconds=1.0)
    run = Scripted.run

    def timed(self, iterations, threshold, slopes, alive):
        state.now += state.seconds * iterations
        run(self, iterations, threshold, slopes, alive)

    monkeypatch.setattr(Scripted, "run", timed)
    for module in (search_base, trajectory):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: state.now))
    return state


def trained_by_threshold():
    """How many iterations each threshold had."""
    counts: dict[float, int] = {}
    for iterations, threshold, _ in Scripted.made[0].asked:
        counts[threshold] = counts.get(threshold, 0) + iterations
    return counts


@pytest.mark.parametrize("kind", [DeepIoT, FastDeepIoT])
def test_with_little_time_steps_are_fewer_and_none_is_trained_for_less(kind, clock):
    goal = Goal(budget_ms=0.3 * WHOLE)
    kind(iterations=40).run(make_problem(goal))
    unhurried = trained_by_threshold()
    Scripted.made.clear()
    problem = make_problem(goal)
    problem.deadline = clock.now + 12 * 40
    (trial,) = kind(iterations=40).run(problem)
    hurried = trained_by_threshold()
    assert goal.met_by(trial)
    assert len(hurried) < len(unhurried) / 2
    assert set(hurried.values()) == {40}
    assert clock.now <= problem.deadline


@pytest.mark.parametrize("goal", [Goal(budget_ms=0.1 * WHOLE), Goal(least_score=0.9)])
def test_with_hardly_any_time_one_step_is_trained_in_whole_and_a_candidate_tried(clock, goal):
    problem = make_problem(goal)
    problem.deadline = clock.now + 90
    (trial,) = DeepIoT(iterations=100).run(problem)
    assert trial.predicted_ms < 0.71 * WHOLE
    assert trained_by_threshold() == {0.0: 100}


def test_moves_end_on_the_edge_of_a_step_and_cost_less_at_the_same_score():
    """Tiles of 16: of the channels in a tile that is begun, FastDeepIoT takes all."""
    goal = Goal(least_score=0.9)
    plain, fast = make_problem(goal), make_problem(goal)
    slow_one, fast_one = few(DeepIoT).run(plain)[0], few(FastDeepIoT).run(fast)[0]
    # The last group has no reader on this device, so a whole tile of it costs what one channel does.
    assert fast_one.widths["c"] in (16, 32, 40)
    assert fast_one.predicted_ms <= slow_one.predicted_ms
    for name, positions in fast_one.keep.items():
        assert len(positions) == fast_one.widths[name]
        assert positions == sorted(set(positions))


def test_within_a_budget_moves_keep_more():
    goal = Goal(budget_ms=0.4 * WHOLE)
    plain, fast = make_problem(goal), make_problem(goal)
    slow_one, fast_one = few(DeepIoT).run(plain)[0], few(FastDeepIoT).run(fast)[0]
    assert fast_one.predicted_ms <= 0.4 * WHOLE
    assert fast_one.score >= slow_one.score
    assert sum(fast_one.widths.values()) > sum(slow_one.widths.values())


def steering(goal, **options):
    problem = make_problem(goal)
    return problem, _TimeSteering(problem, FastDeepIoT(**options))


def configuration_of(keep):
    return Configuration({name: len(positions) for name, positions in keep.items()})


def test_a_local_minimum_restores_what_is_worth_most():
    problem, moves = steering(Goal(budget_ms=WHOLE))
    keep = {"a": [3], "b": list(range(16)), "c": list(range(10))}
    p = {name: np.full(width, 0.5) for name, width in WIDTHS.items()}
    p["c"][30:] = 0.9
    settled = moves.settled(keep, p)
    assert len(settled["c"]) == TILE
    assert settled["c"][:10] == list(range(10))
    assert settled["c"][10:] == [30, 31, 32, 33, 34, 35]  # more Taylor importance is at the front
    assert problem.cost(configuration_of(settled)) <= problem.cost(configuration_of(keep))


def test_a_step_that_is_hardly_used_is_given_up_where_its_time_buys_more_elsewhere():
    problem, moves = steering(Goal(budget_ms=WHOLE))
    keep = {"a": list(range(17)), "b": list(range(33)), "c": list(range(8))}
    p = {name: np.full(width, 0.5) for name, width in WIDTHS.items()}
    p["b"][3] = 0.01
    settled = moves.settled(keep, p)
    assert settled["a"] == list(range(24))
    assert settled["b"] == [0, 1, 2, *range(4, 33)]  # the thirty-third took a tile for itself
    assert settled["c"] == list(range(16))
    assert problem.cost(configuration_of(settled)) < problem.cost(configuration_of(keep))


def test_the_slope_sees_the_staircase_from_afar():
    problem, steered = steering(Goal(budget_ms=WHOLE), window=0.25)
    p = {name: np.full(width, 0.5) for name, width in WIDTHS.items()}
    now = expected(FULL, p)
    assert now.widths == {"a": 12, "b": 24, "c": 20}
    slopes = steered.slopes(p)
    low, high = (problem.cost(now.with_widths({"b": width})) for width in (12, 36))
    assert slopes["b"] == pytest.approx(math.log(high / low) / 24)
    assert all(slope > 0 for slope in slopes.values())


def test_lambda_grows_until_the_budget_holds():
    _, steered = steering(Goal(budget_ms=0.5 * WHOLE), pressure=2.0, growth=1.5)
    much = {name: np.full(width, 0.9) for name, width in WIDTHS.items()}
    little = {name: np.full(width, 0.1) for name, width in WIDTHS.items()}
    assert steered.start == 2.0
    assert steered.raised(2.0, much) == 3.0
    assert steered.raised(2.0, little) == 2.0
    _, steered = steering(Goal(least_score=0.9), growth=1.5)
    assert steered.raised(2.0, little) == 3.0


def test_the_time_term_pushes_each_channel_by_its_groups_slope():
    problem = make_problem(Goal(budget_ms=0.4 * WHOLE))
    few(FastDeepIoT, pressure=2.0, growth=1.0).run(problem)
    _, _, slopes = Scripted.made[0].asked[0]
    first = _TimeSteering(problem, FastDeepIoT()).slopes(
        dict(zip(WIDTHS, np.split(0.7 + 0 * slopes, np.cumsum(list(WIDTHS.values()))[:-1]), strict=True))
    )
    for name, part in zip(WIDTHS, np.split(slopes, np.cumsum(list(WIDTHS.values()))[:-1]), strict=True):
        np.testing.assert_allclose(part, 2.0 * first[name])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("deepiot", {"iterations": 0}, "iterations must be 1 or more"),
        ("deepiot", {"final_threshold": 1.0}, "final_threshold must be between"),
        ("deepiot", {"critic_speed": 1.0}, "no such parameter"),
        ("fastdeepiot", {"growth": 0.5}, "growth must be 1 or more"),
        ("fastdeepiot", {"window": 0.0}, "window must be"),
        ("fastdeepiot", {"steps": 0}, "steps must be 1 or more"),
    ],
)
def test_wrong_parameters_are_named(name, options, message):
    with pytest.raises(UsageError, match=message):
        get_method(name, **options)


def test_both_have_the_same_schedule():
    plain, fast = get_method("deepiot"), get_method("fastdeepiot")
    assert plain.trains
    assert fast.trains
    assert {k: v for k, v in vars(fast).items() if k in vars(plain)} == vars(plain)
    rates = plain.rates
    assert (rates.critic_rate, rates.critic_beta_1, rates.critic_beta_2, rates.l2) == (3e-3, 0.5, 0.9, 5e-4)
    assert (rates.compressor_rate, rates.decay, rates.units) == (1e-2, 0.9, 64)
    assert (rates.keep, rates.recurrent_keep) == (0.8, 0.8)
    assert (plain.schedule.steps, plain.schedule.final_threshold) == (33, 0.825)
