"""How much training a compression does: parameters with sensible defaults, for those who want other ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from compressor.training.finetuning import Schedule
from profiler.errors import UsageError


@dataclass(frozen=True)
class Options:
    """Schedules and shares.

    Parameters
    ----------
    search
        Of the short fine-tuning that judges a candidate.
    final
        Of the fine-tuning that finalists get.
    finalists
        Candidates that are fine-tuned in full before one is chosen; under a limit on the score more where it takes more.
    validation_share, test_share
        Of rows that are split off where the data has none.
    """

    search: Schedule = field(default_factory=lambda: Schedule(epochs=6, most_rows=4000, learning_rate=3e-3))
    final: Schedule = field(default_factory=lambda: Schedule(epochs=30, learning_rate=2e-3, patience=12))
    finalists: int = 2
    validation_share: float = 0.2
    test_share: float = 0.2

    def __post_init__(self) -> None:
        if self.finalists < 1:
            raise UsageError(f"finalists must be 1 or more, not {self.finalists}.")
        for name in ("validation_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Options:
        """Read what `to_dict` wrote."""
        schedules = {name: Schedule(**value[name]) for name in ("search", "final")}
        return cls(**{**value, **schedules})
