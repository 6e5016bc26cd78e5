"""Time measured on the device as what steers a search: no model of time, and seconds for each candidate."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compressor.costs.configuration import Configuration
from compressor.costs.network_cost import CandidateCost
from compressor.export import target_of
from compressor.graph import ChannelGraph, resize
from profiler.devices import Target
from profiler.errors import EdgetimeError, UsageError
from profiler.measurement import measure_network

SECONDS = 0.5
_TRIES = 3

Export = Callable[[Any], bytes]
"""From a Keras model to the file that it becomes."""


class MeasuredCost(CandidateCost):
    """Measured time of a model at any configuration, in ms.

    The model is resized (its weights make no sense, its shapes do), exported as compression will export it,
    and run on the target. Each configuration is measured once: what was measured is kept in a file, so that
    an interrupted search does not measure it again.

    Parameters
    ----------
    model, graph
        The original.
    export
        To bytes of a ``.tflite`` file.
    target
        Where to run.
    records
        A file with one JSON row for each measurement; None keeps them in memory only.
    seconds
        How long each network runs.

    Notes
    -----
    Where the target gives the time of its canary (a small computation of its own), measurements are put on
    the scale of the first one: so a device that becomes slower by and by does not count as a slower network.
    A measurement that was disturbed is made again, up to three times in all; the quickest counts.
    """

    def __init__(
        self,
        model: Any,
        graph: ChannelGraph,
        export: Export,
        target: Target,
        records: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._model, self._graph, self._export = model, graph, export
        self._target, self._records, self._seconds = target, records, seconds
        self._known: dict[Configuration, float] = {}
        self._canary_us: float | None = None
        self.measured = 0
        for row in self._read():
            self._remember(row)

    @property
    def cheap(self) -> bool:
        """Never: each look is a measurement."""
        return False

    def exact(self, configuration: Configuration) -> float:
        """Measured time in ms."""
        if configuration not in self._known:
            row = {
                "target": self._target.name,
                "configuration": configuration.to_dict(),
                **self._measure(configuration),
            }
            self._write(row)
            self._remember(row)
        return self._known[configuration]

    def close(self) -> None:
        """Free the target; what is asked for later opens it again."""
        self._target.close()

    def _measure(self, configuration: Configuration) -> dict[str, Any]:
        content = self._export(resize(self._model, configuration.widths, self._graph))
        rows = []
        for _ in range(_TRIES):
            found = measure_network(content, self._target, per_layer=False, seconds=self._seconds)
            self.measured += 1
            rows.append({"measured_ms": found.measured_ms, "canary_us": found.canary_us})
            if not found.disturbed:
                return rows[-1]
        return min(rows, key=lambda row: row["measured_ms"] or math.inf)

    def _remember(self, row: dict[str, Any]) -> None:
        canary_us = row.get("canary_us")
        if self._canary_us is None:
            self._canary_us = canary_us
        scale = self._canary_us / canary_us if self._canary_us and canary_us else 1.0
        self._known[Configuration.from_dict(row["configuration"])] = float(row["measured_ms"]) * scale

    def _read(self) -> list[dict[str, Any]]:
        """The measurements of an earlier run of this model on this target; a torn last line is left out."""
        if self._records is None or not self._records.exists():
            return []
        found = []
        for line in self._records.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
                widths = Configuration.from_dict(row["configuration"]).widths
                same = row["target"] == self._target.name and set(widths) == set(self._graph.groups)
                if same and float(row["measured_ms"]) > 0:
                    found.append(row)
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def _write(self, row: dict[str, Any]) -> None:
        if self._records is None:
            return
        try:
            self._records.parent.mkdir(parents=True, exist_ok=True)
            with self._records.open("a", encoding="utf-8") as file:
                file.write(("\n" if _torn(self._records) else "") + json.dumps(row, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EdgetimeError(
                f"Cannot write {self._records} ({error.strerror}): free some space and use --resume."
            ) from error


def place_of(time_model: Any, target: str | Target | None) -> Target:
    """Where to measure: the target that is named, or this machine where it is the time model's device.

    Raises
    ------
    UsageError
        It is not.
    """
    found, reason = target_of(time_model, target)
    if found is None:
        raise UsageError(f"--steer measured needs a device to measure on. {reason}")
    return found


def _torn(path: Path) -> bool:
    """Whether a crash cut the last line off."""
    return path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
