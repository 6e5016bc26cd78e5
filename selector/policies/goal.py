"""What a policy is fitted for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from profiler.errors import UsageError

PREFER = ("accuracy", "time")


@dataclass(frozen=True)
class PolicyGoal:
    """What a policy must reach, and what it then has most or least of.

    Parameters
    ----------
    prefer
        ``"time"``: the least mean time that loses at most `max_accuracy_drop` points (0 where None) against the best
        single network. ``"accuracy"``: the highest accuracy within `budget_ms` (the best single network's time where None).
    budget_ms
        Longest mean predicted time of one input; None for no limit.
    longest_ms
        Longest predicted time of the worst input, the sum of the stages that it runs; None for no limit.
    max_accuracy_drop
        Points of accuracy (0 to 100) that may be lost against the best single network.
    confidence
        Probability with which that holds on new data of the same kind; None where no promise is asked for.
    """

    prefer: str = "time"
    budget_ms: float | None = None
    longest_ms: float | None = None
    max_accuracy_drop: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where a value makes no sense."""
        if self.prefer not in PREFER:
            raise UsageError(f"A policy prefers {' or '.join(PREFER)}, not {self.prefer!r}.")
        for name in ("budget_ms", "longest_ms"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} of {value:g} cannot be met: give a time above 0 in ms.")
        if self.max_accuracy_drop is not None and not 0 <= self.max_accuracy_drop < 100:
            raise UsageError(
                f"A drop of {self.max_accuracy_drop:g} points makes no sense: give 0 or more, below 100."
            )
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise UsageError(
                f"A confidence of {self.confidence:g} makes no sense: give 0.5 or more, below 1, such as 0.95."
            )
