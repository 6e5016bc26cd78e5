import math
from dataclasses import replace
from pathlib import Path

import pytest

from compressor.costs import Configuration, Costs
from compressor.pipeline.final import FinalTraining
from compressor.pipeline.prepare import Workspace, keep_trained
from compressor.search import Goal, Trial
from compressor.training import Options, Outcome, TrainingError
from profiler.progress import silent

ORIGINAL = Trial(Configuration({"a": 10}), Costs(1.0), 0.95, 0.1)


class Network:
    def __init__(self, width):
        self.width = width

    def save(self, path):
        Path(path).write_text(str(self.width))


class Pretended:
    """Trains nothing: the score of full fine-tuning is looked up by width; `later` is that of a width's other seeds."""

    original = ORIGINAL
    precisions = None

    def __init__(self, scores, later=None):
        self.scores = scores
        self.later = later or {}
        self.trained, self.epochs, self.seconds = [], [], []
        self.afterwards = 0.5
        self.tuner = self
        self.error = self.tolerance = 0.0
        self.losses = {}

    def validation_outputs(self, network):
        return [[network.width]]

    def score_error(self, outputs):
        return self.error

    def network_of(self, candidate, folder):
        return Network(candidate.widths["a"])

    def fit(self, network, schedule, seed, checkpoint, deadline=math.inf, seconds=math.inf):
        if deadline < 0:
            return Outcome(self.scores.get(network.width, 0.1), 0.5, 0, 0.0, complete=False)
        self.trained.append((network.width, seed))
        self.epochs.append(schedule.epochs)
        self.seconds.append(seconds)
        score = self.scores.get(network.width, 0.1)
        if isinstance(score, Exception):
            self.scores[network.width] = self.afterwards
            raise score
        if seed:
            score = self.later.get(network.width, score)
        return Outcome(
            score + 0.001 * seed,
            self.losses.get(network.width, 1 - score),
            schedule.epochs,
            1.0,
            steps=10 * schedule.epochs,
        )


def training(prepared, goal, folder, seeds=1, finalists=2, **options):
    workspace = Workspace(folder, {}, resume=True)
    return FinalTraining(prepared, workspace, goal, Options(finalists=finalists), 0, seeds, **options)


def trial(width, ms, score):
    return Trial(Configuration({"a": width}), Costs(ms), score, 0.1)


def run(made, trials, *in_proportion, deadline=math.inf, progress=silent):
    return made.run(sorted(trials, key=made._goal.rank, reverse=True), deadline, progress, *in_proportion)


def resized(model, ratio):
    """In proportion, but for the rounding: so many channels more or less."""
    return trial(round(model.widths["a"] * ratio), model.predicted_ms * ratio, 0.0)


def measured(width, predicted_ms, measured_ms, score):
    """A candidate whose time is one that was measured."""
    return replace(trial(width, predicted_ms, score), costs=Costs(predicted_ms, steered_ms=measured_ms))


def test_under_a_budget_full_training_decides_between_the_first_few(tmp_path):
    prepared = Pretended({5: 0.90, 4: 0.93, 3: 0.99})
    chosen = run(
        training(prepared, Goal(budget_ms=0.5), tmp_path),
        [trial(5, 0.5, 0.8), trial(4, 0.4, 0.7), trial(3, 0.3, 0.6)],
    )
    assert prepared.trained == [
        (5, 0),
        (4, 0),
        (4, 0),
    ]  # a fifth of the schedule each, and the rest for the better one
    assert prepared.epochs == [6, 6, 24]
    assert chosen.trial.widths == {"a": 4}
    assert chosen.met


def test_the_winner_gets_every_seed_and_the_best_comes_first(tmp_path):
    prepared = Pretended({5: 0.90})
    chosen = run(training(prepared, Goal(budget_ms=0.5), tmp_path, seeds=3), [trial(5, 0.5, 0.8)])
    assert prepared.trained == [(5, 0), (5, 1), (5, 2)]
    assert chosen.scores == pytest.approx((0.902, 0.901, 0.9))
    assert chosen.networks[0].name == "5_seed2.keras"
    assert all(path.read_text() == "5" for path in chosen.networks)


def test_a_narrow_miss_may_be_lifted_over_the_limit(tmp_path):
    prepared = Pretended({5: 0.95, 4: 0.92, 3: 0.5})
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path),
        [trial(5, 0.5, 0.91), trial(4, 0.4, 0.895), trial(3, 0.3, 0.5)],
    )
    assert chosen.trial.widths == {"a": 4}
    assert prepared.trained == [(5, 0), (4, 0), (3, 0)]


