"""`NetworkOption`: a network that could be run, with what it costs on a device and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.tradeoff import pareto_front


@dataclass(frozen=True)
class NetworkOption:
    """One network to choose from: its file, its predicted time with the interval that bounds 90% of networks, its sizes.

    `coverage` is the share of `predicted_ms` from operators that the time model has measured, `uncovered` are the others;
    `accuracy` (or what `Data.metric` gives) is None where the network was not run.
    """

    path: Path
    predicted_ms: float
    low_ms: float
    high_ms: float
    coverage: float = 1.0
    uncovered: tuple[str, ...] = ()
    dtype: str = "float32"
    file_bytes: int = 0
    peak_memory_bytes: int = 0
    accuracy: float | None = None

    def fits(self, budget_ms: float | None) -> bool:
        """Whether its predicted time is within the budget."""
        return budget_ms is None or self.predicted_ms <= budget_ms

    def crosses(self, budget_ms: float | None) -> bool:
        """Whether the interval lies on both sides of the budget, so that only measuring tells if it fits."""
        return budget_ms is not None and self.low_ms <= budget_ms < self.high_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the path as it stands."""
        return {
            "network": str(self.path), "predicted_ms": self.predicted_ms, "low_ms": self.low_ms,
            "high_ms": self.high_ms, "coverage": self.coverage, "uncovered": list(self.uncovered),
            "dtype": self.dtype, "file_bytes": self.file_bytes, "peak_memory_bytes": self.peak_memory_bytes,
            "accuracy": self.accuracy,
        }  # fmt: skip


def front(candidates: list[NetworkOption]) -> list[bool]:
    """Mark the candidates that no other one beats in both predicted time and accuracy; where any is unknown, in time alone."""
    known = all(candidate.accuracy is not None for candidate in candidates)
    return pareto_front(
        [candidate.predicted_ms for candidate in candidates],
        [candidate.accuracy if known and candidate.accuracy is not None else 0.0 for candidate in candidates],
    )
