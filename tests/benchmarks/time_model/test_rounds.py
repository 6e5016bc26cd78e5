"""Measured rounds: kept as they are made, resumed, and combined into one time."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.time_model.rounds import (
    ESTIMATES,
    MEASURED,
    Round,
    Rounds,
    calm,
    canary_level_us,
    compare_estimates,
    halves,
    measure,
    noise_errors,
    still_open,
    to_round,
)
from profiler.operators import conv_2d
from profiler.probes import Probe

ANSWER = {
    "median_us": 2000.0, "p20_us": 1980.0, "p90_us": 2500.0, "min_us": 1960.0, "canaries_us": [9.9, 10.0], "load_ms": 1.0,
    "first_ms": 3.0, "samples": 50, "disturbed": False,
}  # fmt: skip


def a_round(median_us, canary_us=10.0, number=0, disturbed=False, network="net", **more):
    steady = {"p20_us": 0.99 * median_us, "min_us": 0.98 * median_us}
    answer = {
        **ANSWER,
        **steady,
        "median_us": median_us,
        "canaries_us": [0.99 * canary_us, canary_us],
        "disturbed": disturbed,
        **more,
    }
    return to_round("one", network, number, "runtime 1", 100, answer)


def test_measured_time_is_the_median_of_runs_in_the_calmest_round():
    rows = [a_round(2000.0), a_round(2100.0, canary_us=10.5), a_round(2050.0)]
    assert ESTIMATES[MEASURED](rows, 10.0) == pytest.approx(2.0)
    assert ESTIMATES["median of medians"](rows, 10.0) == pytest.approx(2.05)
    # Where the second round's machine was 5% slower, its 5% are taken back.
    assert ESTIMATES["median of medians by canary"](rows, 10.0) == pytest.approx(2.0)
    assert ESTIMATES["least of mins"](rows, 10.0) == pytest.approx(1.96)


def test_disturbed_rounds_do_not_count():
    unsteady = a_round(1990.0, p20_us=1890.0, min_us=1880.0)
    rows = [a_round(2000.0), a_round(1000.0, disturbed=True), a_round(1000.0, canary_us=10.8), unsteady]
    assert calm(rows, 10.0) == rows[:1]
    assert ESTIMATES[MEASURED](rows, 10.0) == pytest.approx(2.0)
    # Where there is no calm round, the fastest fifth of runs counts.
    assert ESTIMATES[MEASURED]([unsteady, a_round(3000.0, disturbed=True)], 10.0) == pytest.approx(1.89)


def test_canary_level_is_that_of_a_calm_machine():
    rows = [a_round(1.0, canary) for canary in (10.0, 10.0, 10.0, 10.0, 40.0)]
    assert canary_level_us([*rows, a_round(1.0, 1.0, disturbed=True)]) == pytest.approx(10.0)
    assert canary_level_us([]) == 1.0


def test_halves_of_four_rounds():
    assert halves(4) == [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    assert halves(1) == []
    assert halves(3) == [((0,), (1,)), ((0,), (2,)), ((1,), (2,))]


@given(st.integers(2, 8))
def test_halves_are_disjoint_equal_and_few(count):
    splits = halves(count)
    assert 1 <= len(splits) <= 100
    for first, second in splits:
        assert len(first) == len(second) == count // 2
        assert not set(first) & set(second)


def test_noise_floor_by_hand():
    # Two rounds: 2.0 and 2.2 ms. Predicting one by the other is off by 1/11 one way and 1/10 the other.
    errors = noise_errors([a_round(2000.0), a_round(2200.0)], 10.0, ESTIMATES["median of medians"])
    assert sorted(errors) == pytest.approx([1 / 11, 1 / 10])
    assert noise_errors([a_round(2000.0)], 10.0, ESTIMATES[MEASURED]) == []


@given(st.lists(st.floats(100, 1e6), min_size=2, max_size=6), st.floats(0.5, 2.0))
def test_noise_does_not_depend_on_units(medians, factor):
    rows = [a_round(median) for median in medians]
    scaled = [a_round(median * factor) for median in medians]
    for name in ("median of medians", MEASURED):
        one, other = (noise_errors(r, 10.0, ESTIMATES[name]) for r in (rows, scaled))
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


def test_comparing_definitions_finds_that_the_canary_helps_on_a_machine_that_drifts():
    speeds = [1.0, 1.03, 1.06, 1.04]
    rows = {
        name: [a_round(us * speed, 10.0 * speed, number, network=name) for number, speed in enumerate(speeds)]
        for name, us in (("a", 500.0), ("b", 9000.0))
    }
    table = compare_estimates(rows)
    assert set(table) == set(ESTIMATES)
    assert table["median of medians by canary"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert table["median of medians"]["mean"] > 0.01


class MadeUpTarget:
    """Answers at once; cannot run networks whose file has an even number of bytes, if told so."""

    class setting:  # noqa: N801
        key = "runtime 1"

    def __init__(self, broken=(), canaries_us=()):
        self.broken = broken
        self.canaries_us = list(canaries_us)
        self.asked = []
        self.closed_after = []

    def close(self):
        self.closed_after.append(len(self.asked))

    def measure_network(self, content, seconds, shapes):
        self.asked.append((len(content), seconds, tuple(map(tuple, shapes))))
        canary = {"canaries_us": [self.canaries_us.pop(0)] * 2} if self.canaries_us else {}
        return {"error": "no such operator"} if len(content) in self.broken else dict(ANSWER, **canary)


@pytest.fixture
def files(tmp_path):
    paths = []
    for width in (8, 24):
        path = tmp_path / f"net{width}.tflite"
        path.write_bytes(Probe("layer", (conv_2d(4, 4, 3, width),)).build())
        paths.append(path)
    return paths


def test_rounds_are_kept_and_resumed(tmp_path, files):
    kept = Rounds(tmp_path / "rounds.jsonl")
    todo = still_open(kept, "one", files, 2)
    assert [(number, path.stem) for number, path in todo] == [
        (0, "net8"), (0, "net24"), (1, "net8"), (1, "net24"),
    ]  # fmt: skip
    target = MadeUpTarget()
    assert measure(target, "one", todo[:3], kept, 0.5) == 3
    assert target.asked[0] == (files[0].stat().st_size, 0.5, ((1, 4, 4, 3),))

    again = Rounds(tmp_path / "rounds.jsonl")
    assert again.rows == kept.rows
    assert [(number, path.stem) for number, path in still_open(again, "one", files, 2)] == [(1, "net24")]
    assert len(still_open(again, "two", files, 2)) == 4
    assert [row.number for row in again.of("one")["net8"]] == [0, 1]


def test_what_cannot_run_is_told_and_not_tried_again(tmp_path, files):
    kept = Rounds(tmp_path / "rounds.jsonl")
    lines = []
    broken = MadeUpTarget(broken=[files[0].stat().st_size])
    measure(broken, "one", still_open(kept, "one", files, 1), kept, 0.5, say=lines.append)
    assert "no such operator" in lines[0]
    assert "2 ms" in lines[1]
    assert [path.stem for _, path in still_open(kept, "one", files, 3)] == ["net24", "net24"]


def test_disturbed_rounds_are_made_up_for_but_not_for_ever(tmp_path, files):
    kept = Rounds(tmp_path / "rounds.jsonl")
    one = files[:1]
    kept.add(a_round(2000.0, network="net8"))
    kept.add(a_round(2000.0, network="net8", number=1, disturbed=True))
    kept.add(a_round(2000.0, network="net8", number=2, canary_us=20.0))
    assert still_open(kept, "one", one, 1) == []
    assert still_open(kept, "one", one, 2) == [(3, one[0])]
    assert still_open(kept, "one", one, 4) == [(3, one[0]), (4, one[0]), (5, one[0])]
    kept.add(a_round(2000.0, network="net8", number=3, disturbed=True))
    assert still_open(kept, "one", one, 2) == []


def test_agent_starts_anew_after_a_round_that_was_not_calm(tmp_path, files):
    kept = Rounds(tmp_path / "rounds.jsonl")
    target = MadeUpTarget(canaries_us=[6.8, 12.0, 6.9, 11.9])
    measure(target, "one", still_open(kept, "one", files, 2), kept, 0.5)
    assert target.closed_after == [2, 4]
    assert [number for number, _ in still_open(kept, "one", files, 2)] == [2, 3]


def test_nothing_is_measured_after_the_time_is_up(tmp_path, files):
    kept = Rounds(tmp_path / "rounds.jsonl")
    target = MadeUpTarget()
    assert measure(target, "one", still_open(kept, "one", files, 2), kept, 0.5, until=0.0) == 0
    assert target.asked == []
    assert kept.rows == []


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    path = tmp_path / "rounds.jsonl"
    kept = Rounds(path)
    kept.add(a_round(2000.0))
    kept.add(a_round(2100.0, number=1))
    path.write_bytes(path.read_bytes()[:-20])
    again = Rounds(path)
    assert [row.number for row in again.rows] == [0]
    again.add(a_round(2200.0, number=1))
    final = Rounds(path)
    assert [row.median_us for row in final.rows] == [2000.0, 2200.0]


def test_answers_become_rounds():
    row = to_round("one", "net", 3, "runtime 1", 77, {"error": "x" * 500})
    assert row.error == "x" * 300
    assert row.median_us is None
    row = to_round("one", "net", 3, "runtime 1", 77, {**ANSWER, "canaries_us": [], "other": 1})
    assert row.canary_us is None
    assert (row.samples, row.median_us, row.file_bytes) == (50, 2000.0, 77)
    assert Round(**json.loads(json.dumps(row.__dict__))) == row
    assert not math.isnan(ESTIMATES[MEASURED]([row], 10.0))
