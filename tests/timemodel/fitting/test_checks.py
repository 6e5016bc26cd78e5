import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
from made_up_device import OVERHEAD_MS, layer_ms

from profiler import operators
from profiler.devices import Setting
from profiler.errors import ProfileError
from profiler.measurement import Profile
from profiler.probes import Probe
from timemodel.fitting import checks, fit_profile, notes_on
from timemodel.fitting.checks import thin_operators

SETTING = Setting("made-up", "1.0")
PAPER = {"machine": "paper", "cpu": "Paper 1", "cores": 2, "runtime": "made-up", "version": "1.0"}
OTHER = {**PAPER, "cpu": "Paper 2"}


def write(path, layers, fingerprint=PAPER, setting=SETTING, canary_us=lambda i: 10.0):
    """A profile of `layers` on a device on paper."""
    with Profile.append(path) as profile:
        profile.register(setting, fingerprint)
        probes = [Probe("empty", (operators.unary("relu", (1, 1)),)), *(Probe("layer", (x,)) for x in layers)]
        for i, probe in enumerate(probes):
            time_us = 1e3 * (OVERHEAD_MS + (layer_ms(probe.layers[0]) if i else 0.0))
            times = {
                "median_us": time_us,
                "min_us": time_us,
                "p20_us": time_us,
                "canaries_us": [canary_us(i)] * 2,
            }
            profile.add(setting.key, probe.key, probe.kind, 0, {**times, "samples": 9, "spread": 0.0})
    return path


def convolutions(count, dtype="float32"):
    return [operators.conv_2d(8, 8, 4 + i % 9, 8 + i, dtype=dtype) for i in range(count)]


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    layers = [*convolutions(50), *(operators.unary("gelu", (1, n, 4)) for n in range(1, 4))]
    layers += [operators.unary("relu", (1, n, 4)) for n in range(1, 11)]
    return write(tmp_path_factory.mktemp("p") / "d.db", layers)


def test_fit_names_operators_with_too_few_probes(profile, monkeypatch):
    monkeypatch.setattr(checks, "MOST_NAMED", 99)
    model = fit_profile(profile)
    with Profile.open(profile) as opened:
        thin = {(one.op, one.dtype): one for one in thin_operators(model, opened)}
    assert ("conv_2d", "float32") not in thin  # 50 probes
    assert (thin["gelu", "float32"].probes, thin["gelu", "float32"].error) == (3, None)
    assert thin["relu", "float32"].probes == 10
    assert thin["relu", "float32"].error is not None
    assert thin["fully_connected", "float32"].probes == 0  # of which every other network has some
    (note,) = notes_on(profile, model)
    assert "gelu float32 (3; no model)" in note
    assert "fully_connected float32 (none; no model)" in note
    assert "relu float32 (10; off by" in note
    assert f"'edgetime profile TARGET -o {profile} --ops " in note
    assert "gelu" in note.partition("--ops")[2]
    assert " conv_2d float32" not in note


def test_few_probes_of_an_operator_that_few_networks_have_are_no_news(tmp_path):
    layers = [*convolutions(50), *(operators.svdf(8, 4 + n, 4) for n in range(6))]
    path = write(tmp_path / "d.db", layers)
    model = fit_profile(path)
    assert model.setting().operators["svdf", "float32"].error.probes == 6
    with Profile.open(path) as opened:
        assert "svdf" not in {one.op for one in thin_operators(model, opened)}


@pytest.mark.parametrize("threads", [2, 3])
def test_more_threads_than_cores_are_said_of_the_profile_for_good(tmp_path, threads):
    setting = replace(SETTING, threads=threads)
    path = write(tmp_path / "d.db", convolutions(30), {**PAPER, "usable_cores": 2}, setting)
    notes = [note for note in notes_on(path, fit_profile(path)) if "threads share" in note]
    assert len(notes) == (threads > 2)
    assert all(
        "3 threads share 2 cores here and wait for each other: use threads=2" in note for note in notes
    )


def test_of_many_operators_with_too_few_probes_some_are_named(profile, monkeypatch):
    monkeypatch.setattr(checks, "MOST_NAMED", 2)
    (note,) = notes_on(profile, fit_profile(profile))
    assert note.count("no model") == 2
    assert " others: measure more" in note
    assert "--ops" not in note