def test_where_the_fast_one_fails_the_next_is_taken(tmp_path):
    prepared = Pretended({5: 0.95, 4: 0.85})
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path), [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)]
    )
    assert prepared.trained == [(4, 0), (5, 0)]
    assert chosen.trial.widths == {"a": 5}
    assert chosen.met


def test_one_lucky_seed_does_not_keep_a_score(tmp_path):
    prepared = Pretended({5: 0.95, 4: 0.95}, later={4: 0.5})
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path, seeds=2),
        [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)],
    )
    assert prepared.trained == [(4, 0), (4, 1), (5, 0), (5, 1)]
    assert chosen.trial.widths == {"a": 5}
    assert chosen.met


def test_a_score_that_may_be_luck_is_left_for_a_slower_one(tmp_path):
    prepared = Pretended({5: 0.95, 4: 0.905})
    prepared.error = 0.01
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path), [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)]
    )
    assert chosen.trial.widths == {"a": 5}
    assert chosen.sure


def test_where_none_is_sure_the_cheapest_of_those_that_keep_it_is_taken_with_every_seed(tmp_path):
    prepared = Pretended({5: 0.904, 4: 0.905})
    prepared.error = 0.01
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path, seeds=2),
        [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)],
    )
    assert prepared.trained == [(4, 0), (5, 0), (4, 1)]
    assert (chosen.met, chosen.sure) == (True, False)
    assert chosen.low_score == pytest.approx(0.8955)


@pytest.mark.parametrize(("slow", "fast", "taken"), [(0.907, 0.905, 5), (0.905, 0.907, 4), (0.907, 0.899, 5)])
def test_where_none_is_sure_the_most_accurate_that_keeps_it_by_its_mean_is_taken(tmp_path, slow, fast, taken):
    prepared = Pretended({5: slow, 4: fast})
    prepared.error = 0.01
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path), [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)]
    )
    assert chosen.trial.widths == {"a": taken}
    assert (chosen.met, chosen.sure) == (True, False)


def test_by_size_the_smaller_one_counts(tmp_path):
    prepared = Pretended({5: 0.95, 4: 0.95})
    prepared.original = replace(ORIGINAL, costs=Costs(1.0, size_bytes=1000))
    small = replace(trial(5, 0.9, 0.91), costs=Costs(0.9, size_bytes=100))
    fast = replace(trial(4, 0.1, 0.91), costs=Costs(0.1, size_bytes=1000))
    goal = Goal(least_score=0.9, minimize="size")
    assert run(training(prepared, goal, tmp_path), [fast, small]).trial.widths == {"a": 5}
    assert not run(training(prepared, goal, tmp_path / "b"), [fast]).met


def test_where_all_fail_the_nearest_is_kept(tmp_path):
    prepared = Pretended({5: 0.7, 4: 0.6})
    chosen = run(
        training(prepared, Goal(least_score=0.9), tmp_path, seeds=2),
        [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)],
    )
    assert not chosen.met
    assert chosen.trial.widths == {"a": 5}


def test_where_all_miss_the_limit_in_the_search_the_best_is_trained_and_then_wider_ones(tmp_path):
    prepared = Pretended({80: 0.898, 89: 0.93, 84: 0.91})
    tried = [trial(80, 0.8, 0.88), trial(60, 0.6, 0.875), trial(50, 0.5, 0.86)]
    chosen = run(training(prepared, Goal(least_score=0.9), tmp_path), tried, resized)
    assert prepared.trained == [(80, 0), (89, 0), (84, 0)]
    assert (chosen.trial.widths, chosen.met) == ({"a": 84}, True)


def test_no_faster_than_the_original_is_not_met(tmp_path):
    prepared = Pretended({10: 0.95})
    assert not run(training(prepared, Goal(least_score=0.9), tmp_path), [trial(10, 1.0, 0.95)]).met


def test_a_seed_that_diverges_is_trained_again_more_gently(tmp_path):
    prepared = Pretended({5: TrainingError("diverged")})
    assert run(training(prepared, Goal(budget_ms=1.0), tmp_path), [trial(5, 0.5, 0.8)]).trial.score == 0.5
    assert prepared.trained == [(5, 0), (5, 0)]


def test_finished_seeds_are_not_trained_again(tmp_path):
    for expected in ([(5, 0), (5, 1)], []):
        prepared = Pretended({5: 0.9})
        chosen = run(training(prepared, Goal(budget_ms=0.5), tmp_path, seeds=2), [trial(5, 0.5, 0.8)])
        assert prepared.trained == expected
        assert chosen.scores == pytest.approx((0.901, 0.9))


