"""What one process does for a search; several are in pipeline/shared/test_processes."""

import contextlib
import math
from collections import Counter

import optuna
import pytest

from compressor.search import Goal, SearchOverError, Trial
from compressor.search.optuna import OptunaSearch
from compressor.search.optuna.proposals import Proposer
from compressor.search.optuna.storage import open_storage
from compressor.search.optuna.study import BEING_TRIED, SharedStudy
from compressor.testing.workbench import WIDTHS, StaircaseTimes, make_problem, synthetic

GOAL = Goal(budget_ms=0.03)


def study_in(folder):
    return optuna.load_study(study_name="widths", storage=open_storage(None, folder))


def test_score_time_and_size_are_searched_together(tmp_path):
    OptunaSearch(trials=9).run(make_problem(GOAL, tmp_path))
    study = study_in(tmp_path)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    kinds = Counter(trial.user_attrs["kind"] for trial in study.trials)
    assert kinds["propose"] >= 4
    assert kinds["front"] >= 1
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            kept = Trial.from_dict(trial.user_attrs["trial"])
            assert trial.values[1:] == [kept.predicted_ms, kept.costs.size_bytes]


def test_the_costs_are_those_that_the_goal_names(tmp_path):
    bench = synthetic()
    goal = Goal(most_memory_bytes=bench.between(0.5, "memory"), budget_ms=bench.between(0.5))
    OptunaSearch(trials=4).run(bench.problem(goal, tmp_path))
    trial = study_in(tmp_path).best_trials[0]
    kept = Trial.from_dict(trial.user_attrs["trial"])
    assert trial.values[1:] == [kept.predicted_ms, kept.costs.memory_bytes]


def trained(problem, epochs=6):
    """Let the judge report its epochs, as training does: from 0.2 below the score at the end, evenly."""
    judge, reported = problem.evaluate, []

    def training(candidate):
        score, loss = judge(candidate)
        for epoch in range(epochs + 1):
            reported.append((tuple(candidate.widths.values()), epoch))
            problem.on_epoch(epoch, epochs, score - 0.2 * (1 - epoch / epochs))
        return score, loss

    problem.evaluate = training
    return reported


def test_poor_trials_are_stopped_after_a_third_and_recorded(tmp_path):
    problem = make_problem(GOAL, tmp_path)
    reported = trained(problem)
    best = OptunaSearch(trials=30).run(problem)
    study = study_in(tmp_path)
    stopped = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert stopped
    assert len(best) + len(stopped) == 30
    for trial in stopped:
        widths = tuple(trial.user_attrs["widths"].values())
        assert max(epoch for asked, epoch in reported if asked == widths) == 2
        hoped = trial.user_attrs["early_score"] + 0.2 * 4 / 6
        better = [
            t for t in best if t.score > hoped and t.predicted_ms <= 1.02 * trial.user_attrs["costs"][0]
        ]
        assert better
        assert trial.user_attrs["widths"] not in [t.widths for t in best]
    whole = OptunaSearch(trials=30).run(make_problem(GOAL))
    assert best[0].score >= whole[0].score - 0.005  # stopping did not cost the best


def test_stopped_trials_are_not_tried_again_after_an_interruption(tmp_path):
    first = make_problem(GOAL, tmp_path)
    trained(first)
    OptunaSearch(trials=30).run(first)
    again = make_problem(GOAL, tmp_path, known=first.trials)
    OptunaSearch(trials=30).run(again)
    assert again.evaluate.asked == []


def test_more_trials_go_on_where_fewer_ended(tmp_path):
    first = make_problem(GOAL, tmp_path)
    OptunaSearch(trials=4).run(first)
    second = make_problem(GOAL, tmp_path, known=first.trials)
    OptunaSearch(trials=7).run(second)
    assert (len(first.evaluate.asked), len(second.evaluate.asked), len(second.trials)) == (4, 3, 7)


def test_a_lost_study_is_made_again_from_the_trials(tmp_path):
    first = make_problem(GOAL, tmp_path)
    OptunaSearch(trials=5).run(first)
    (tmp_path / "optuna.db").unlink()
    second = make_problem(GOAL, tmp_path, known=first.trials)
    best = OptunaSearch(trials=7).run(second)
    assert len(second.evaluate.asked) == 2
    assert len(best) == 7
    assert not set(second.evaluate.asked) & set(first.evaluate.asked)


def test_what_others_finished_is_adopted(tmp_path):
    OptunaSearch(trials=3).run(make_problem(GOAL, tmp_path))
    joiner, adopted = make_problem(GOAL, tmp_path), []
    joiner.on_adopted = adopted.append
    trials = OptunaSearch(trials=3, leads=False).run(joiner)
    assert joiner.evaluate.asked == []
    assert sorted(t.score for t in adopted) == sorted(t.score for t in trials)
    assert len(trials) == 3


def test_a_helper_stops_when_the_leading_process_has_ended_the_search(tmp_path):
    OptunaSearch(trials=3, about={"it": 1}).run(make_problem(GOAL, tmp_path))
    helper = make_problem(GOAL, tmp_path)
    OptunaSearch(trials=9, leads=False).run(helper)
    assert helper.evaluate.asked == []


