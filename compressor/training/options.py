"""How much training a compression does: parameters with sensible defaults, for those who want other ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from profiler.errors import UsageError


def check_least(name: str, value: float, least: float = 1) -> None:
    """Refuse a number that is too small, or none."""
    if not value >= least:
        raise UsageError(f"{name} must be {least} or more, not {value}.")


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Parameters
    ----------
    epochs
        At most so many passes over the training data.
    batch_size
        Rows per step.
    most_rows
        An epoch looks at no more rows than this, other ones each time; None for all.
    learning_rate
        Adam's, at the start; it falls to 0 along a cosine over `epochs`.
    patience
        After so many epochs without a better validation score than those before them the learning rate falls to 0 over
        a fifth of the steps done, and training ends; the score of the network as it was does not count, since the first
        steps of a trained one may lead away from what it knows.
    temperature, alpha
        Distillation: a share `alpha` of the loss is the distance to the original's outputs, softened by
        `temperature` (Hinton et al., 2015); the rest is the loss on labels.
    """

    epochs: int = 30
    batch_size: int = 32
    most_rows: int | None = None
    learning_rate: float = 2e-3
    patience: int = 10
    temperature: float = 3.0
    alpha: float = 0.7

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            check_least(name, getattr(self, name))
        if self.most_rows is not None:
            check_least("most_rows", self.most_rows)
        for name in ("learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}.")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must be between 0 and 1, not {self.alpha}.")

    def rate_at(self, progress: float) -> float:
        """The learning rate when a share of the training is done, from 0 to 1."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def steps(self, rows: int) -> int:
        """Steps of an epoch where there are so many training rows.

        >>> Schedule(batch_size=32).steps(100), Schedule(batch_size=32, most_rows=64).steps(100), Schedule().steps(5)
        (3, 2, 1)
        """
        return max(1, min(rows, self.most_rows or rows) // min(self.batch_size, rows))


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
        Candidates that full fine-tuning begins with, the worse half of which drops out again and again; under a limit on the
        score as many are fine-tuned as it takes.
    validation_share, test_share
        Of rows that are split off where the data has none.
    """

    search: Schedule = field(default_factory=lambda: Schedule(epochs=6, most_rows=4000, learning_rate=3e-3))
    final: Schedule = field(default_factory=lambda: Schedule(epochs=30, learning_rate=2e-3, patience=12))
    finalists: int = 4
    validation_share: float = 0.2
    test_share: float = 0.2

    def __post_init__(self) -> None:
        check_least("finalists", self.finalists)
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