def test_a_candidate_that_always_diverges_drops_out_alone(tmp_path):
    prepared = Pretended({5: TrainingError("It diverged."), 4: 0.8})
    prepared.afterwards = prepared.scores[5]
    made = training(prepared, Goal(budget_ms=0.5), tmp_path)
    chosen = run(made, [trial(5, 0.5, 0.9), trial(4, 0.4, 0.7)])
    assert chosen.trial.widths == {"a": 4}
    assert made.notes == ("The candidate of 0.5 ms was left out: It diverged.",)


def test_where_a_score_must_be_kept_the_next_is_trained_in_place_of_one_that_diverges(tmp_path):
    prepared = Pretended({4: TrainingError("It diverged."), 5: 0.95})
    prepared.afterwards = prepared.scores[4]
    made = training(prepared, Goal(least_score=0.9), tmp_path)
    assert run(made, [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)]).trial.widths == {"a": 5}
    assert len(made.notes) == 1


def test_where_all_diverge_what_the_search_left_is_handed_over_or_it_is_said(tmp_path, monkeypatch):
    def diverging():
        prepared = Pretended({5: TrainingError("It diverged.")})
        prepared.afterwards = prepared.scores[5]
        return prepared

    tried = [trial(5, 0.5, 0.9)]
    with pytest.raises(TrainingError, match=r"0\.5 ms was left out: It diverged\."):
        run(training(diverging(), Goal(budget_ms=0.5), tmp_path / "a"), tried)
    keep_trained(tmp_path / "b", tried[0], Network(5))
    monkeypatch.setattr(
        "compressor.pipeline.final.training.trained_network", lambda folder, candidate: Network(5)
    )
    prepared = diverging()
    made = training(prepared, Goal(budget_ms=0.5), tmp_path / "b")
    prepared.fit_deadline = -math.inf
    prepared.scores[5] = 0.9  # as the search left it
    made._dropped[tried[0].candidate.key] = "It diverged."
    assert run(made, tried).scores == (0.9,)


@pytest.fixture(autouse=True)
def readable(monkeypatch):
    monkeypatch.setattr(
        "compressor.pipeline.final.training.load_keras", lambda path: Network(int(path.read_text()))
    )


def four(scores):
    """Four contenders under a budget, of which the search liked the widest most, and the control."""
    prepared = Pretended(scores)
    tried = [trial(width, 0.1 * width, width / 10) for width in (5, 4, 3, 2)]
    return prepared, [*tried, trial(1, 0.1, 0.05)]


def contest(prepared, tried, folder, deadline=math.inf, **options):
    made = training(prepared, Goal(budget_ms=0.5), folder, finalists=4, **options)
    ordered = sorted(tried, key=made._goal.rank, reverse=True)
    control = next(one.candidate for one in tried if one.widths["a"] == 1)
    return made.run(ordered, deadline, silent, control=control)


def test_of_four_the_worse_half_drops_out_again_and_again_and_the_control_never(tmp_path):
    prepared, tried = four({5: 0.7, 4: 0.9, 3: 0.8, 2: 0.95, 1: 0.2})
    chosen = contest(prepared, tried, tmp_path)
    assert [width for width, _ in prepared.trained] == [5, 4, 3, 2, 1, 2, 4, 1, 2, 1]
    assert prepared.epochs == [3] * 5 + [6] * 3 + [21] * 2
    assert (chosen.trial.widths, chosen.steps, chosen.seconds) == ({"a": 2}, 300, 3.0)


@pytest.mark.parametrize(("tolerance", "chosen"), [(0.005, 2), (0.03, 4), (0.2, 4), (1.0, 5)])
def test_of_scores_that_are_not_told_apart_the_lower_loss_stays(tmp_path, tolerance, chosen):
    prepared, tried = four({5: 0.4, 4: 0.93, 3: 0.8, 2: 0.95})
    prepared.tolerance = tolerance
    prepared.losses = {5: 0.1, 4: 0.2, 3: 0.5, 2: 0.3}
    assert contest(prepared, tried, tmp_path).trial.widths == {"a": chosen}


def test_where_time_is_not_limited_four_take_part_however_long_the_search_trained_them(tmp_path):
    prepared, tried = four({5: 0.7, 4: 0.9, 3: 0.8, 2: 0.95})
    made = training(prepared, Goal(budget_ms=0.5), tmp_path, finalists=4, searched=0.2)
    assert run(made, tried[:4]).trial.widths == {"a": 2}


def test_where_time_is_short_one_is_trained_unless_the_first_part_says_more_than_the_search(tmp_path, timed):
    for searched, widths in ((0.0, [5, 4, 5]), (0.2, [5])):
        prepared = timed({})
        contest(prepared, four({})[1], tmp_path / str(searched), 120.0, epoch_seconds=1.0, searched=searched)
        assert [width for width, _ in prepared.trained] == widths


