"""What one process does in a study that it shares with others."""

import threading

import pytest

from compressor.costs import Configuration, Costs
from compressor.search import Trial
from compressor.search.optuna import Owner, SharedStudy

GONE = Owner(Owner.current().machine, 1, "before there was a machine")
"""A process of this machine that has ended: its number was given out again."""


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


def lose(study, asked):
    """Let a trial's process be gone."""
    asked.set_user_attr("owner", {**GONE.to_dict(), "token": "t"})
    study.forget()


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
    second.tell(late, Trial(Configuration(widths), Costs(1.0), 0.9, 0.1), (0.9, 1.0), None)
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
    look, looks = second.past, []

    def past():
        looks.append(look())
        if len(looks) == 1:
            claimed.append(first.claim(early, {"a": 3}, 1.0, (1.0,)))
        return looks[-1]

    claimed = []
    second.past = past
    assert not second.claim(late, {"a": 3}, 1.0, (1.0,))
    assert claimed == [True]


def test_the_later_one_begins_where_the_earlier_one_yields_to_it(two):
    """The earlier one has said its widths, but sees that the later one has begun."""
    first, second = two
    early, late = take_up(first), take_up(second)
    look, looks = second.past, []

    def past():
        found = look()
        looks.append(found)
        if len(looks) == 1:
            early.set_user_attr("widths", {"a": 3})
        elif len(looks) == 3:
            threading.Thread(target=first.void, args=(early, "being tried")).start()
        return found

    second.past = past
    assert second.claim(late, {"a": 3}, 1.0, (1.0,))
    assert len(looks) > 3


def test_a_lost_trial_waits_before_it_is_given_up(two, monkeypatch):
    """Else another process could take up something new in its place, and leave it lying there."""
    first, second = two
    lose(first, take_up(first, 0.3))
    seen, storage = [], second.study._storage
    end = type(storage).set_trial_state_values

    def spy(self, *args, **kept):
        seen.append(states(first))
        return end(self, *args, **kept)

    monkeypatch.setattr(type(storage), "set_trial_state_values", spy)
    assert second.heal() == 1
    assert seen == [["RUNNING", "WAITING"]]
    assert states(first) == ["FAIL", "WAITING"]
    again = take_up(first)
    assert again.params["share:a"] == 0.3


def test_of_two_who_heal_one_queues_the_trial(two):
    first, second = two
    lose(first, take_up(first))
    lost = first.study.get_trials()[0]
    assert first._requeue(lost, 1) == 1
    assert second._requeue(lost, 1) == 0  # it looked before the first one gave it up
    assert states(first) == ["FAIL", "WAITING", "FAIL"]
    assert len(first.past()) == 0


def test_a_lost_trial_does_not_yield_to_what_its_process_began(two):
    first, second = two
    dead = take_up(first)
    assert first.claim(dead, {"a": 3}, 1.0, (1.0,))
    lose(first, dead)
    # Queued by one that is killed before it can give the dead one up.
    second.study.enqueue_trial(dict(dead.params), user_attrs={"retry": 1, "again": dead.number})
    again = take_up(second)
    assert again.user_attrs["retry"] == 1
    assert second.claim(again, {"a": 3}, 1.0, (1.0,))


def test_a_lost_trial_that_is_one_too_many_goes_on_waiting(two):
    first, second = two
    lose(first, take_up(first, 0.3))
    second.heal()
    second.drop(take_up(second))
    assert states(first)[-1] == "WAITING"
    first.drop(take_up(first))
    fresh = take_up(first, 0.4)
    assert fresh.params["share:a"] == 0.3


def test_a_trial_whose_processes_end_too_often_is_given_up(two):
    first, _ = two
    for _ in range(4):
        lose(first, take_up(first))
        assert first.heal() == 1
    assert states(first) == ["FAIL"] * 4
    assert [one.state for one in first.past()] == ["void"]
