"""What one process does in a study that it shares with others."""

import contextlib
import threading
import time

import optuna
import pytest
from sqlalchemy import text

from compressor.costs import Configuration, Costs
from compressor.search import Trial
from compressor.search.optuna.study import SharedStudy


def shared(folder, leads=False):
    return SharedStudy(None, folder, "widths", 1, leads)


@pytest.fixture
def two(tmp_path):
    """Two processes' views of one study."""
    first, second = shared(tmp_path, True), shared(tmp_path)
    yield first, second
    first.close()
    second.close()


def take_up(study, share=0.5):
    asked = study.ask("aim", 1.0, {"a": share})
    asked.suggest_float("level", 0.5, 2.0, log=True)
    asked.suggest_float("share:a", 0.05, 1.0, log=True)
    return asked


def silence(study):
    """Let it be long ago that a heartbeat of any trial was recorded."""
    with study.study._storage._backend.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2001-01-01 00:00:00'"))


def heartbeats(study):
    with study.study._storage._backend.engine.begin() as connection:
        return connection.execute(text("SELECT COUNT(*) FROM trial_heartbeats")).scalar()


def lose(study):
    """Let the processes of all trials that run be gone."""
    study.retry_lost()  # it gives those a heartbeat that have none
    silence(study)


def states(study):
    return [trial.state.name for trial in study.study.get_trials()]


def test_of_two_who_choose_the_same_network_one_begins(two):
    first, second = two
    widths = {"a": 3}
    early, late = first.ask("aim", 1.0, {"a": 0.5}), second.ask("aim", 1.0, {"a": 0.6})
    # The later trial has begun by the time that the earlier one has chosen.
    assert second.claim(late, widths, 1.0, (1.0,))
    assert not first.claim(early, widths, 1.0, (1.0,))
    first.void(early, "being tried")
    second.finish(late, Trial(Configuration(widths), Costs(1.0), 0.9, 0.1), (0.9, 1.0), None)
    # Nor is one begun that has ended since.
    again = first.ask("aim", 1.0, {"a": 0.7})
    assert not first.claim(again, widths, 1.0, (1.0,))


def test_the_later_of_two_yields_before_either_begins(two):
    first, second = two
    early, late = first.ask("aim", 1.0, {"a": 0.5}), second.ask("aim", 1.0, {"a": 0.6})
    early.set_user_attr("widths", {"a": 3})
    assert not second.claim(late, {"a": 3}, 1.0, (1.0,))
    assert first.claim(early, {"a": 3}, 1.0, (1.0,))


def test_of_two_who_look_before_either_has_begun_one_begins(two):
    """The earlier one says its widths and begins after the later one looked, before that one has begun."""
    first, second = two
    early, late = take_up(first), take_up(second)
    look, looks = second.trials, []

    def trials():
        looks.append(look())
        if len(looks) == 1:
            claimed.append(first.claim(early, {"a": 3}, 1.0, (1.0,)))
        return looks[-1]

    claimed = []
    second.trials = trials
    assert not second.claim(late, {"a": 3}, 1.0, (1.0,))
    assert claimed == [True]


def test_the_later_one_begins_where_the_earlier_one_yields_to_it(two):
    """The earlier one has said its widths, but sees that the later one has begun."""
    first, second = two
    early, late = take_up(first), take_up(second)
    look, looks = second.trials, []

    def trials():
        found = look()
        looks.append(found)
        if len(looks) == 1:
            early.set_user_attr("widths", {"a": 3})
        elif len(looks) == 3:
            threading.Thread(target=first.void, args=(early, "being tried")).start()
        return found

    second.trials = trials
    assert second.claim(late, {"a": 3}, 1.0, (1.0,))
    assert len(looks) > 3


def test_a_lost_trial_is_queued_again_with_its_parameters(two):
    first, second = two
    take_up(first, 0.3)
    lose(first)
    second.retry_lost()
    assert states(first) == ["FAIL", "WAITING"]
    assert first.trials() == []
    again = second.ask("aim", 1.0, {"a": 0.9})
    assert again.suggest_float("share:a", 0.05, 1.0, log=True) == 0.3


def test_a_trial_whose_process_ended_before_its_first_heartbeat_is_not_left_running(two):
    first, second = two
    take_up(first)  # and no work on it, during which a heartbeat is recorded
    second.retry_lost()
    assert states(first) == ["RUNNING"]
    silence(second)
    second.retry_lost()
    assert states(first) == ["FAIL", "WAITING"]


def test_a_trial_at_work_has_a_heartbeat(two):
    first, second = two
    asked = take_up(first)
    with first.working_on(asked):
        until = time.monotonic() + 60
        while not heartbeats(second):
            assert time.monotonic() < until, "no heartbeat"
            time.sleep(0.01)
        first.finish(asked, Trial(Configuration({"a": 3}), Costs(1.0), 0.9, 0.1), (0.9, 1.0), None)
    silence(second)
    second.retry_lost()
    assert states(first) == ["COMPLETE"]


def test_of_two_who_look_for_lost_trials_one_queues_them(two, monkeypatch):
    first, second = two
    take_up(first)
    lose(first)
    storage = second.study._storage
    find = type(storage)._get_stale_trial_ids

    def found(self, study_id):
        stale = find(self, study_id)
        if self is storage:
            first.retry_lost()  # after the second one looked, before that one gives the trial up
        return stale

    monkeypatch.setattr(type(storage), "_get_stale_trial_ids", found)
    second.retry_lost()
    assert states(first) == ["FAIL", "WAITING"]


def test_a_lost_trial_does_not_yield_to_what_its_process_began(two):
    first, second = two
    dead = take_up(first)
    assert first.claim(dead, {"a": 3}, 1.0, (1.0,))
    lose(first)
    second.retry_lost()
    again = take_up(second)
    assert again.params == dead.params
    # Nor does an earlier one yield to it before it has begun itself.
    assert [one.begun for one in second.trials()] == [False]
    assert second.claim(again, {"a": 3}, 1.0, (1.0,))


def test_a_trial_that_is_stopped_waits_for_others(two):
    first, second = two
    with contextlib.suppress(KeyboardInterrupt), first.working_on(take_up(first, 0.3)):
        raise KeyboardInterrupt
    assert states(second) == ["FAIL", "WAITING"]
    assert take_up(second, 0.9).params["share:a"] == 0.3


def test_stopping_a_trial_is_not_counted_as_losing_it(two):
    first, _ = two
    for _ in range(6):
        with contextlib.suppress(KeyboardInterrupt), first.working_on(take_up(first, 0.3)):
            raise KeyboardInterrupt
    assert states(first) == ["FAIL"] * 6 + ["WAITING"]
    assert first.trials() == []


def test_work_on_a_trial_that_others_gave_up_ends_quietly(two):
    first, second = two
    asked = take_up(first)
    with first.working_on(asked):
        second.study.tell(asked.number, state=optuna.trial.TrialState.FAIL)
        first.finish(asked, Trial(Configuration({"a": 3}), Costs(1.0), 0.9, 0.1), (0.9, 1.0), None)
        raise AssertionError("not reached")
    assert states(first) == ["FAIL"]


def test_a_trial_whose_processes_end_too_often_is_given_up(two):
    first, _ = two
    for _ in range(4):
        take_up(first)
        lose(first)
        first.retry_lost()
    assert states(first) == ["FAIL"] * 4
    assert [one.state for one in first.trials()] == ["void"]
