"""What a search method is given, what it must do, and how candidates are compared."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from compressor.graph import Group, Widths
from compressor.importance import Importance
from compressor.steps import Times
from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent


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
    """

    widths: dict[str, int]
    predicted_ms: float
    score: float
    loss: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite becomes None."""
        return {
            "widths": self.widths,
            "predicted_ms": self.predicted_ms,
            "score": self.score if math.isfinite(self.score) else None,
            "loss": self.loss if math.isfinite(self.loss) else None,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` wrote."""
        return cls(
            {str(name): int(width) for name, width in value["widths"].items()},
            float(value["predicted_ms"]),
            -math.inf if value["score"] is None else float(value["score"]),
            math.inf if value["loss"] is None else float(value["loss"]),
        )


@dataclass(frozen=True)
class Goal:
    """What is looked for: the best score within a time, or the least time at a score.

    Parameters
    ----------
    budget_ms
        Predicted time that a candidate may take.
    least_score
        Validation score that a candidate must keep.
    """

    budget_ms: float | None = None
    least_score: float | None = None

    def __post_init__(self) -> None:
        if (self.budget_ms is None) == (self.least_score is None):
            raise UsageError("Give either a budget of time or an accuracy to keep.")

    def met_by(self, trial: Trial) -> bool:
        """Whether a candidate is good enough."""
        if self.budget_ms is not None:
            return trial.predicted_ms <= self.budget_ms and math.isfinite(trial.score)
        assert self.least_score is not None
        return trial.score >= self.least_score

    def rank(self, trial: Trial) -> tuple[float, ...]:
        """Sort key: candidates that meet the goal come before those that do not, the better one has the
        larger key."""
        if self.budget_ms is not None:
            if self.met_by(trial):
                return (1.0, trial.score, -trial.loss)
            return (0.0, -trial.predicted_ms, trial.score)
        if self.met_by(trial):
            return (1.0, -trial.predicted_ms, trial.score)
        return (0.0, trial.score, -trial.predicted_ms)


class CandidateTimes(Times, Protocol):
    """Predicted time of candidates (`compressor.timing.PredictedTime` has it)."""

    @property
    def cheap(self) -> bool:
        """Whether thousands can be looked at."""

    def exact(self, widths: Widths) -> float:
        """What the time model says of the whole network, in ms."""


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
    times
        Predicted time of candidates: cheap, ask thousands of times.
    evaluate
        Score and loss after a short fine-tuning: seconds to minutes. Asked through `try_widths`.
    goal
        What is looked for.
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
    context
        The model, its graph and its task, for methods that look into them.
    """

    groups: Mapping[str, Group]
    importance: Importance
    times: CandidateTimes
    evaluate: Callable[[Widths], tuple[float, float]]
    goal: Goal
    original: Trial
    seed: int = 0
    deadline: float = math.inf
    folder: Path | None = None
    known: list[Trial] = field(default_factory=list)
    on_trial: Callable[[Trial], None] = lambda trial: None
    progress: ProgressCallback = silent
    context: Any = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def full(self) -> dict[str, int]:
        """The widths of the network as it is."""
        return {group.id: group.width for group in self.groups.values()}

    def try_widths(self, widths: Widths) -> Trial:
        """Fine-tune a candidate shortly and remember how it did; one that was tried before is only looked up.

        Raises
        ------
        SearchOverError
            No time is left.
        """
        wanted = {name: int(widths[name]) for name in self.groups}
        for trial in self.trials:
            if trial.widths == wanted:
                return trial
        for trial in self.known:
            if trial.widths == wanted:
                self.trials.append(trial)
                return trial
        if time.monotonic() >= self.deadline:
            raise SearchOverError
        score, loss = self.evaluate(wanted)
        trial = Trial(wanted, self.times.exact(wanted), score, loss)
        self.trials.append(trial)
        self.on_trial(trial)
        return trial

    def best(self) -> list[Trial]:
        """Everything that was tried, best first."""
        return sorted(self.trials, key=self.goal.rank, reverse=True)


class SearchMethod(ABC):
    """A way to choose widths. Constructor arguments are plain values; `search` keeps no state between
    calls."""

    name: ClassVar[str]
    """What ``--method`` calls it."""

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