def test_the_steps_of_a_winner_with_further_seeds_are_those_of_all_parts_of_its_first_one(tmp_path):
    for seeds in (1, 3):
        prepared = Pretended({5: 0.90, 4: 0.93})
        made = training(prepared, Goal(budget_ms=0.5), tmp_path / str(seeds), seeds=seeds)
        assert run(made, [trial(5, 0.5, 0.8), trial(4, 0.4, 0.7)]).steps == 300


def test_where_the_control_does_better_than_the_winner_of_the_rest_it_is_handed_over(tmp_path):
    prepared, tried = four({5: 0.7, 4: 0.6, 3: 0.5, 2: 0.4, 1: 0.9})
    assert contest(prepared, tried, tmp_path).trial.widths == {"a": 1}


@pytest.mark.parametrize("finished", [0, 1, 5, 7, 9])
def test_a_contest_that_was_killed_goes_on_as_it_would_have_and_trains_nothing_twice(tmp_path, finished):
    whole, tried = four({5: 0.7, 4: 0.9, 3: 0.8, 2: 0.95, 1: 0.2})
    expected = contest(whole, tried, tmp_path / "whole")

    class Killed(Pretended):
        def fit(self, *arguments, **options):
            if len(self.trained) == finished:
                raise KeyboardInterrupt
            return super().fit(*arguments, **options)

    killed, resumed = Killed(whole.scores), Pretended(whole.scores)
    with pytest.raises(KeyboardInterrupt):
        contest(killed, tried, tmp_path / "killed")
    found = contest(resumed, tried, tmp_path / "killed")
    assert killed.trained + resumed.trained == whole.trained
    assert (found.trial, found.scores, found.steps) == (expected.trial, expected.scores, expected.steps)


@pytest.mark.parametrize(("finished", "widths"), [(0, [5, 4, 3, 2, 1, 5, 4, 1, 5, 1]), (1, [4, 5])])
def test_a_contest_that_was_small_for_want_of_time_stays_so_only_where_a_training_is_finished(
    tmp_path, timed, finished, widths
):
    class Killed(timed):
        def fit(self, *arguments, **options):
            if len(self.trained) == finished:
                raise KeyboardInterrupt
            return super().fit(*arguments, **options)

    _, tried = four({})
    with pytest.raises(KeyboardInterrupt):
        contest(Killed({}), tried, tmp_path, 140.0, epoch_seconds=1.0)
    prepared = timed({})
    contest(prepared, tried, tmp_path, 1100.0, epoch_seconds=1.0)
    assert [width for width, _ in prepared.trained] == widths


@pytest.fixture
def timed(monkeypatch):
    """Makes `Pretended` networks whose epochs take a second each, on a clock that begins at 100."""
    clock = [100.0]
    monkeypatch.setattr("compressor.pipeline.final.training.time.monotonic", lambda: clock[0])

    class Timed(Pretended):
        def __init__(self, scores):
            super().__init__(scores)
            clock[0] = 100.0

        def fit(self, network, schedule, seed, checkpoint, deadline=math.inf, seconds=math.inf):
            took = min(float(schedule.epochs), max(seconds, 1.0))
            clock[0] += took
            found = super().fit(network, schedule, seed, checkpoint, deadline, seconds)
            return replace(found, seconds=took, epoch_s=1.0, share=took / schedule.epochs)

    Timed.clock = clock
    return Timed


def test_time_of_a_training_that_diverged_is_not_expected_beside_later_ones(tmp_path, timed):
    prepared = timed({5: TrainingError("It diverged.")})
    made = training(prepared, Goal(budget_ms=0.5), tmp_path)
    run(made, [trial(5, 0.5, 0.8)])
    assert prepared.clock[0] == 160.0  # twice 30 epochs of a second
    assert made._plan.beside_s == 0.0


@pytest.mark.parametrize(
    ("seconds", "widths", "epochs", "share"),
    [
        (480.0, [50, 71, 84, 92], [120] * 4, 1.0),  # longer than the schedule
        (70.0, [50, 71], [35, 35], 1.0),  # no more than two whole ones fit
        (5.0, [50], [30], 5 / 30),
    ],
)
def test_where_time_is_short_few_are_trained_and_where_there_is_more_each_for_longer(
    tmp_path, timed, seconds, widths, epochs, share
):
    prepared = timed({})
    made = training(prepared, Goal(least_score=0.9), tmp_path, epoch_seconds=1.0)
    run(made, [trial(50, 0.5, 0.95)], resized, deadline=100.0 + seconds)
    assert [width for width, _ in prepared.trained] == widths
    assert prepared.epochs == epochs
    assert made.shortest == pytest.approx(share)
    assert prepared.clock[0] == pytest.approx(100.0 + seconds)


