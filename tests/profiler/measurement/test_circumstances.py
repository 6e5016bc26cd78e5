"""What makes a device hard to measure is said, with what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from profiler.calm import Calm
from profiler.measurement import Timing
from profiler.measurement.circumstances import Clock, notes_on_change, notes_on_device, notes_on_states

USUAL = {"cores": 4, "usable_cores": 4, "core_mhz": [3000] * 4, "clock_us": 1.0}
CALM = Calm(10.0, 0.5)


def rows(*parts: float | tuple[float, ...], each: int = 40) -> list[Timing]:
    """Measurements whose canaries are those of the parts, one after the other; several of a part take turns."""
    canaries_us: list[float] = []
    for part in parts:
        canaries_us += np.resize(np.atleast_1d(part), each).tolist()
    return [
        Timing("s", "{}", "layer", 0, 0, float(at), 1.0, 1.0, 1.0, 0.0, 9, us, us, 0.0, False, None)
        for at, us in enumerate(canaries_us)
    ]


def test_of_a_usual_device_nothing_is_said() -> None:
    assert notes_on_device(USUAL, 1) == []
    assert notes_on_device({}, 1) != []  # one core, as far as is known


@pytest.mark.parametrize(
    ("changes", "threads", "said"),
    [
        ({}, 8, r"8 threads share 4 cores .*use threads=4 or fewer\.$"),
        ({"usable_cores": 1}, 2, r"2 threads share one core .*use threads=1 or fewer\.$"),
        ({"usable_cores": 1}, 1, r"one core only.*stop what can be stopped"),
        ({"core_mhz": [1800, 1800, 2400, 2400]}, 2, r"1800 to 2400 MHz.*taskset -c 2,3'\.$"),
        ({"clock_us": 1000.0}, 1, r"steps of 1000 us.*--minutes\.$"),
    ],
)
def test_what_makes_a_device_hard(changes: dict[str, Any], threads: int, said: str) -> None:
    (note,) = notes_on_device({**USUAL, **changes}, threads)
    assert re.search(said, note), note


def test_a_device_that_throttles_half_way() -> None:
    (note,) = notes_on_states(rows(10.0, 10.0, 10.0, 13.0, 13.0, 13.0), CALM)
    assert note.startswith("After 50% of the time the device became 1.30x as slow and stayed so")
    assert "let it cool" in note
    (note,) = notes_on_states(rows(*[(10.0, 14.0)] * 4, (13.0, 18.0), (13.0, 18.0)), CALM)
    assert note.startswith("After 67%")


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ({"mhz": 1350.0}, r"so \(its clock fell from 1800 to 1350 MHz: heat.*let it cool, then"),
        (
            {"mhz": 1790.0},
            r"so \(its clock stayed at 1790 MHz: something else shares.*stop what else runs there, then",
        ),
        ({"mhz": 1790.0, "throttled": 5}, r"so \(the processor throttled itself for heat\).*let it cool"),
        ({}, r"so \(heat, or a change of power state\)"),
    ],
)
def test_its_clock_tells_a_lower_speed_from_a_neighbour(later: dict[str, float], said: str) -> None:
    clocks = [
        Clock.told(float(at), {"mhz": 1800.0, "throttled": 2} | (later if at >= 120 else {}))
        for at in range(0, 240, 10)
    ]
    if not later:
        clocks = []
    (note,) = notes_on_states(rows(10.0, 10.0, 10.0, 13.0, 13.0, 13.0), CALM, clocks)
    assert re.search(said, note), note


@pytest.mark.parametrize("answer", [None, 7, {}, {"mhz": "fast", "throttled": -1}, {"mhz": None}])
def test_a_target_that_tells_nothing_of_its_clock(answer: object) -> None:
    assert Clock.told(1.0, answer) == Clock(1.0)


def test_a_run_that_never_was_as_calm_as_an_earlier_one_says_so() -> None:
    (note,) = notes_on_states(rows(*[(13.0, 14.0)] * 6), CALM, resumed=True)
    assert note.startswith(
        "This time the device was 1.35x as slow as the profile knows it in calm, and never calm"
    )
    assert note.endswith("run the same command again when it is calm.")
    assert notes_on_states(rows(*[(13.0, 10.0)] * 6), CALM, resumed=True) == []


@pytest.mark.parametrize(
    "parts",
    [
        [10.0] * 6,
        [(10.0, 14.0)] * 6,
        [13.0, 13.0, 13.0, 10.0, 10.0, 10.0],
        [10.0, 13.0, 13.0, 13.0, 13.0, 10.0],
        [14.0] * 6,
        [10.0, 10.0, 10.0, 13.0, 13.0, (13.0,) * 9 + (10.0,)],
    ],
)
def test_what_comes_back_did_not_throttle(parts: list) -> None:
    assert notes_on_states(rows(*parts), CALM) == []


def test_of_a_few_measurements_nothing_is_concluded() -> None:
    assert notes_on_states(rows(10.0, 10.0, 10.0, 13.0, 13.0, 13.0, each=5), CALM) == []
    assert notes_on_states([], CALM) == []


def test_a_canary_that_never_repeats() -> None:
    (note,) = notes_on_states(rows(10.0), Calm(10.0, 0.02, repeats=False))
    assert "never took the same time twice: stop what else runs there" in note


def test_another_power_state_is_named() -> None:
    before = {"governor": "performance", "min_mhz": 800, "max_mhz": 3000}
    assert notes_on_change(before, dict(before)) == []
    assert notes_on_change({}, before) == []
    (note,) = notes_on_change(before, {**before, "governor": "powersave", "max_mhz": 1200})
    assert "frequency governor performance, now powersave; highest frequency (MHz) 3000, now 1200" in note
    assert "another file" in note