def test_what_has_enough_probes_is_not_mentioned(tmp_path):
    ops = [*convolutions(60)]
    ops += [operators.depthwise_conv_2d(8, 8, 4 + i) for i in range(60)]
    ops += [operators.fully_connected(4 + i, 8) for i in range(60)]
    path = write(tmp_path / "d.db", ops)
    with Profile.open(path) as opened:
        thin = {one.op for one in thin_operators(fit_profile(path), opened)}
    assert thin.isdisjoint({"conv_2d", "depthwise_conv_2d", "fully_connected"})


def test_a_second_device_cannot_be_added(tmp_path):
    path = write(tmp_path / "d.db", convolutions(10))
    with pytest.raises(
        ProfileError, match=r"belongs to another device .*'Paper 1'.*'Paper 2'.*file of its own"
    ):
        write(path, convolutions(10), OTHER, Setting("made-up", "2.0"))


def copied_together(one, other):
    """`one` with what is in `other`, as somebody with SQLite at hand might do it."""
    connection = sqlite3.connect(one)
    connection.execute("ATTACH ? AS b", (str(other),))
    connection.execute("INSERT INTO settings SELECT id + 100, key, value, fingerprint FROM b.settings")
    connection.execute("INSERT OR IGNORE INTO probes SELECT id + 100000, key, kind FROM b.probes")
    connection.execute(
        "INSERT INTO measurements SELECT m.id + 100000, m.setting + 100, p.id, pass, attempt, at, median_us, min_us, p20_us, "
        "spread, samples, before_us, after_us, waited, disturbed, error, energy_mj, layers_us FROM b.measurements m "
        "JOIN b.probes q ON q.id = m.probe JOIN probes p ON p.key = q.key"
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize("part", ["machine", "cpu", "cores"])
def test_devices_copied_together_are_refused(part, tmp_path, profile):
    path = tmp_path / "mixed.db"
    shutil.copy(profile, path)
    fingerprint = (
        {**PAPER, part: "other", "version": "2.0"}
        if part != "cores"
        else {**PAPER, "cores": 8, "version": "2.0"}
    )
    copied_together(path, write(tmp_path / "b.db", convolutions(20), fingerprint, Setting("made-up", "2.0")))
    with pytest.raises(
        ProfileError, match=rf"mixed\.db mixes devices \(the {part} of .*file of its own"
    ) as error:
        fit_profile(path)
    assert "\n" not in str(error.value)


def edit(path, statement, *values):
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_measurements_of_another_runtime_are_refused(tmp_path, profile):
    path = tmp_path / "edited.db"
    shutil.copy(profile, path)
    edit(path, "UPDATE settings SET fingerprint = ?", json.dumps({**PAPER, "version": "0.9"}))
    with pytest.raises(ProfileError, match=r"mixes runtimes .*'made-up 1\.0.*version was '0\.9'"):
        fit_profile(path)


def test_a_setting_under_another_name_is_refused(tmp_path, profile):
    path = tmp_path / "edited.db"
    shutil.copy(profile, path)
    edit(path, "UPDATE settings SET key = 'fast'")
    with pytest.raises(ProfileError, match=r"listed as 'fast' says that it is 'made-up 1\.0"):
        fit_profile(path)


def test_two_settings_of_one_device_are_fine(tmp_path, profile):
    path = tmp_path / "two.db"
    shutil.copy(profile, path)
    write(path, convolutions(20), {**PAPER, "version": "2.0"}, Setting("made-up", "2.0"))
    assert len(fit_profile(path).settings) == 2


def test_a_canary_of_two_speeds_is_suspected(tmp_path):
    path = write(tmp_path / "d.db", convolutions(60), canary_us=lambda i: 10.0 if i < 30 else 50.0)
    notes = notes_on(path, fit_profile(path))
    assert any(
        "looks like two devices mixed" in note and "10 us" in note and "50 us" in note for note in notes
    )
    calm = write(tmp_path / "calm.db", convolutions(60), canary_us=lambda i: 10.0 + i % 7)
    assert not any("two devices" in note for note in notes_on(calm, fit_profile(calm)))
