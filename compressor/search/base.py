"""What a search method is given, what it must do, and how candidates are compared."""

from __future__ import annotations

import hashlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from compressor.costs import CandidateCost, Costs
from compressor.graph import Group, Widths
from compressor.training import Importance
from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent

Kept = Mapping[str, Sequence[int]]
"""Which channels of each group stay, by position in the original."""


@dataclass(frozen=True)
class Candidate:
    """A network to look at: its widths, and what it starts from.

    Attributes
    ----------
    widths
        By group.
    keep
        Which of the original's channels stay; None for the most important ones.
    network
        A ``.keras`` file in the search's folder that has these widths and the weights to go on from; None to
        inherit those of the original.
    model
        That network in memory, so that it is not read again.
    """

    widths: dict[str, int]
    keep: dict[str, list[int]] | None = None
    network: str | None = None
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """A short name for it; equal ones have the same."""
        values = json.dumps([self.widths, self.keep, self.network], sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


_UNKNOWN = Costs(0.0)


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried.

    Attributes
    ----------
    widths
        By group.
    predicted_ms
        Its predicted time.
    score, loss
        On validation rows after a short fine-tuning; -inf and inf where training diverged.
    costs
        Its predicted time again, and what else it costs.
    keep, network
        As in `Candidate`.
    """

    widths: dict[str, int]
    predicted_ms: float
    score: float
    loss: float
    costs: Costs = _UNKNOWN
    keep: dict[str, list[int]] | None = None
    network: str | None = None

    def __post_init__(self) -> None:
        if self.costs.predicted_ms != self.predicted_ms:
            object.__setattr__(self, "costs", replace(self.costs, predicted_ms=self.predicted_ms))

    @property
    def candidate(self) -> Candidate:
        """What was tried."""
        return Candidate(self.widths, self.keep, self.network)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite becomes None."""
        costs = self.costs
        return {
            "widths": self.widths,
            "predicted_ms": self.predicted_ms,
            "size_bytes": costs.size_bytes,
            "memory_bytes": costs.memory_bytes,
            "energy_mj": costs.energy_mj,
            "steered_ms": costs.steered_ms,
            "score": self.score if math.isfinite(self.score) else None,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "keep": self.keep,
            "network": self.network,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` wrote."""
        predicted_ms = float(value["predicted_ms"])
        keep = value.get("keep")
        return cls(
            {str(name): int(width) for name, width in value["widths"].items()},
            predicted_ms,
            -math.inf if value["score"] is None else float(value["score"]),
            math.inf if value["loss"] is None else float(value["loss"]),
            Costs(
                predicted_ms,
                int(value.get("size_bytes") or 0),
                int(value.get("memory_bytes") or 0),
                value.get("energy_mj"),
                value.get("steered_ms"),
            ),
            None if keep is None else {str(g): [int(p) for p in positions] for g, positions in keep.items()},
            value.get("network"),
        )


OBJECTIVES = ("score", "time", "size", "memory", "energy")

_COSTS: Mapping[str, Callable[[Costs], float | None]] = {
    "time": lambda costs: costs.time_ms,
    "size": lambda costs: costs.size_bytes,
    "memory": lambda costs: costs.memory_bytes,
    "energy": lambda costs: costs.energy_mj,
}


@dataclass(frozen=True)
class Goal:
    """What is looked for: the best score within limits, or the least of a cost at a score and within limits.

    Parameters
    ----------
    budget_ms
        Predicted time that a candidate may take.
    least_score
        Validation score that a candidate must keep.
    most_bytes, most_memory_bytes, most_energy_mj
        What its file, its peak memory and an inference may take.
    objective
        One of `OBJECTIVES`; by default ``time`` where there is a least score, else ``score``.
    """

    budget_ms: float | None = None
    least_score: float | None = None
    most_bytes: float | None = None
    most_memory_bytes: float | None = None
    most_energy_mj: float | None = None
    objective: str = ""

    def __post_init__(self) -> None:
        if not self.objective:
            object.__setattr__(self, "objective", "score" if self.least_score is None else "time")
        if self.objective not in OBJECTIVES:
            raise UsageError(
                f"There is no objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}."
            )
        if self.objective == "score" and not self.limits:
            raise UsageError("Give a budget of time, size, memory or energy, or an accuracy to keep.")
        if self.objective != "score" and self.least_score is None:
            raise UsageError(f"To make {self.objective} as small as possible, give an accuracy to keep.")

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

    @property
    def cost_name(self) -> str:
        """The cost that is made small; of goals that raise the score the time."""
        return "time" if self.objective == "score" else self.objective

    def cost(self, trial: Trial) -> float:
        """What a candidate has of the cost that is made small."""
        return float(_COSTS[self.cost_name](trial.costs) or 0.0)

    def excess(self, trial: Trial) -> float:
        """How far a candidate is over its limits on costs: 0 within all, 0.1 where one is passed by 10%."""
        over = [(_COSTS[name](trial.costs) or 0.0) / limit - 1 for name, limit in self.limits.items()]
        return max(0.0, *over) if over else 0.0

    def met_by(self, trial: Trial) -> bool:
        """Whether a candidate is good enough."""
        least = self.least_score
        return self.excess(trial) == 0 and (
            math.isfinite(trial.score) if least is None else trial.score >= least
        )

    def rank(self, trial: Trial) -> tuple[float, ...]:
        """Sort key: candidates that meet the goal come before those that do not, the better one has the
        larger key."""
        time_ms = trial.costs.time_ms
        if self.objective == "score":
            if self.met_by(trial):
                return (1.0, trial.score, -trial.loss)
            return (0.0, -self.excess(trial), trial.score)
        cost = _COSTS[self.objective](trial.costs)
        if self.met_by(trial):
            return (1.0, -(cost or 0.0), -time_ms, trial.score)
        return (0.0, -self.excess(trial), trial.score, -time_ms)


class SearchOverError(Exception):
    """The time for searching is used up; `run` stops the method there. It never reaches the user."""


@dataclass
class SearchProblem:
    """All that a method may ask for.

    Parameters
    ----------
    groups
        What has a width, in the order of the network.
    importance
        Of each channel; comparable between groups.
    cost
        The number that steers, in ms: cheap, ask thousands of times. It is made of what the goal limits
        (`compressor.costs.network_cost.steering_cost`).
    budget
        What a candidate may cost; None where the cost is to be made small at `least_score`.
    costs
        All that widths cost, for the record.
    evaluate
        Score and loss after a short fine-tuning: seconds to minutes. Asked through `try_widths`.
    goal
        What is looked for; by it trials are compared.
    original
        The network as it is.
    seed
        Of everything random in the method.
    deadline
        On the clock of `time.monotonic`.
    folder
        Where the method may keep its own records, so that it goes on after an interruption; None for nowhere.
    known
        Trials of an earlier run: they are not tried again.
    on_trial
        Called with each new trial.
    on_adopted
        Called with each trial that another process, or an earlier run, has finished.
    on_epoch
        Called while a candidate is trained: epochs done, epochs in all, best validation score so far. What it
        raises ends the training and comes out of `try_widths`.
    context
        A `compressor.pipeline.prepare.preparation.Prepared`: the model, its graph and its task, for methods that train.
    """

    groups: Mapping[str, Group]
    importance: Importance
    cost: CandidateCost
    budget: float | None
    costs: Callable[[Widths], Costs]
    evaluate: Callable[[Candidate], tuple[float, float]]
    goal: Goal
    original: Trial
    seed: int = 0
    deadline: float = math.inf
    folder: Path | None = None
    known: list[Trial] = field(default_factory=list)
    on_trial: Callable[[Trial], None] = lambda trial: None
    on_adopted: Callable[[Trial], None] = lambda trial: None
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, score: None
    progress: ProgressCallback = silent
    context: Any = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def full(self) -> dict[str, int]:
        """The widths of the network as it is."""
        return {group.id: group.width for group in self.groups.values()}

    @property
    def least_score(self) -> float:
        """The validation score to keep; -inf where only costs are limited."""
        least = self.goal.least_score
        return -math.inf if least is None else least

    def check_time(self) -> None:
        """End the search where no time is left.

        Raises
        ------
        SearchOverError
            That is so.
        """
        if time.monotonic() >= self.deadline:
            raise SearchOverError

    def find(self, candidate: Candidate) -> Trial | None:
        """The trial of a candidate that was tried before, in this run or an earlier one."""
        for trial in self.trials:
            if trial.candidate == candidate:
                return trial
        for trial in self.known:
            if trial.candidate == candidate:
                self.trials.append(trial)
                return trial
        return None

    def try_widths(
        self,
        widths: Widths,
        keep: Kept | None = None,
        model: Any = None,
        network: str | None = None,
    ) -> Trial:
        """Fine-tune a candidate shortly and remember how it did; one that was tried before is only looked up.

        Parameters
        ----------
        widths
            By group.
        keep
            Which channels stay; None for the most important ones.
        model, network
            A network of these widths whose weights to go on from, and what to call its file (in the search's
            folder, such as ``candidates/003.keras``). None to inherit those of the original.

        Raises
        ------
        SearchOverError
            No time is left.
        """
        candidate = Candidate(
            {name: int(widths[name]) for name in self.groups},
            None if keep is None else {name: [int(p) for p in keep[name]] for name in self.groups},
            network,
            model,
        )
        known = self.find(candidate)
        if known is not None:
            return known
        self.check_time()
        if model is not None and network is not None and self.folder is not None:
            _save(model, self.folder / network)
        score, loss = self.evaluate(candidate)
        costs = self.costs(candidate.widths)
        trial = Trial(
            candidate.widths, costs.predicted_ms, score, loss, costs, candidate.keep, candidate.network
        )
        self.trials.append(trial)
        self.on_trial(trial)
        return trial

    def adopt(self, trial: Trial) -> None:
        """Take a trial that another process finished, unless it is there already."""
        if self.find(trial.candidate) is None:
            self.trials.append(trial)
            self.on_adopted(trial)

    def best(self) -> list[Trial]:
        """Everything that was tried, best first."""
        return sorted(self.trials, key=self.goal.rank, reverse=True)


class SearchMethod(ABC):
    """A way to choose widths. Constructor arguments are plain values; `search` keeps no state between
    calls."""

    name: ClassVar[str]
    """What ``--method`` calls it."""

    trains: ClassVar[bool] = False
    """Whether it trains the network itself, so that `SearchProblem.context` must be there."""

    on_edges: ClassVar[bool] = True
    """Whether it knows the staircase: networks in the proportions of its own are then moved to the edges too.

    A baseline that does not know it must not be handed it after the search.
    """

    @abstractmethod
    def search(self, problem: SearchProblem) -> None:
        """Try candidates with `SearchProblem.try_widths` until the method is done with it.

        Nothing is returned: what was tried counts, even where the search is interrupted.
        """

    def run(self, problem: SearchProblem) -> list[Trial]:
        """Search until done or out of time; everything that was tried, best first."""
        try:
            self.search(problem)
        except SearchOverError:
            problem.progress(1.0, "time is up")
        return problem.best()


def _save(model: Any, path: Path) -> None:
    """Write a ``.keras`` file, whole or not at all."""
    from profiler import files

    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        model.save(temporary)
