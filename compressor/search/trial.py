"""Candidates, what came of trying them, and the goal by which they are compared."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from compressor.costs import Configuration, Costs
from profiler.errors import UsageError

_UNITS = {"time": "ms", "size": "bytes", "memory": "bytes", "energy": "mJ"}
MINIMIZE = tuple(_UNITS)
"""The costs that can be limited and made small."""


@dataclass(frozen=True)
class Candidate:
    """A network to look at: its configuration, and what it starts from.

    Attributes
    ----------
    configuration
        What was chosen.
    keep
        Which of the original's channels stay; None for the most important ones.
    network
        A ``.keras`` file in the search's folder that has this configuration and the weights to go on from; None to
        inherit those of the original.
    model
        That network in memory, so that it is not read again.
    """

    configuration: Configuration
    keep: dict[str, list[int]] | None = None
    network: str | None = None
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by group."""
        return self.configuration.widths

    @property
    def key(self) -> str:
        """A short name for files; equal candidates have the same."""
        values = json.dumps([self.configuration.to_dict(), self.keep, self.network], sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried, with its score on validation rows; -inf and a loss of inf where training diverged."""

    configuration: Configuration
    costs: Costs
    score: float
    loss: float
    keep: dict[str, list[int]] | None = None
    network: str | None = None

    @property
    def candidate(self) -> Candidate:
        """What was trained; a precision is chosen afterwards."""
        return Candidate(self.configuration.with_precision(""), self.keep, self.network)

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by group."""
        return self.configuration.widths

    @property
    def predicted_ms(self) -> float:
        """Its predicted time."""
        return self.costs.predicted_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite becomes None."""
        return {
            "configuration": self.configuration.to_dict(),
            **asdict(self.costs),
            "score": self.score if math.isfinite(self.score) else None,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "keep": self.keep,
            "network": self.network,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` wrote."""
        keep = value["keep"]
        return cls(
            Configuration.from_dict(value["configuration"]),
            Costs(
                float(value["predicted_ms"]),
                int(value["size_bytes"]),
                int(value["memory_bytes"]),
                value["energy_mj"],
                value["steered_ms"],
            ),
            -math.inf if value["score"] is None else float(value["score"]),
            math.inf if value["loss"] is None else float(value["loss"]),
            None if keep is None else {str(g): [int(p) for p in positions] for g, positions in keep.items()},
            value["network"],
        )


@dataclass(frozen=True)
class Goal:
    """The best score within limits, or the least of a cost (`minimize`, by default time) at a score and within limits."""

    budget_ms: float | None = None
    least_score: float | None = None
    most_bytes: float | None = None
    most_memory_bytes: float | None = None
    most_energy_mj: float | None = None
    minimize: str | None = None

    def __post_init__(self) -> None:
        if self.minimize is not None and self.minimize not in MINIMIZE:
            raise UsageError(f"There is no cost {self.minimize!r}: choose one of {', '.join(MINIMIZE)}.")
        if self.minimize is not None and self.least_score is None:
            raise UsageError(f"To make {self.minimize} as small as possible, give an accuracy to keep.")
        if self.least_score is None and not self.limits:
            raise UsageError("Give a budget of time, size, memory or energy, or an accuracy to keep.")

    @property
    def objective(self) -> str:
        """``score`` where that is made large, else the cost that is made small."""
        return "score" if self.least_score is None else self.cost_name

    @property
    def cost_name(self) -> str:
        """The cost that is made small; of goals that raise the score the time."""
        return self.minimize or "time"

    @property
    def unit(self) -> str:
        """The unit of the one number that a search is steered by: `compressor.costs.steering_cost`."""
        limited = sorted(self.limits, key=lambda name: name != "time")
        return _UNITS[limited[0] if self.objective == "score" else self.objective]

    @property
    def limits(self) -> dict[str, float]:
        """The limits on costs, by name."""
        limits = {
            "time": self.budget_ms,
            "size": self.most_bytes,
            "memory": self.most_memory_bytes,
            "energy": self.most_energy_mj,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def relaxed(self, by: float) -> Goal:
        """The same with a limit on the score that is lower by so much."""
        return self if self.least_score is None else replace(self, least_score=self.least_score - by)

    def cost(self, trial: Trial) -> float:
        """What a candidate has of the cost that is made small."""
        return float(trial.costs.by_name[self.cost_name] or 0.0)

    def excess(self, trial: Trial) -> float:
        """How far a candidate is over its limits on costs: 0 within all, 0.1 where one is passed by 10%."""
        costs = trial.costs.by_name
        return max([0.0, *((costs[name] or 0.0) / limit - 1 for name, limit in self.limits.items())])

    def met_by(self, trial: Trial) -> bool:
        """Whether a candidate is good enough."""
        least = self.least_score
        return self.excess(trial) == 0 and (
            math.isfinite(trial.score) if least is None else trial.score >= least
        )

    def rank(self, trial: Trial) -> tuple[float, ...]:
        """Sort key: candidates that meet the goal come before all others, the better one has the larger key."""
        time_ms = trial.costs.time_ms
        if self.objective == "score":
            if self.met_by(trial):
                return (1.0, trial.score, -trial.loss)
            return (0.0, -self.excess(trial), trial.score)
        if self.met_by(trial):
            return (1.0, -self.cost(trial), -time_ms, trial.score)
        return (0.0, -self.excess(trial), trial.score, -time_ms)
