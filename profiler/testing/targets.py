"""A suite that every target must pass, those of this package and your own."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from profiler.devices import Setting, Target, device_name
from profiler.errors import UsageError
from profiler.measurement import IDENTITY, PowerWindow, Profile, measure_network, profile
from profiler.operators import conv_2d, unary
from profiler.probes import Probe

_PROBES = (Probe("layer", (conv_2d(4, 4, 3, 5),)), Probe("layer", (unary("relu", (1, 4, 4, 5)),)))
_SECONDS = 0.01


def check_target(target: Target, probes: Sequence[Probe] = _PROBES, leave_out: Sequence[str] = ()) -> None:
    """Put a target through everything that is asked of one.

    In a project of your own this is one test::

        def test_my_target_passes_the_suite():
            check_target(open_target("mysim:cores=2"))

    Parameters
    ----------
    target
        The target; closed at the end.
    probes
        Small networks that it can run, two or more.
    leave_out
        Names of `CHECKS` that are not made.

    Raises
    ------
    AssertionError
        It does something wrong; the message says what, a note in which check.
    """
    for name, check in CHECKS.items():
        if name in leave_out:
            continue
        try:
            with target:
                check(target, probes)
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"in the check {name!r} of the suite for targets")
            raise


def check_identity(target: Target, probes: Sequence[Probe]) -> None:
    """It says what it is: a name, the device, and the setting; the same whenever it is asked."""
    assert isinstance(target.name, str), "its name is no text"
    assert target.name, "it has no name"
    fingerprint = target.hello()
    lacking = [key for key in (*IDENTITY, "runtime", "version") if key not in fingerprint]
    assert not lacking, f"its fingerprint lacks {', '.join(lacking)}"
    assert json.loads(json.dumps(fingerprint)) == fingerprint, "its fingerprint is not of plain JSON values"
    assert device_name(fingerprint) == device_name(target.hello()), "it is another device when asked again"
    setting = target.setting
    assert isinstance(setting, Setting), "its setting is no Setting"
    assert Setting.from_dict(json.loads(json.dumps(setting.to_dict()))) == setting, "its setting is not plain"
    named = fingerprint["runtime"], fingerprint["version"]
    assert (setting.runtime, setting.version) == named, "its setting has another runtime than its fingerprint"


def check_probes(target: Target, probes: Sequence[Probe]) -> None:
    """It times small networks."""
    for probe in probes:
        _check_times(target.time_probe(probe.build()), ("min_us", "p20_us", "median_us"))


def check_errors(target: Target, probes: Sequence[Probe]) -> None:
    """What it cannot run is answered with an error in words, and the next one is measured."""
    for answer in (target.time_probe(b"no network"), target.measure_network(b"no network", _SECONDS)):
        assert answer.get("error"), f"bytes that are no network were answered with {answer}"
        assert isinstance(answer["error"], str), "an error is no text"
    assert "error" not in target.time_probe(probes[0].build()), "after an error it measures nothing any more"
    for seconds in (0.0, math.nan):
        try:
            target.measure_network(probes[0].build(), seconds)
        except UsageError:
            continue
        raise AssertionError(f"it ran for {seconds} seconds, which should be a UsageError")


def check_networks(target: Target, probes: Sequence[Probe]) -> None:
    """It runs whole networks, and says what each layer takes or why it cannot."""
    content = probes[0].build()
    answer = target.measure_network(content, _SECONDS)
    _check_times(answer, ("min_us", "median_us", "p90_us"))
    for name in ("load_ms", "first_ms"):
        assert _is_time(answer.get(name)), f"{name} is {answer.get(name)!r}"
    found = measure_network(content, target, seconds=_SECONDS)
    json.dumps(found.to_dict(), allow_nan=False)
    if found.layer_source == "profiler":
        total = math.fsum(found.layer_ms.values())
        assert math.isclose(total, found.measured_ms, rel_tol=1e-6), "its layers do not add up to the network"
    else:
        assert found.layer_note, "it does not say why it has no times of layers"


def check_power(target: Target, probes: Sequence[Probe]) -> None:
    """It says where energy is read and what is drawn at rest and at work; or that it reads no power."""
    told = target.open_power()
    if told is None:
        answer = target.measure_power(None, _SECONDS)
        assert "sensor" in answer, "it has no source of power, and does not say so where one is asked for"
        return
    assert told.get("source"), "it does not say what its power is read by"
    if told.get("given_w") is not None:
        return
    for content in (None, probes[0].build()):
        answer = target.measure_power(content, float(told.get("least_s", _SECONDS)))
        window = PowerWindow.told(str(told["source"]), None, answer)
        assert math.isfinite(window.power_w), f"it draws {window.power_w} W"
        assert window.power_w >= 0, f"it draws {window.power_w} W"


def check_closing(target: Target, probes: Sequence[Probe]) -> None:
    """It can be closed at any time, more than once, and opens again when it is used."""
    content = probes[0].build()
    target.close()
    target.close()
    assert "error" not in target.time_probe(content), "closed before it was used, it does not open"
    target.close()
    assert "error" not in target.time_probe(content), "after being closed it does not open again"


def check_profiles(target: Target, probes: Sequence[Probe]) -> None:
    """It fills a profile, and going on adds nothing to one that is complete."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.db"
        summary = profile(target, path, probes=probes, calm_times=1)
        assert summary.stopped == "complete", "a few probes were not measured in minutes"
        assert not summary.failed, "a probe that was timed before failed in a profile"
        again = profile(target, path, probes=probes, calm_times=1)
        assert again.measured < summary.measured, "what was measured already is measured again"
        with Profile.open(path) as stored:
            keys = {
                time.probe_key for time in stored.measurements(target.setting.key) if time.time_us is not None
            }
        assert {probe.key for probe in probes} <= keys, "a probe is missing from the profile"


def _check_times(answer: Mapping[str, Any], ascending: Sequence[str]) -> None:
    assert "error" not in answer, f"it cannot run a probe: {answer['error']}"
    json.dumps(answer, allow_nan=False)
    for name in (*ascending, "spread"):
        assert _is_time(answer.get(name)), f"{name} is {answer.get(name)!r}"
    times = [answer[name] for name in ascending]
    assert times == sorted(times), f"{', '.join(ascending)} do not ascend: {times}"
    samples = answer.get("samples")
    assert isinstance(samples, int), f"samples is {samples!r}"
    assert samples >= 1, "there are times without a sample"
    canaries_us = answer.get("canaries_us") or ()
    assert len(canaries_us) in (0, 2), f"canaries_us is {canaries_us!r}"
    assert all(_is_time(canary) and canary > 0 for canary in canaries_us), f"canaries_us is {canaries_us!r}"


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


CHECKS: Mapping[str, Callable[[Target, Sequence[Probe]], None]] = {
    "identity": check_identity,
    "probes": check_probes,
    "errors": check_errors,
    "networks": check_networks,
    "closing": check_closing,
    "power": check_power,
    "profiles": check_profiles,
}
"""What is asked of a target, by name."""