@pytest.mark.parametrize(
    ("tolerance", "widths"), [(0.15, [5, 4, 5]), (0.17, [5, 1, 5]), (0.31, [5, 1, 5]), (0.32, [1])]
)
def test_a_control_that_is_not_surely_behind_takes_part_however_short_time_is_alone_if_it_is_as_good(
    tmp_path, timed, tolerance, widths
):
    prepared, (_, tried) = timed({}), four({})
    prepared.tolerance = tolerance  # the control is 0.45 behind the best one
    contest(prepared, tried, tmp_path, 140.0, epoch_seconds=1.0)
    assert [width for width, _ in prepared.trained] == widths


@pytest.mark.parametrize(
    ("score", "tolerance", "widths"),
    [(0.41, 0.01, [5, 1, 5]), (0.39, 0.01, [5, 4, 5]), (0.41, 0.0, [5, 4, 5])],
)
def test_a_control_takes_part_that_is_surely_behind_by_no_more_than_short_training_favours_few_layers(
    tmp_path, timed, score, tolerance, widths
):
    prepared = timed({})
    prepared.tolerance = tolerance  # none is known of a score that is no share of rows
    tried = [*(trial(width, 0.1 * width, 0.45 + width / 100) for width in (5, 4, 3, 2)), trial(1, 0.1, score)]
    contest(prepared, tried, tmp_path, 140.0, epoch_seconds=1.0)
    assert [width for width, _ in prepared.trained] == widths


@pytest.mark.parametrize(
    ("seconds", "widths"),
    [
        (1000.0, [5, 4, 3, 2, 1, 5, 4, 1, 5, 1]),
        (62.0, [5, 4, 3, 2, 1, 5, 4, 3, 5, 4, 5]),  # the control drops out like others
        (40.0, [5, 4, 5]),  # no more than two whole schedules fit
        (20.0, [5, 4, 5]),
        (0.0, [5]),
    ],
)
def test_as_many_take_part_in_a_contest_as_time_allows_and_it_ends_in_time(tmp_path, timed, seconds, widths):
    prepared, tried = four({})
    prepared = timed(prepared.scores)
    made = contest(prepared, tried, tmp_path, 100.0 + seconds, epoch_seconds=1.0)
    assert [width for width, _ in prepared.trained] == widths
    assert prepared.clock[0] <= 100.0 + max(seconds, len(widths)) + 1e-6
    if seconds:
        assert prepared.clock[0] >= 100.0 + min(0.95 * seconds, 8 * 30 * 2.5)
    assert made.met


@pytest.mark.parametrize(("seconds", "share"), [(5.0, 5 / 30), (60.0, 1.0)])
def test_who_goes_on_knows_which_share_of_its_schedule_a_finished_training_got(
    tmp_path, timed, seconds, share
):
    for _ in range(2):
        prepared = timed({})
        made = training(prepared, Goal(budget_ms=0.5), tmp_path, epoch_seconds=1.0)
        run(made, [trial(5, 0.5, 0.8)], deadline=100.0 + seconds)
        assert made.shortest == pytest.approx(share)
    assert prepared.trained == []


def test_while_it_is_not_known_what_an_epoch_takes_contenders_are_trained_equally_long(tmp_path, timed):
    prepared, (tried) = timed({}), four({})[1]
    made = training(prepared, Goal(budget_ms=0.5), tmp_path, finalists=4)
    control = tried[-1].candidate
    made.run(sorted(tried, key=made._goal.rank, reverse=True), 1100.0, silent, control=control)
    assert prepared.epochs[:5] == [3] * 5
    assert made.shortest == 1.0


def test_what_an_epoch_takes_is_known_of_trainings_that_an_earlier_run_finished(tmp_path, timed):
    for deadline, epochs in ((130.0, [30]), (340.0, [120, 120])):
        prepared = timed({5: 0.95})
        made = training(prepared, Goal(least_score=0.9), tmp_path, seeds=1 if deadline == 130.0 else 3)
        run(made, [trial(5, 0.5, 0.95)], deadline=deadline)
        assert prepared.epochs == epochs


def test_time_for_the_other_seeds_of_the_choice_is_kept(tmp_path, timed):
    prepared = timed(dict.fromkeys((50, 35, 24, 17), 0.95))
    made = training(prepared, Goal(least_score=0.9), tmp_path, seeds=2, epoch_seconds=1.0)
    chosen = run(made, [trial(50, 0.5, 0.95)], resized, deadline=225.0)
    assert prepared.trained == [(50, 0), (35, 0), (24, 0), (24, 1)]
    assert len(chosen.scores) == 2


