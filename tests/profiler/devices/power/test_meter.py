"""Windows of power on a machine whose clock only goes on when something is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from profiler.devices.power import meter
from profiler.devices.power.meter import Meter, SensorError

CALM_US, RUN_S = 10.0, 1e-3


class Machine:
    """Draws 2 W at rest and 5 W at work; its sensor shows the last `period_s` (``W``) or counts in steps of that (``J``)."""

    def __init__(self, unit: str = "W", period_s: float = 0.01) -> None:
        self.unit, self.period_s, self.where = unit, period_s, "a made-up board"
        self.now_s = self.joules = self.shown = 0.0
        self.updated_s, self.joules_then = 0.0, 0.0
        self.canary_us: Callable[[float], float] = lambda now_s: CALM_US
        self.distort: Callable[[float, float], float] = lambda shown, now_s: shown

    def spend(self, seconds: float, watts: float) -> None:
        """Draw so much for so long, in steps that the sensor shows."""
        until = self.now_s + seconds
        while self.now_s < until - 1e-12:
            step = min(until, self.updated_s + self.period_s) - self.now_s
            self.now_s += step
            self.joules += step * watts
            if self.now_s >= self.updated_s + self.period_s - 1e-12:
                mean_w = (self.joules - self.joules_then) / self.period_s
                # No two readings of a real one are quite alike.
                self.shown = self.joules if self.unit == "J" else mean_w + 1e-6 * (self.now_s % 1)
                self.updated_s, self.joules_then = self.now_s, self.joules

    def rest(self, seconds: float) -> None:
        self.spend(seconds, 2.0)

    def run(self) -> None:
        self.spend(RUN_S, 5.0)

    def canary(self) -> float:
        time_us = self.canary_us(self.now_s)
        self.spend(1e-4, 5.0)
        return time_us

    def read(self) -> float:
        self.spend(1e-5, 2.0)
        return self.distort(self.shown, self.now_s)

    def meter(self) -> Meter:
        return Meter(self, "fake", self.canary, lambda: self.now_s, self.rest)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Locks of this test's own; nothing else runs on the made-up machine."""
    monkeypatch.setattr(meter.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(meter, "others_s", lambda: 0.0)


@pytest.mark.parametrize("unit", ["W", "J"])
@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.2])
def test_the_rate_of_the_sensor_is_found_and_power_is_right_at_it(unit, period_s):
    machine = Machine(unit, period_s)
    found = machine.meter()
    told = found.describe()
    assert told["period_s"] == pytest.approx(period_s, rel=0.1, abs=3e-4)
    rest = found.window(None, told["least_s"], machine.canary, 1.05 * CALM_US)
    work = found.window(machine.run, told["least_s"], machine.canary, 1.05 * CALM_US)
    assert rest["power_w"] == pytest.approx(2.0, rel=0.05)
    assert work["power_w"] == pytest.approx(5.0, rel=0.05)
    assert not rest["disturbed"]
    assert not work["disturbed"]
    assert (rest["runs"], work["runs"] > 20) == (0, True)


def test_a_sensor_that_is_slower_than_a_run_gets_windows_that_last_as_long_as_it_needs():
    machine = Machine("W", 1.0)
    told = machine.meter().describe()
    assert told["period_s"] == pytest.approx(1.0, rel=0.1)
    assert told["least_s"] >= 5.0


def test_stretches_in_which_the_canary_was_slow_do_not_count():
    machine = Machine("J", 0.001)
    found = machine.meter()
    begin = machine.now_s
    busy = lambda now_s: now_s > begin + 0.3  # noqa: E731
    machine.canary_us = lambda now_s: 2 * CALM_US if busy(now_s) else CALM_US

    def run() -> None:
        machine.spend(RUN_S, 9.0 if busy(machine.now_s) else 5.0)

    window = found.window(run, 0.5, machine.canary, 1.05 * CALM_US)
    assert window["power_w"] == pytest.approx(5.0, rel=0.05)
    assert not window["disturbed"]
    machine.canary_us = lambda now_s: 2 * CALM_US
    assert found.window(machine.run, 0.5, machine.canary, 1.05 * CALM_US)["disturbed"]


def test_other_processes_disturb_a_window_though_the_canary_is_calm(monkeypatch):
    machine = Machine("J", 0.001)
    found = machine.meter()
    monkeypatch.setattr(meter, "others_s", lambda: 0.5 * machine.now_s)
    window = found.window(machine.run, 0.5, machine.canary, 1.05 * CALM_US)
    assert window["others"] == pytest.approx(0.5)
    assert window["disturbed"]


def test_a_reading_that_jumps_is_left_out_and_a_sensor_that_does_so_all_the_time_is_useless():
    machine = Machine("W", 0.02)
    found = machine.meter()
    begin = machine.now_s
    machine.distort = lambda shown, now_s: 900.0 if begin + 0.2 < now_s < begin + 0.25 else shown
    window = found.window(machine.run, 0.6, machine.canary)
    assert window["jumps"] >= 1
    assert window["power_w"] == pytest.approx(5.0, rel=0.02)
    machine.distort = lambda shown, now_s: shown * (50.0 if int(now_s / 0.05) % 2 else 0.02)
    with pytest.raises(SensorError, match=r"fake jumps: .* readings are far from the others"):
        found.window(machine.run, 0.6, machine.canary)


def test_a_sensor_that_vanishes_half_way_is_told():
    machine = Machine()
    found = machine.meter()
    until = machine.now_s + 0.2

    def vanish(shown: float, now_s: float) -> float:
        if now_s > until:
            raise OSError("cannot read /sys/class/hwmon/hwmon0/power1_input (No such device)")
        return shown

    machine.distort = vanish
    with pytest.raises(SensorError, match=r"fake is gone: cannot read .*power1_input"):
        found.window(machine.run, 1.0, machine.canary)


def test_a_sensor_that_stands_still_is_refused():
    machine = Machine()
    machine.distort = lambda shown, now_s: 3.0
    with pytest.raises(SensorError, match="changed 0 times in 8 s: it stands still"):
        machine.meter()


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_numbers_in_another_unit_are_refused(factor):
    machine = Machine("J", 0.001)
    machine.distort = lambda shown, now_s: shown * factor
    with pytest.raises(SensorError, match="its numbers are in another unit than its kind has"):
        machine.meter()


def test_two_processes_do_not_measure_with_one_sensor_at_once():
    first = Machine().meter()
    with pytest.raises(SensorError, match=r"another process measures with fake .a made-up board. there"):
        Machine().meter()
    first.close()
    Machine().meter().close()
