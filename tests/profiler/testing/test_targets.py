"""The suite for targets: ours pass, a made-up one passes, and each mistake is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from profiler.devices import LocalTarget, Setting, Target
from profiler.errors import ModelFileError, UsageError
from profiler.testing import check_target
from profiler.testing.targets import CHECKS
from profiler.tflite import read_network


class PaperTarget(Target):
    """A device that exists on paper: a nanosecond for each multiply-accumulate, a microsecond for each layer."""

    def __init__(self, cores: int = 1) -> None:
        self.name = "paper"
        self.cores = cores

    @property
    def setting(self) -> Setting:
        return Setting("paper", "1")

    def hello(self) -> dict[str, Any]:
        return {"machine": "paper", "cpu": "Paper", "cores": self.cores, "runtime": "paper", "version": "1"}

    def time_probe(self, content: bytes) -> dict[str, Any]:
        try:
            network = read_network(content)
        except ModelFileError as error:
            return {"error": str(error)}
        time_us = len(network.layers) + network.macs / 1e3
        names = ("min_us", "p20_us", "median_us", "p90_us")
        return {**dict.fromkeys(names, time_us), "spread": 0.0, "samples": 1}

    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        if not (math.isfinite(seconds) and seconds > 0):
            raise UsageError("seconds must be above 0.")
        return {**self.time_probe(content), "load_ms": 0.0, "first_ms": 0.0}


def test_this_machine_passes() -> None:
    check_target(LocalTarget())


def test_a_made_up_target_passes() -> None:
    check_target(PaperTarget())


class Nameless(PaperTarget):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class WithoutProcessor(PaperTarget):
    def hello(self) -> dict[str, Any]:
        return {key: value for key, value in super().hello().items() if key != "cpu"}


class OfAnotherRuntime(PaperTarget):
    @property
    def setting(self) -> Setting:
        return Setting("rock", "1")


class Changing(PaperTarget):
    def hello(self) -> dict[str, Any]:
        self.cores += 1
        return super().hello()


class WithoutTime(PaperTarget):
    def time_probe(self, content: bytes) -> dict[str, Any]:
        return {**super().time_probe(content), "p20_us": None}


class Infinite(PaperTarget):
    def time_probe(self, content: bytes) -> dict[str, Any]:
        return {**super().time_probe(content), "spread": math.inf}


class UpsideDown(PaperTarget):
    def time_probe(self, content: bytes) -> dict[str, Any]:
        answer = super().time_probe(content)
        return answer if "error" in answer else {**answer, "min_us": answer["median_us"] + 1}


class Believing(PaperTarget):
    def time_probe(self, content: bytes) -> dict[str, Any]:
        answer = super().time_probe(content)
        times = dict.fromkeys(("min_us", "p20_us", "median_us", "p90_us", "spread"), 1.0)
        return {**times, "samples": 1} if "error" in answer else answer


class Hasty(PaperTarget):
    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        return super().measure_network(content, 1.0, shapes)


class WithoutFirstRun(PaperTarget):
    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        return {**super().measure_network(content, seconds, shapes), "first_ms": None}


class SilentOfPower(PaperTarget):
    def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
        return {}


class Drawing(PaperTarget):
    def open_power(self) -> dict[str, Any]:
        return {"source": "paper"}

    def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
        numbers = dict.fromkeys(("spread_w", "readings", "runs", "seconds"), 1)
        return {**numbers, "power_w": math.nan, "disturbed": False}


class OnceOnly(PaperTarget):
    closed = 0

    def close(self) -> None:
        self.closed += 1

    def time_probe(self, content: bytes) -> dict[str, Any]:
        # The suite closes a target after each check, and this one twice before it is used again.
        return {"error": "closed"} if self.closed > 5 else super().time_probe(content)


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (Nameless(), "identity", "no name"),
        (WithoutProcessor(), "identity", "lacks cpu"),
        (OfAnotherRuntime(), "identity", "another runtime"),
        (Changing(), "identity", "another device"),
        (WithoutTime(), "probes", "p20_us is None"),
        (Infinite(), "probes", "JSON"),
        (UpsideDown(), "probes", "ascend"),
        (Believing(), "errors", "no network"),
        (Hasty(), "errors", "UsageError"),
        (WithoutFirstRun(), "networks", "first_ms"),
        (OnceOnly(), "closing", "does not open"),
        (SilentOfPower(), "power", "no source of power"),
        (Drawing(), "power", "it draws nan W"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Target) else None,
)
def test_a_mistake_is_found_and_the_check_is_named(target: Target, check: str, message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=message) as caught:
        check_target(target)
    if hasattr(caught.value, "__notes__"):
        assert check in caught.value.__notes__[0]


def test_a_check_can_be_left_out() -> None:
    check_target(Nameless(), leave_out=["identity"])
    assert set(CHECKS) == {"identity", "probes", "errors", "networks", "closing", "profiles", "power"}
