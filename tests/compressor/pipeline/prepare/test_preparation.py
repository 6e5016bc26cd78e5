"""How candidates are judged where time is short, on a clock that only training moves."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compressor.costs import Configuration, Costs
from compressor.pipeline.prepare import Evaluator
from compressor.pipeline.prepare.preparation import known_of
from compressor.search import Candidate, Effort, Goal, SearchOverError
from compressor.testing.device import FormulaTimeModel
from compressor.training import Outcome, Schedule
from profiler.errors import UsageError
from profiler.network import Network
from profiler.operators import unary

SCHEDULE = Schedule(epochs=4)


@pytest.fixture
def evaluator(monkeypatch):
    """An evaluator whose epochs take as long as `seconds` says."""
    now = [100.0]
    monkeypatch.setattr("compressor.pipeline.prepare.judging.time.monotonic", lambda: now[0])

    def fit(model, schedule, seed, deadline, on_epoch, seconds):
        on_epoch(0, 0.1)
        made.asked.append((schedule.epochs, schedule.most_rows))
        if schedule.epochs * made.seconds > seconds:
            now[0] += seconds
            share = seconds / (schedule.epochs * made.seconds)
            return Outcome(0.5, 0.5, 2, seconds, steps=4, share=share, epoch_s=made.seconds)
        for epoch in range(schedule.epochs):
            if now[0] + made.seconds > deadline:
                return Outcome(0.2, 0.8, epoch, epoch * made.seconds, complete=False)
            now[0] += made.seconds
            on_epoch(epoch + 1, 0.5)
        made.trained += 1
        return Outcome(0.5, 0.5, schedule.epochs, schedule.epochs * made.seconds)

    task = SimpleNamespace(data=SimpleNamespace(x=np.zeros((10, 1))))
    prepared = SimpleNamespace(
        tuner=SimpleNamespace(fit=fit), task=task, network_of=lambda *rest: "a network"
    )
    made = Evaluator(prepared, SCHEDULE, 0)
    made.seconds, made.asked, made.trained, made.now = 1.0, [], 0, now
    return made


CANDIDATE = SimpleNamespace(model=None, key="one")


def test_the_first_candidate_is_fitted_to_half_of_the_time_and_the_others_are_trained_as_long(evaluator):
    told = []
    evaluator.on_shortened = told.append
    evaluator.deadline = evaluator.now[0] + 6.0
    assert evaluator(CANDIDATE) == (0.5, 0.5)
    assert evaluator.now[0] == 103.0
    assert told == [evaluator.share] == [3 / 4]
    assert evaluator.epoch_seconds == 1.0
    assert evaluator(CANDIDATE) == (0.5, 0.5)
    # Two looks of two steps of 32 rows each.
    assert evaluator.asked == [(4, None), (2, 64)]
    with pytest.raises(SearchOverError):
        evaluator(CANDIDATE)
    assert len(told) == 1


def test_what_an_epoch_takes_is_known_of_candidates_of_an_earlier_run(evaluator, tmp_path):
    effort = Effort(tmp_path / "effort.jsonl")
    effort.add("ranking", 1.0, candidates=2)
    effort.add("fine-tuning", 6.0, candidate="one", steps=4)
    schedule = replace(SCHEDULE, batch_size=2)
    assert Evaluator(evaluator._prepared, schedule, 0, tmp_path).epoch_seconds == 7.5  # 5 steps
    assert Evaluator(evaluator._prepared, schedule, 0, tmp_path / "new").epoch_seconds == 0.0


def test_steps_of_a_candidate_that_is_stopped_early_count(evaluator):
    class StoppedError(Exception):
        pass

    def stop(epoch, epochs, score):
        if epoch == 2:
            raise StoppedError

    evaluator.on_epoch, evaluator._schedule = stop, replace(SCHEDULE, batch_size=2, most_rows=8)
    with pytest.raises(StoppedError):
        evaluator(CANDIDATE)
    assert [row["steps"] for row in evaluator.effort.rows] == [8]  # two epochs of 4


def test_a_schedule_that_was_shortened_is_known_to_who_goes_on_or_helps(evaluator, tmp_path):
    evaluator._folder = tmp_path
    evaluator.deadline = evaluator.now[0] + 6.0
    helper = Evaluator(evaluator._prepared, SCHEDULE, 0, tmp_path)  # begun before the schedule was shortened
    helper.judges_first = False
    evaluator(CANDIDATE)
    helper(CANDIDATE)
    assert evaluator.asked == [(4, None), (2, 64)]
    assert helper.share == evaluator.share == 3 / 4
    later = Evaluator(evaluator._prepared, SCHEDULE, 0, tmp_path)
    later.judges_first = False
    later.follow()
    assert later.share == 3 / 4


def test_who_begins_anew_does_not_go_by_an_earlier_schedule(evaluator, tmp_path):
    evaluator._folder = tmp_path
    evaluator.deadline = evaluator.now[0] + 6.0
    evaluator(CANDIDATE)
    later = Evaluator(evaluator._prepared, SCHEDULE, 0, tmp_path)
    later(CANDIDATE)
    later.judges_first = False
    later(CANDIDATE)
    assert evaluator.asked == [(4, None)] * 3


def test_what_helpers_spent_counts(evaluator, tmp_path):
    made = Evaluator(evaluator._prepared, SCHEDULE, 0, tmp_path)
    made.effort.add("fine-tuning", 2.0, candidate="a", steps=4)
    Effort.of_helper(tmp_path).add("fine-tuning", 3.0, candidate="b", steps=5)
    assert made.spent({}, None, [])["phases"]["fine-tuning"] == {"seconds": 5.0, "steps": 9, "count": 2}


@pytest.mark.parametrize(("left", "begun"), [(3.5, False), (4.5, True)])
def test_no_candidate_is_begun_that_would_not_be_finished_in_time(evaluator, left, begun):
    evaluator.deadline = math.inf
    evaluator(CANDIDATE)
    before = evaluator.now[0]
    evaluator.deadline = before + left
    if begun:
        evaluator(CANDIDATE)
    else:
        with pytest.raises(SearchOverError):
            evaluator(CANDIDATE)
        assert evaluator.now[0] == before
    assert evaluator.trained == 1 + begun


def test_a_candidate_that_time_cut_does_not_count(evaluator):
    evaluator(CANDIDATE)
    evaluator.deadline = evaluator.now[0] + 5.0
    evaluator.seconds = 2.0  # the machine became busy
    with pytest.raises(SearchOverError):
        evaluator(CANDIDATE)
    assert evaluator.trained == 1


def test_who_only_helps_leaves_even_the_first_to_the_others(evaluator):
    evaluator.judges_first = False
    evaluator.deadline = 102.0
    with pytest.raises(SearchOverError):
        evaluator(CANDIDATE)


@pytest.mark.parametrize(("left", "begun"), [(6.5, False), (7.5, True)])
def test_what_building_a_network_and_judging_its_files_take_counts_too(evaluator, left, begun):
    now, prepared = evaluator.now, evaluator._prepared

    def build(*given):
        now[0] += 1.0
        return "a network"

    def in_precisions(trial, model):
        now[0] += 2.0
        return {"int8": trial}

    prepared.network_of, prepared.in_precisions, prepared.precisions = build, in_precisions, {"int8": None}
    prepared.costs = lambda configuration: Costs(1.0)
    evaluator.goal = Goal(budget_ms=1.0)
    candidate = Candidate(Configuration({"a": 1}))
    evaluator(candidate)
    evaluator.deadline = now[0] + left
    if begun:
        evaluator(candidate)
    else:
        with pytest.raises(SearchOverError):
            evaluator(candidate)
    assert evaluator.trained == 1 + begun


def test_a_network_whose_time_is_not_all_known_is_refused_and_what_is_left_to_the_cpu_noted():
    model = FormulaTimeModel()
    found = model.predict(Network("net", (unary("relu", (1, 8)), unary("tanh", (1, 8)))))
    first, second = found.layers
    assert known_of(found) == []
    assert "never measured tanh" in known_of(replace(found, uncovered=("tanh",)))[0]
    unknown = replace(second, known=False, covered=False, reason="never measured on this device")
    with pytest.raises(UsageError, match=r"Not all of the time of net is known .* tanh \(never measured"):
        known_of(replace(found, layers=(first, unknown), uncovered=("tanh",), at_least=True))
    left = replace(second, known=False, covered=False, left="no such operator there")
    (note,) = known_of(replace(found, layers=(first, left), uncovered=("tanh",), at_least=True))
    assert "leaves tanh to the CPU" in note
