"""`SimulatorTarget`: a target that works times out in place of measuring them, and the specifications of all of them."""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

import profiler
from profiler.devices.agent_target import AgentTarget
from profiler.devices.simulated.weights import WeightDecoder
from profiler.devices.target import Setting, Target
from profiler.errors import EdgetimeError, MissingExtraError, UsageError
from profiler.probes import Probe, plan_probes
from profiler.tflite import read_network

PREFIX = "sim"
_ROOT = str(Path(profiler.__file__).resolve().parents[1])
_MAGIC = b"TFL3"
_LONGEST_S = 900.0
"""Compilers of large networks take a minute where nothing else runs."""


class SimulatorTarget(AgentTarget):
    """A simulator of one accelerator, in a process of its own that is started again when it crashes.

    Subclasses say which `designs` there are, the `distribution` and the `extra` that bring the simulator, the `worker` module
    that runs in the process, and the names of its `options`; `configuration` is what the worker is started with.
    """

    known_kernels: ClassVar = ()
    dtypes: ClassVar = ("int8",)
    designs: ClassVar[Sequence[str]] = ()
    distribution: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    worker: ClassVar[str] = ""
    options: ClassVar[Sequence[str]] = ()
    offers: ClassVar[str] = ""
    most_weight_bits: ClassVar[int] = 8

    def __init__(self, design: str, options: Mapping[str, str] | None = None) -> None:
        given = dict(options or {})
        known = (*self.options, "cpu")
        for name, value in given.items():
            if name not in known or not value:
                raise UsageError(f"{name}={value} is no option; the options are {'=, '.join(known)}=.")
        query = "&".join(f"{name}={value}" for name, value in given.items())
        super().__init__(f"{PREFIX}:{design}{'?' + query if query else ''}")
        self.design = design
        self.given = given

    @property
    def title(self) -> str:
        """The accelerator's name for people."""
        return self.design

    def configuration(self) -> dict[str, Any]:
        """What the worker needs to know, as plain JSON values; a UsageError where an option has a bad value."""
        raise NotImplementedError

    def command(self) -> tuple[list[str], bytes]:
        """Run the worker."""
        if installed_version(self.distribution) is None:
            raise MissingExtraError(
                f"{self.name} needs {self.distribution}, which is not installed: "
                f'pip install "edgetime[{self.extra}]".'
            )
        start = f"import sys; sys.path[:0] = [{_ROOT!r}]; from {self.worker} import main; main(sys.argv[1])"
        return [sys.executable, "-c", start, json.dumps(self.configuration())], b""

    @property
    def setting(self) -> Setting:
        """The simulator, its version, and how it is configured; by `Setting.target` it is opened again."""
        known = self.hello()
        return Setting(known["runtime"], known["version"], known["configured"], 1, self.name)

    def time_probe(self, content: bytes) -> dict[str, Any]:
        """What a small network takes; one that crashes the simulator is answered with ``error``."""
        if content[4:8] != _MAGIC:
            return {"error": "it is no .tflite file"}
        return self._measure({"do": "time"}, content, _LONGEST_S)

    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """What a whole network takes, without the operators that the accelerator leaves to the CPU."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise UsageError(f"seconds must be above 0, not {seconds}.")
        try:
            dtype = read_network(content).dtype
        except EdgetimeError as error:
            return {"error": str(error)}
        if dtype not in self.dtypes:
            return {"error": wrong_type(self.title, dtype, self.dtypes)}
        answer = self._measure({"do": "time"}, content, _LONGEST_S)
        if "error" in answer:
            return answer
        return {
            **answer,
            "p90_us": answer["median_us"],
            "load_ms": 0.0,
            "first_ms": answer["median_us"] / 1e3,
        }

    def measure_stored(
        self, content: bytes, weight_bits: Sequence[float | None], decoder: WeightDecoder | None = None
    ) -> dict[str, Any]:
        """`measure_network` and ``energy_mj`` where each layer's weights take so many bits (None: as they are).

        With a decoder in front of the multipliers, its cycles and its energy are counted.
        """
        dtype = read_network(content).dtype
        if dtype not in self.dtypes:
            return {"error": wrong_type(self.title, dtype, self.dtypes)}
        given = None if decoder is None else [decoder.cycles, decoder.energy_pj]
        request = {"do": "time", "weight_bits": list(weight_bits), "decoder": given}
        return self._measure(request, content, _LONGEST_S)

    def profile_layers(
        self, content: bytes, seconds: float = 1.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """What each layer takes, as events of a profiler."""
        answer = self._measure({"do": "time"}, content, _LONGEST_S)
        if "error" in answer:
            return answer
        times = enumerate(answer["layers_us"])
        return {"events": [["", 2, index, 0, time_us] for index, time_us in times if time_us is not None]}

    def plan(self, dtypes: Sequence[str], ops: Sequence[str] | None = None, seed: int = 0) -> list[Probe]:
        """Probes of the number types that the accelerator runs."""
        kept = [dtype for dtype in dtypes if dtype in self.dtypes]
        if not kept:
            raise UsageError(
                f"{self.title} runs {' and '.join(self.dtypes)} networks only: add --dtype {self.dtypes[0]}."
            )
        return [probe for probe in self.planned(kept, ops, seed) if probe.dtype in self.dtypes]

    def planned(self, dtypes: Sequence[str], ops: Sequence[str] | None, seed: int) -> list[Probe]:
        """`plan` of `dtypes` that are run."""
        return plan_probes(dtypes, ops, seed)

    def _configure(self) -> None:
        """Nothing: the worker was started with its configuration."""

    def _hint(self) -> str:
        return f"check that this Python can import {self.distribution}."


def installed_version(distribution: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def wrong_type(title: str, dtype: str, dtypes: Sequence[str]) -> str:
    """Why a network of another number type does not run on an accelerator."""
    return f"it is a {dtype} network and {title} runs {' and '.join(dtypes)} only: convert it to {dtypes[0]} first"


class Simulators(Target):
    """All simulators: ``sim:DESIGN?OPTION=VALUE&…`` names one."""

    kinds: ClassVar[list[type[SimulatorTarget]]] = []

    @classmethod
    def from_options(cls, options: str) -> SimulatorTarget:  # type: ignore[override]
        """Make the simulator of a design."""
        design, _, query = options.partition("?")
        for kind in cls.kinds:
            if design in kind.designs:
                given = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
                return kind(design, {name: unquote(value) for name, value in given.items()})
        known = [name for kind in cls.kinds for name in kind.designs]
        raise UsageError(f"there is no design {design!r}: choose from {', '.join(known)}.")

    @classmethod
    def listed(cls) -> Mapping[str, str]:
        """How to write each simulator, and what it offers, or what is missing."""
        found: dict[str, str] = {}
        for kind in cls.kinds:
            version = installed_version(kind.distribution)
            state = (
                f"{kind.distribution} {version}"
                if version
                else f'missing: pip install "edgetime[{kind.extra}]"'
            )
            found |= {f"{PREFIX}:{spec}": f"{offers} ({state})" for spec, offers in kind.specs.items()}
        return found
