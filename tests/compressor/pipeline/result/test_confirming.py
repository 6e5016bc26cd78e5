"""Rows that were kept aside test points in turn: what is handed over, and what is claimed of it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from compressor.costs import Configuration, Costs
from compressor.data import Data
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare.aside import keep_aside, least_aside
from compressor.pipeline.result.comparing import Loss, Losses, recommendations
from compressor.pipeline.result.confirming import confirm, order_of_tests, passed_in_turn
from compressor.pipeline.result.files import PointFiles
from compressor.pipeline.result.promise import promise_of
from compressor.search import Trial
from compressor.training import Task

TASK = Task("softmax", Data(x=np.zeros((2, 1)), y=np.zeros(2, np.int64)))


def claim(lost, rows=1000, asked=0.02):
    """The claim on a network that is wrong on `lost` rows more than the original."""
    y = np.zeros(rows, np.int64)
    before, after = (np.eye(2)[np.where(np.arange(rows) < wrong, 1, 0)] for wrong in (20, 20 + lost))
    return promise_of(TASK, before, after, y, y, None, asked, "validation", no_tighter=True)


def test_points_are_tested_the_dearest_first_and_none_that_another_beats():
    assert order_of_tests([1.0, 2.0, 3.0, 4.0], [0.8, 0.9, 0.85, 0.95]) == [3, 1, 0]
    assert order_of_tests([4.0, 1.0], [0.9, 0.9]) == [1]


def test_nothing_behind_the_first_that_fails_is_looked_at():
    seen = []
    assert passed_in_turn([3, 1, 0], lambda place: seen.append(place) or place == 3) == 1
    assert seen == [3, 1]


@pytest.mark.parametrize(
    ("lost", "place", "passed"),
    [((0, 2, 3), 2, 3), ((0, 2, 60), 1, 2), ((0, 60, 0), 0, 1), ((40, 0, 0), 0, 0)],
)
def test_the_last_one_that_passes_is_handed_over_and_else_the_most_accurate(lost, place, passed):
    found = confirm([0, 1, 2], lambda n: claim(lost[n]))
    assert (found.place, found.passed) == (place, passed)
    assert found.holds == (passed > 0)
    if found.holds:
        assert found.claim.most == 0.02  # no tighter: these rows chose
        assert "at most 2 points of accuracy are lost" in found.claim.sentence
        tested = min(passed + 1, 3)
        assert f"(1,000 validation rows that chose nothing): {passed} of {tested} points" in found.sentence()
    else:
        assert found.claim.most > 0.04
        assert "so the most accurate one of the front is handed over" in found.sentence()


def finalist(name, met):
    trial = Trial(Configuration({"a": 1}), Costs(1.0), 0.9, 0.1)
    return Finalist(trial, (Path(name),), (0.9,), met, 0.1, False)


def test_what_is_confirmed_leads_and_has_reached_the_goal():
    points = confirm([1], lambda n: claim(0)).lead([finalist("a", True), finalist("b", False)])
    assert [str(one.networks[0]) for one in points] == ["b", "a"]
    assert points[0].met
    files = PointFiles(
        {
            "original": Path("o"),
            "point0.seed0": Path("a"),
            "point0.seed1": Path("a1"),
            "point1.seed0": Path("b"),
        },
        places=[(Path("a"), Path("a")), (Path("b"), Path("b"))],
    )
    led = files.lead(1)
    assert led.seeds(0) == ["point0.seed0"]
    assert led.tflite["point0.seed0"] == Path("b")
    assert [led.tflite[name] for name in led.seeds(1)] == [Path("a"), Path("a1")]
    assert led.places[0][0] == Path("b")


def task_of(rows, groups=None):
    x, y = np.arange(rows)[:, None].astype(float), np.arange(rows) % 2
    return Task("softmax", Data(x=x[:2], y=y[:2], x_val=x, y_val=y, groups_val=groups))


def test_half_of_the_validation_rows_are_kept_aside_where_they_could_confirm_something():
    needed = least_aside(TASK, 0.05, groups=False)
    task, aside = keep_aside(task_of(2 * needed + 10), 0.05, 0)
    assert aside.units >= needed
    assert sorted([*task.data.x_val[:, 0], *aside.x[:, 0]]) == list(range(2 * needed + 10))
    assert keep_aside(task_of(2 * needed - 10), 0.05, 0)[1] is None
    assert keep_aside(task_of(5000), None, 0)[1] is None
    assert keep_aside(task_of(5000), 0.0, 0)[1] is None


def test_copies_of_one_row_are_not_kept_aside_from_one_another():
    x, y = np.arange(4000)[:, None] // 3 * 1.0, np.arange(4000) // 3 % 2
    task, aside = keep_aside(Task("softmax", Data(x=x[:2], y=y[:2], x_val=x, y_val=y)), 0.05, 0)
    assert aside.groups is None
    assert not set(aside.x[:, 0]) & set(task.data.x_val[:, 0])
    assert len(aside.x) == pytest.approx(2000, abs=10)


def test_groups_are_kept_aside_whole_and_have_to_be_enough():
    groups = np.arange(2400) // 10
    task, aside = keep_aside(task_of(2400, groups), 0.1, 0)
    assert not set(aside.groups) & set(task.data.groups_val)
    assert aside.units == pytest.approx(120, abs=2)
    assert keep_aside(task_of(2400, groups // 10), 0.1, 0)[1] is None
    assert keep_aside(task_of(2400, np.arange(2400)), 0.1, 0)[1].groups is None


def points_of(*rows):
    return [
        SimpleNamespace(keras=f"points/{n + 1:02d}.keras", time_ms=ms, chosen=chosen)
        for n, (ms, chosen) in enumerate(rows)
    ]


def losses(*wrong, rows=500):
    right = np.zeros((len(wrong), rows))
    for n, count in enumerate(wrong):
        right[n, : abs(count)] = np.sign(count)
    return Losses({f"p{n}": Loss(one.mean(), row_losses=one) for n, one in enumerate(right)}, "test")


def test_a_slower_point_that_is_surely_better_than_the_chosen_one_is_recommended():
    found = recommendations(
        points_of((1.0, True), (2.0, False), (12.0, False)),
        ["p0", "p1", "p2"],
        losses(17, -65, -80),
        12.6,
        0.005,
    )
    assert found == [
        "points/02.keras is 6.3 times as fast as the original and is 13 points better on the test rows, 16 points better than "
        "points/01.keras, which was chosen: take it unless you need 12.6 times."
    ]


def test_a_faster_point_that_loses_no_more_is_recommended_and_one_that_may_be_luck_is_not():
    three = points_of((0.5, False), (1.0, True), (2.0, False))
    found = recommendations(three, ["p0", "p1", "p2"], losses(0, 2, 1), 4.0, 0.01)
    assert len(found) == 1
    assert (
        "points/01.keras is 8.0 times as fast as the original and loses nothing on the test rows" in found[0]
    )
    assert not recommendations(three, ["p0", "p1", "p2"], losses(30, 2, 1), 4.0, 0.01)