def test_where_nothing_that_was_trained_keeps_the_score_a_network_of_the_search_that_does_is_handed_over(
    tmp_path, timed, monkeypatch
):
    # Another machine tried the first and left no weights; there is time to train it, and no other.
    monkeypatch.setattr(
        "compressor.pipeline.final.training.trained_network",
        lambda folder, candidate: Network(candidate.widths["a"]),
    )
    tried = [trial(4, 0.4, 0.92), trial(5, 0.5, 0.91)]
    for kept, width, met in ((False, 4, False), (True, 5, True)):
        prepared, folder = timed({4: 0.85, 5: 0.91}), tmp_path / str(kept)
        if kept:
            keep_trained(folder, tried[1], Network(5))
        made = training(prepared, Goal(least_score=0.9), folder, seeds=3, epoch_seconds=1.0)
        chosen = run(made, tried, deadline=103.0)
        assert prepared.trained == [(4, 0)]
        assert (chosen.trial.widths, chosen.met) == ({"a": width}, met)


def test_nothing_is_begun_that_would_not_be_finished_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("compressor.pipeline.final.training.time.monotonic", lambda: 100.0)
    made = training(Pretended({5: 0.9}), Goal(budget_ms=0.5), tmp_path, epoch_seconds=2.0)
    assert made.one(trial(5, 0.5, 0.8), 159.0, silent) is None
    assert made.one(trial(5, 0.5, 0.8), 161.0, silent) is not None


def test_measured_times_are_compared_with_the_budget_and_reported(tmp_path):
    prepared = Pretended({5: 0.99, 4: 0.9})
    notes = []
    goal = Goal(budget_ms=0.5)
    made = training(prepared, goal, tmp_path, steer="measured")
    tried = [measured(5, 0.4, 0.6, 0.9), measured(4, 0.7, 0.45, 0.8)]
    chosen = made.run(
        sorted(tried, key=goal.rank, reverse=True), float("inf"), lambda _, note: notes.append(note)
    )
    assert chosen.trial.widths == {"a": 4}
    assert chosen.met
    assert notes == ["fine-tuning 0.45 ms, seed 0"]
    over = run(training(Pretended({5: 0.99}), goal, tmp_path / "over"), [measured(5, 0.4, 0.6, 0.9)])
    assert not over.met


def test_measured_times_decide_which_is_faster_and_whether_anything_was_gained(tmp_path):
    goal = Goal(least_score=0.9)
    prepared = Pretended({5: 0.95, 4: 0.95})
    prepared.original = replace(ORIGINAL, costs=Costs(1.0, steered_ms=2.0))
    slow, fast = measured(5, 0.3, 1.9, 0.95), measured(4, 0.9, 1.5, 0.95)
    assert run(training(prepared, goal, tmp_path), [slow, fast]).trial.widths == {"a": 4}
    assert not run(training(prepared, goal, tmp_path / "b"), [measured(5, 0.3, 2.1, 0.95)]).met


def widening(scores, folder, goal=None, seeds=1, later=None):
    prepared = Pretended(scores, later)
    return prepared, training(prepared, goal or Goal(least_score=0.9), folder, seeds, finalists=1)


def test_where_no_finalist_keeps_the_score_wider_ones_are_trained_until_one_does(tmp_path):
    prepared, made = widening({100: 0.85, 143: 0.88, 204: 0.93}, tmp_path)
    chosen = run(made, [trial(100, 0.3, 0.92)], resized)
    assert prepared.trained == [(100, 0), (143, 0), (204, 0), (171, 0), (187, 0)]
    assert chosen.trial.widths == {"a": 204}
    assert chosen.met


def test_where_the_original_costs_little_more_what_lies_between_is_trained(tmp_path):
    prepared, made = widening({100: 0.85, 112: 0.88, 118: 0.93}, tmp_path)
    chosen = run(made, [trial(100, 0.8, 0.92)], resized)  # a step more than that is more than the original's
    assert prepared.trained == [(100, 0), (112, 0), (118, 0)]
    assert (chosen.trial.widths, chosen.met) == ({"a": 118}, True)


def test_nothing_is_widened_to_the_cost_of_the_original_or_beyond_a_limit(tmp_path):
    prepared, made = widening({100: 0.85}, tmp_path / "a")
    chosen = run(made, [trial(100, 0.98, 0.92)], resized)
    assert prepared.trained == [(100, 0)]
    assert (chosen.trial.widths, chosen.met) == ({"a": 100}, False)
    prepared, made = widening({100: 0.85}, tmp_path / "b", Goal(least_score=0.9, budget_ms=0.32))
    assert not run(made, [trial(100, 0.31, 0.92)], resized).met
    assert prepared.trained == [(100, 0)]


