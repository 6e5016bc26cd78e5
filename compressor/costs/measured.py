"""Time measured on the device as what steers a search: no model of time, and seconds for each candidate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compressor.costs.configuration import Configuration
from compressor.costs.network_cost import CandidateCost
from compressor.costs.structures import Structures
from compressor.export import target_of
from compressor.graph import resize
from profiler.devices import Target
from profiler.errors import UsageError
from profiler.measurement import measure_network
from profiler.records import Records

SECONDS = 0.5
_TRIES = 3

Export = Callable[[Any], bytes]
"""From a Keras model to the file that it becomes."""


class MeasuredCost(CandidateCost):
    """Measured time of a model at any configuration, in ms; each is measured once, `records` keeps what was measured.

    The model is resized (its weights make no sense, its shapes do), exported as compression will export it, and run on
    the target. A measurement that met no calm moment is made again, up to three times in all; where none did, the calmest
    counts, divided by how much slower than in calm the device was.
    """

    cheap = False

    def __init__(
        self,
        structures: Structures,
        export: Export,
        target: Target,
        records: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._structures, self._export = structures, export
        self._target, self._seconds = target, seconds
        self._known: dict[Configuration, float] = {}
        self.measured = 0
        self._records = (
            None if records is None else Records(records, signature=list(structures.full.graph.groups))
        )
        for row in self._records.read() if self._records else ():
            if row["target"] == target.name:
                self._remember(row)

    def exact(self, configuration: Configuration) -> float:
        """Measured time in ms."""
        if configuration not in self._known:
            row = {
                "target": self._target.name,
                "configuration": configuration.to_dict(),
                **self._measure(configuration),
            }
            if self._records is not None:
                self._records.append(row)
            self._remember(row)
        return self._known[configuration]

    def close(self) -> None:
        """Free the target; what is asked for later opens it again."""
        self._target.close()

    def _measure(self, configuration: Configuration) -> dict[str, Any]:
        structure = self._structures.of(configuration)
        content = self._export(resize(structure.model, configuration.widths, structure.graph))
        rows = []
        for _ in range(_TRIES):
            found = measure_network(content, self._target, per_layer=False, seconds=self._seconds)
            self.measured += 1
            if not found.disturbed:
                return {"measured_ms": found.measured_ms, "slowness": 1.0}
            rows.append({"measured_ms": found.measured_ms / found.slowness, "slowness": found.slowness})
        return min(rows, key=lambda row: row["slowness"])

    def _remember(self, row: dict[str, Any]) -> None:
        self._known[Configuration.from_dict(row["configuration"])] = float(row["measured_ms"])


def place_of(time_model: Any, target: str | Target | None) -> Target:
    """Where to measure: the target that is named, or this machine where it is the time model's device."""
    found, reason = target_of(time_model, target)
    if found is None:
        raise UsageError(f"--steer measured needs a device to measure on. {reason}")
    return found
