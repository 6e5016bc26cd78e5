"""Energy in profiles of a simulated device whose power is known exactly."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from profiler import operators
from profiler.devices import LocalTarget, open_target
from profiler.errors import ProfileError, TargetError, UsageError
from profiler.measurement import (
    PowerWindow,
    Profile,
    next_probes,
    observing,
    power,
    profile,
    profiling,
)
from profiler.measurement.power import MOST_PER_KIND, kind_of, read_power, windows_planned
from profiler.probes import Probe
from profiler.testing import check_target
from profiler.testing.simulated import IDLE_W, SimulatedTarget, energy_mj
from timemodel.fitting import fit_profile
from timemodel.model import PowerModel, TimeModel

PLAN = [
    *(Probe("layer", (operators.conv_2d(8 + i, 8, 8 + 4 * i, 16),)) for i in range(12)),
    *(Probe("layer", (operators.unary("relu", (1, 64, 64, 4 + i)),)) for i in range(9)),
]
SOURCE = {"source": "made-up", "where": "all of it", "period_s": 0.01}


@pytest.fixture
def take(tmp_path, monkeypatch):
    """Profile a simulated device by its own clock."""

    def taken(target: SimulatedTarget, seconds: float = 60.0, name: str = "d.db") -> Any:
        for module in (profiling, next_probes, observing):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=target.monotonic))
        clock = SimpleNamespace(monotonic=target.monotonic, time=lambda: 1.7e9 + target.now_s)
        monkeypatch.setattr(power, "time", clock)
        return profile(target, tmp_path / name, minutes=seconds / 60, probes=PLAN)

    return taken


def device(slow: Any = None, **options: Any) -> SimulatedTarget:
    return SimulatedTarget(slow or (lambda at_s: np.ones(len(at_s))), sensor=True, **options)


def reading_of(path: Any, target: SimulatedTarget) -> Any:
    with Profile.open(path) as store:
        return store.reading(target.setting.key)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A profile with energy, of a device that is never disturbed."""
    patch = pytest.MonkeyPatch()
    target = device()
    for module in (profiling, next_probes, observing):
        patch.setattr(module, "time", SimpleNamespace(monotonic=target.monotonic))
    patch.setattr(
        power, "time", SimpleNamespace(monotonic=target.monotonic, time=lambda: 1.7e9 + target.now_s)
    )
    path = tmp_path_factory.mktemp("energy") / "d.db"
    summary = profile(target, path, minutes=1.0, probes=PLAN)
    patch.undo()
    return summary, path


def test_a_profile_has_the_energy_beyond_rest_of_what_it_measured_the_power_of(profiled):
    summary, path = profiled
    reading = reading_of(path, device())
    known = [row for row in reading.times if row.energy_mj is not None]
    assert len(known) >= 8
    assert {row.probe.layers[0].op for row in known} == {"conv_2d", "relu"}
    for row in known:
        assert row.energy_mj == pytest.approx(energy_mj(row.probe), rel=0.05)
    assert reading.power.idle_w == pytest.approx(IDLE_W, rel=0.02)
    assert summary.power == reading.power
    assert "new every 10 ms" in str(summary)
    assert "at rest 2 W (±0.00" in str(summary)
    assert summary.to_dict()["power"]["source"] == "made-up"


def test_a_model_of_it_knows_the_energy_of_layers_whose_power_was_not_measured(profiled, tmp_path):
    fit_profile(profiled[1]).save(tmp_path / "m.timemodel.json")
    model = TimeModel.load(tmp_path / "m.timemodel.json")
    found = model.setting().energy
    assert isinstance(found, PowerModel)
    assert found.idle_w == pytest.approx(IDLE_W, rel=0.02)
    assert found.error < 0.05
    new = [operators.conv_2d(13, 8, 30, 16), operators.unary("relu", (1, 64, 64, 9))]
    times = [energy_mj(Probe("layer", (layer,))) for layer in new]
    assert model.predict_layers_mj(new) == pytest.approx(times, rel=0.15)
    network = Probe("network", tuple(new[:1])).network
    prediction = model.predict(network)
    assert prediction.energy_mj == pytest.approx(sum(layer.energy_mj for layer in prediction.layers), rel=0.1)


def test_going_on_measures_what_is_missing_and_nothing_twice(take, tmp_path):
    take(device(), seconds=20.0)
    first = reading_of(tmp_path / "d.db", device()).power
    take(device(start_s=30.0), seconds=60.0)
    with Profile.open(tmp_path / "d.db") as store:
        (setting,) = store.settings
        keys = [window.probe_key for window in store.power_windows(setting) if window.probe_key]
    assert len(first.beyond_idle_w) < len(keys) == len(set(keys))


def test_windows_in_disturbed_stretches_do_not_count(take, tmp_path):
    slow = np.ones(4000)
    slow[2000:] = 1.5  # half a second calm, half a second not
    target = SimulatedTarget(np.concatenate([np.ones(8000), slow, slow]), sensor=True)
    take(target, seconds=60.0)
    reading = reading_of(tmp_path / "d.db", target)
    assert reading.power.left_out > 0
    for row in reading.times:
        if row.energy_mj is not None:
            assert row.energy_mj == pytest.approx(energy_mj(row.probe), rel=0.1)