def test_of_those_that_keep_it_the_cheapest_is_taken_that_surely_does(tmp_path):
    prepared = Pretended({4: 0.935, 5: 0.95})
    prepared.error = 0.04
    made = training(prepared, Goal(least_score=0.9), tmp_path)
    chosen = run(made, [trial(5, 0.5, 0.91), trial(4, 0.4, 0.92)])
    assert prepared.trained == [(4, 0), (5, 0)]
    assert (chosen.trial.widths, chosen.met, chosen.sure) == ({"a": 5}, True, True)


def test_a_cheaper_one_that_surely_keeps_the_score_is_taken_though_a_dearer_one_is_far_above(tmp_path):
    # Told apart from the best by far, and yet above the limit by more than its error: more is not asked.
    prepared, made = widening({100: 0.97, 70: 0.86, 84: 0.92}, tmp_path)
    prepared.error = 0.008
    chosen = run(made, [trial(100, 0.9, 0.95)], resized)
    assert prepared.trained == [(100, 0), (70, 0), (84, 0), (77, 0)]
    assert (chosen.trial.widths, chosen.sure) == ({"a": 84}, True)


@pytest.mark.parametrize("near", [0.895, 0.905])
def test_below_a_step_that_came_near_the_limit_the_next_is_in_between(tmp_path, near):
    # 70 neither failed surely nor is it taken: told apart from 100, and not sure.
    prepared, made = widening({100: 0.97, 70: near, 84: 0.93}, tmp_path)
    prepared.error = 0.008
    run(made, [trial(100, 0.9, 0.95)], resized)
    assert prepared.trained[:3] == [(100, 0), (70, 0), (84, 0)]


def test_where_other_seeds_show_that_all_were_lucky_wider_ones_are_trained(tmp_path):
    prepared, made = widening({100: 0.92, 143: 0.95}, tmp_path, seeds=2, later={100: 0.855})
    prepared.error = 0.01
    chosen = run(made, [trial(100, 0.3, 0.92)], resized)
    assert {(100, 1), (143, 1)} <= set(prepared.trained)
    assert (chosen.trial.widths, chosen.met) == ({"a": 143}, True)


def test_a_cheaper_one_that_was_sure_on_one_seed_alone_is_not_taken(tmp_path):
    # With all seeds 70 keeps the limit (0.9047) but not surely, and is told apart from 100.
    prepared, made = widening({100: 0.97, 70: 0.917}, tmp_path, seeds=3, later={70: 0.897})
    prepared.error = 0.008
    chosen = run(made, [trial(100, 0.9, 0.95)], resized)
    assert {(70, 1), (70, 2), (100, 1), (100, 2)} <= set(prepared.trained)
    assert (chosen.trial.widths, chosen.sure) == ({"a": 100}, True)


def test_cheaper_ones_are_trained_below_the_chosen_one_and_then_in_between(tmp_path):
    prepared, made = widening({200: 0.95, 140: 0.95, 98: 0.85, 117: 0.94}, tmp_path)
    prepared.error = 0.02
    chosen = run(made, [trial(200, 0.5, 0.92)], resized)
    assert prepared.trained == [(200, 0), (140, 0), (98, 0), (117, 0), (107, 0)]
    assert chosen.trial.widths == {"a": 117}
    assert chosen.met


def test_nothing_is_narrowed_that_failed_close_below_or_under_a_budget(tmp_path):
    prepared, made = widening({100: 0.95, 131: 0.96, 92: 0.85}, tmp_path / "a")
    tried = [trial(100, 0.5, 0.92), trial(92, 0.46, 0.91)]
    assert run(made, tried, resized).trial.widths == {"a": 100}
    assert prepared.trained == [(92, 0), (131, 0), (100, 0)]
    prepared, made = widening({10: 0.95}, tmp_path / "b", Goal(budget_ms=0.6))
    assert run(made, [trial(10, 0.5, 0.92)], resized).met
    assert prepared.trained == [(10, 0)]


def test_where_other_seeds_show_that_a_narrower_one_was_lucky_another_is_taken(tmp_path):
    prepared, made = widening({200: 0.95, 140: 0.95}, tmp_path, seeds=2, later={140: 0.5})
    prepared.error = 0.01
    shown = []
    chosen = run(made, [trial(200, 0.5, 0.92)], resized, progress=lambda done, note: shown.append(done))
    assert shown == sorted(shown)
    below = [(200, 0), (140, 0), (98, 0), (117, 0), (128, 0), (140, 1)]
    assert prepared.trained == [*below, (167, 0), (183, 0), (200, 1)]
    assert (chosen.trial.widths, chosen.met, len(chosen.scores)) == ({"a": 200}, True, 2)