def test_the_trial_of_a_process_that_is_gone_is_tried_again(tmp_path):
    study = SharedStudy(None, tmp_path, "widths", 2)
    study.ask("propose", 0.02, dict.fromkeys(WIDTHS, 0.5))
    study.close()
    problem = make_problem(GOAL, tmp_path)
    trials = OptunaSearch(trials=3, beat_s=1, grace_s=1).run(problem)
    states = Counter(trial.state.name for trial in study_in(tmp_path).trials)
    assert len(trials) == states["COMPLETE"] == 3
    assert states["RUNNING"] == 0
    assert states["FAIL"] >= 1


def test_no_candidate_passes_the_budget_where_fast_estimates_are_too_low():
    class Rough(StaircaseTimes):
        """Whose estimates are a tenth too low for wide networks."""

        def many(self, configurations):
            shares = [0.9 if one.widths["b"] > 16 else 1.0 for one in configurations]
            return super().many(configurations) * shares

    problem = make_problem(GOAL)
    problem.cost = Rough()
    trials = OptunaSearch(trials=8).run(problem)
    assert all(trial.predicted_ms <= 0.03 for trial in trials)


def test_diverged_trials_do_not_end_a_shared_search(tmp_path):
    problem = make_problem(GOAL, tmp_path)
    problem.evaluate = lambda candidate: (-math.inf, math.inf)
    assert len(OptunaSearch(trials=4).run(problem)) == 4


@pytest.mark.parametrize("goal", [GOAL, Goal(least_score=0.9)])
def test_many_trials_end_though_there_are_few_widths(goal):
    bench = synthetic({"only": 12})
    goal = Goal(budget_ms=bench.between(0.6)) if goal is GOAL else goal
    problem = bench.problem(goal)
    assert OptunaSearch(trials=20, proxy_trials=4).run(problem)
    assert len(problem.evaluate.asked) <= 12


def voids(folder, count, reason):
    """Leave a study with so many trials that came to nothing."""
    study = SharedStudy(None, folder, "widths", 2)
    for number in range(count):
        asked = study.ask("aim", 0.02, dict.fromkeys(WIDTHS, 0.5 + 0.1 * number))
        asked.suggest_float("level", 0.01, 0.03, log=True)
        for name in WIDTHS:
            asked.suggest_float(f"share:{name}", 0.05, 1.0, log=True)
        if reason == BEING_TRIED:
            assert study.claim(asked, {"a": 1, "b": 1, "c": number + 1}, 0.02, (0.02, 1.0))
        study.void(asked, reason)
    return study


def test_where_no_proposal_comes_to_anything_one_network_is_there_to_go_on_with(monkeypatch):
    monkeypatch.setattr(Proposer, "configuration", lambda self, level, shares: None)
    within, least = make_problem(GOAL), make_problem(Goal(least_score=0.9))
    OptunaSearch(trials=2).run(within)
    OptunaSearch(trials=2).run(least)
    assert [trial.predicted_ms <= 0.03 for trial in within.trials] == [True]
    assert [trial.widths for trial in least.trials] == [WIDTHS]


def test_a_lost_trial_is_tried_though_much_came_to_nothing(tmp_path):
    study = voids(tmp_path, 4, "tried before")
    lost = study.ask("aim", 0.02, dict.fromkeys(WIDTHS, 0.5))
    lost.suggest_float("level", 0.01, 0.03, log=True)
    with contextlib.suppress(KeyboardInterrupt), study.working_on(lost):
        raise KeyboardInterrupt
    study.close()
    states = [trial.state.name for trial in study_in(tmp_path).trials]
    assert states == ["FAIL"] * 5 + ["WAITING"]
    problem = make_problem(GOAL, tmp_path)
    OptunaSearch(trials=1).run(problem)
    assert len(problem.evaluate.asked) == 1


def test_trials_that_yielded_do_not_end_a_search(tmp_path):
    voids(tmp_path, 4, BEING_TRIED).close()
    problem = make_problem(GOAL, tmp_path)
    OptunaSearch(trials=1).run(problem)
    assert len(problem.evaluate.asked) == 1


def test_what_others_finish_during_the_last_trial_counts(tmp_path):
    problem = make_problem(GOAL, tmp_path)

    def until_the_deadline(candidate):
        helper = make_problem(GOAL, tmp_path, seed=1)
        helper.on_trial = lambda trial: setattr(helper, "deadline", 0.0)
        OptunaSearch(trials=5, leads=False).run(helper)
        found.extend(helper.trials)
        raise SearchOverError

    found = []
    problem.evaluate = until_the_deadline
    assert OptunaSearch(trials=5).run(problem) == found
    assert len(found) == 1


def test_a_trial_that_others_gave_up_meanwhile_costs_nothing(tmp_path):
    """As where a machine was asleep for longer than the others waited."""
    problem = make_problem(GOAL, tmp_path)
    costs, given_up = problem.costs, []

    def sleepy(widths):
        if not given_up and (tmp_path / "optuna.db").exists():
            study = study_in(tmp_path)
            given_up.extend(trial for trial in study.trials if trial.state.name == "RUNNING")
            study.tell(given_up[0].number, state=optuna.trial.TrialState.FAIL)
        return costs(widths)

    problem.costs = sleepy
    assert len(OptunaSearch(trials=3).run(problem)) == 3
    assert len(given_up) == 1