def test_a_sensor_that_vanishes_half_way_loses_nothing_that_was_measured(take, tmp_path):
    class Vanishing(SimulatedTarget):
        windows = 0

        def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
            self.windows += 1
            if self.windows > 6:
                return {"sensor": "hwmon is gone: cannot read power1_input (No such device)"}
            return super().measure_power(content, seconds)

    target = Vanishing(lambda at_s: np.ones(len(at_s)), sensor=True)
    summary = take(target)
    assert "Energy was not measured to the end (hwmon is gone: cannot read power1_input" in str(summary)
    assert summary.covered == 1.0
    assert 2 <= len(reading_of(tmp_path / "d.db", target).power.beyond_idle_w) <= 5


def test_a_device_that_is_never_calm_has_no_energy_and_says_so(take, tmp_path):
    target = device()
    target.measure_power = lambda content, seconds: {  # type: ignore[method-assign]
        **SimulatedTarget.measure_power(target, content, seconds), "disturbed": True,
    }  # fmt: skip
    summary = take(target)
    assert summary.power is None
    assert "No energy: no window of made-up was calm" in str(summary)
    assert all(row.energy_mj is None for row in reading_of(tmp_path / "d.db", target).times)


def test_a_target_with_a_sensor_passes_the_suite(monkeypatch):
    target = device()
    for module in (profiling, next_probes, observing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=target.monotonic))
    monkeypatch.setattr(
        power, "time", SimpleNamespace(monotonic=target.monotonic, time=lambda: 1.7e9 + target.now_s)
    )
    check_target(target)


def test_without_a_source_there_is_no_energy(take, tmp_path):
    target = SimulatedTarget(lambda at_s: np.ones(len(at_s)))
    summary = take(target, seconds=5.0)
    assert summary.power is None
    assert "nergy" not in str(summary)


def test_power_at_rest_is_taken_between_the_windows_before_and_after():
    told = {"spread_w": 0.0, "readings": 9, "runs": 0, "seconds": 1.0, "disturbed": False}
    rows = [(0.0, None, 2.0), (5.0, "a", 6.0), (10.0, None, 4.0), (15.0, "b", 6.0)]
    windows = [
        PowerWindow.told("made-up", key, {**told, "at": 1.0 + at, "power_w": w}) for at, key, w in rows
    ]
    calm = SimpleNamespace(is_calm=lambda canaries_us: True)
    found = read_power(SOURCE, windows, calm)
    assert found.beyond_idle_w == {"a": 3.0, "b": 2.0}
    assert (found.idle_w, found.idle_spread_w) == (3.0, 1.0)
    assert read_power(SOURCE, windows[1:2], calm) is None  # what was drawn at rest is not known
    others = [replace(window, source="rapl") for window in windows]
    assert read_power(SOURCE, [*windows, *others], calm) == found


def test_every_kind_of_work_comes_before_any_comes_twice(profiled):
    planned = windows_planned(reading_of(profiled[1], device()).times)
    kinds = [kind_of(probe) for probe in planned]
    count = len(set(kinds))
    assert count >= 2
    assert len(set(kinds[:count])) == count
    assert max(kinds.count(kind) for kind in kinds) <= MOST_PER_KIND


def test_an_average_that_the_user_gives_is_the_power_of_all(take, tmp_path):
    class Given(SimulatedTarget):
        def open_power(self) -> dict[str, Any]:
            return {"source": "given", "where": "2.5W", "given_w": 2.5}

    target = Given(lambda at_s: np.ones(len(at_s)))
    summary = take(target, seconds=10.0)
    assert "Energy is time times 2.5 W, as given." in str(summary)
    for row in reading_of(tmp_path / "d.db", target).times:
        assert row.energy_mj == pytest.approx(2.5 * row.time_us / 1e3)


def test_a_source_that_has_nothing_to_read_leaves_no_profile_behind(tmp_path):
    problem = pytest.raises(TargetError, match=r"No energy from local: .*has no package of intel-rapl")
    with LocalTarget(power=f"rapl:{tmp_path}") as target, problem:
        profile(target, tmp_path / "new.db", minutes=0.01, probes=PLAN)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (
            "power=solar",
            "there is no source of power 'solar': write power=rapl, power=ina, power=hwmon, or an average",
        ),
        ("power=0W", "power must be above 0"),
        ("power=", "is no option"),
    ],
)
def test_an_unknown_source_is_refused_with_those_that_there_are(option, problem):
    with pytest.raises(UsageError, match=problem):
        open_target(f"local:{option}")
    assert open_target("local:power=800mW").power.given_w == pytest.approx(0.8)


def test_a_damaged_table_of_power_is_told(profiled, tmp_path):
    path = tmp_path / "damaged.db"
    path.write_bytes(profiled[1].read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE power")
    with pytest.raises(ProfileError, match="is damaged"):
        Profile.open(path)