@pytest.mark.parametrize("score", [0.905, 0.85])
def test_where_no_network_lies_between_nothing_is_counted_twice(tmp_path, score):
    # Half as wide is all there is below 16.
    prepared = Pretended({16: 0.93, 8: score})
    prepared.error = 0.012
    asked = []

    def in_proportion(one, ratio):
        asked.append(ratio)
        return trial(8, 0.3, 0.0)

    chosen = run(training(prepared, Goal(least_score=0.9), tmp_path), [trial(16, 0.6, 0.92)], in_proportion)
    assert chosen.trial.widths == {"a": 16}
    assert asked == pytest.approx([0.7, 0.5**0.5, 0.5**0.25, 0.5**0.125])
    assert prepared.trained == [(16, 0), (8, 0)]


def test_an_error_that_is_not_known_ends_nothing(tmp_path):
    prepared, made = widening({20: 0.95, 28: 0.94}, tmp_path)
    prepared.error = float("nan")
    assert run(made, [trial(20, 0.5, 0.92)], resized).met


def test_a_network_that_was_trained_before_counts_though_time_is_short(tmp_path, monkeypatch):
    scores = {200: 0.95, 140: 0.95}
    _, made = widening(scores, tmp_path)
    assert run(made, [trial(200, 0.5, 0.92)], resized).trial.widths == {"a": 140}
    again, made = widening(scores, tmp_path)
    made._plan.epoch_s = 1.0
    monkeypatch.setattr("compressor.pipeline.final.training.time.monotonic", lambda: 100.0)
    assert run(made, [trial(200, 0.5, 0.92)], resized, deadline=100.0).trial.widths == {"a": 140}
    assert again.trained == []


@pytest.mark.parametrize("finished", range(9))
def test_killed_at_any_point_it_goes_on_as_it_would_have_and_trains_nothing_twice(tmp_path, finished):
    scores, later = {200: 0.95, 140: 0.95}, {140: 0.5}
    whole, made = widening(scores, tmp_path / "whole", seeds=2, later=later)
    expected = run(made, [trial(200, 0.5, 0.92)], resized)

    class Killed(Pretended):
        def fit(self, *arguments, **options):
            if len(self.trained) == finished:
                raise KeyboardInterrupt
            return super().fit(*arguments, **options)

    goal = Goal(least_score=0.9)
    killed = Killed(scores, later)
    if finished < len(whole.trained):
        with pytest.raises(KeyboardInterrupt):
            run(training(killed, goal, tmp_path / "killed", 2), [trial(200, 0.5, 0.92)], resized)
    resumed = Pretended(scores, later)
    found = run(training(resumed, goal, tmp_path / "killed", 2), [trial(200, 0.5, 0.92)], resized)
    assert killed.trained + resumed.trained == whole.trained
    assert (found.trial, found.scores) == (expected.trial, expected.scores)


class InPrecisions(Pretended):
    """With files of two precisions; one of the seeds cannot be converted to int8, or has that alone."""

    precisions = ("float32", "int8")

    def __init__(self, by_seed):
        super().__init__({5: 0.9})
        self.by_seed = iter(by_seed)

    def in_precisions(self, judged, model):
        return {
            name: replace(judged, configuration=judged.configuration.with_precision(name), score=score)
            for name, score in next(self.by_seed).items()
        }


@pytest.mark.parametrize(
    ("by_seed", "precision", "scores"),
    [
        ([{"float32": 0.8, "int8": 0.9}, {"float32": 0.7}], "float32", (0.8, 0.7)),
        ([{"float32": 0.8}, {"float32": 0.7, "int8": 0.9}], "float32", (0.8, 0.7)),
        ([{"float32": 0.8}, {"int8": 0.9}], "float32", (0.8,)),
    ],
)
def test_only_precisions_that_all_seeds_have_are_compared(tmp_path, monkeypatch, by_seed, precision, scores):
    monkeypatch.setattr("compressor.pipeline.final.training.load_keras", lambda path: None)
    prepared = InPrecisions([by_seed[0], by_seed[1]])
    chosen = run(training(prepared, Goal(budget_ms=0.5), tmp_path, seeds=2), [trial(5, 0.5, 0.8)])
    assert chosen.trial.configuration.precision == precision
    assert chosen.scores == scores


def test_a_network_in_another_precision_says_how_long_it_was_trained(tmp_path):
    class Faster(InPrecisions):
        def in_precisions(self, judged, model):
            found = super().in_precisions(judged, model)
            return found | {"int8": replace(found["int8"], costs=Costs(0.2))}

    made = training(Faster([{"float32": 0.9, "int8": 0.8}]), Goal(budget_ms=0.5), tmp_path)
    chosen = run(made, [trial(5, 0.5, 0.8)])
    (other,) = made.others([chosen])
    assert (other.trial.configuration.precision, other.scores) == ("int8", (0.8,))
    assert (other.steps, other.epochs, other.seconds) == (chosen.steps, chosen.epochs, chosen.seconds)
    assert other.steps == 300
