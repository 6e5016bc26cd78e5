"""What a search method is given, and what it must do."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from compressor.costs import CandidateCost, Configuration, Costs
from compressor.export import save_keras
from compressor.graph import Change, Group, Keep
from compressor.search.effort import Effort
from compressor.search.trial import Candidate, Goal, Trial
from compressor.training import Importance
from profiler.progress import ProgressCallback, silent

_LAST_SHARE = 0.2


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
    blocks
        What can be taken out besides channels, by id (`compressor.changes`).
    quick_loss
        The loss of a configuration before any training, in fractions of a second: to rank candidates by.
    effort
        What time is spent on; a method adds what it does beside training.
    cost
        The number that steers, in ms, made of what the goal limits (`compressor.costs.steering_cost`). Ask it thousands
        of times where it is cheap.
    budget
        What a candidate may cost; None where the cost is to be made small at `least_score`.
    costs
        All that a configuration costs, for the record.
    evaluate
        Score and loss after a short fine-tuning: seconds to minutes. Asked through `try_configuration`.
    goal
        What is looked for; by it trials are compared.
    original
        The network as it is.
    seed
        Of everything random in the method.
    deadline
        On the clock of `time.monotonic`.
    needs_one
        Whether the first candidate is tried even where no time is left, so that there is a network to go on with.
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
        raises ends the training and comes out of `try_configuration`.
    control
        Set by a method: what takes part in the training of finalists whatever else does, so that what is handed over is no worse.
    settled
        What a configuration is once its network is judged: with the precision that suits the goal best, where that is a choice.
    context
        A `compressor.pipeline.prepare.preparation.Prepared`: the model, its graph and its task, for methods that train.
    """

    groups: Mapping[str, Group]
    importance: Importance
    cost: CandidateCost
    budget: float | None
    costs: Callable[[Configuration], Costs]
    evaluate: Callable[[Candidate], tuple[float, float]]
    goal: Goal
    original: Trial
    seed: int = 0
    deadline: float = math.inf
    needs_one: bool = True
    folder: Path | None = None
    known: list[Trial] = field(default_factory=list)
    on_trial: Callable[[Trial], None] = lambda trial: None
    on_adopted: Callable[[Trial], None] = lambda trial: None
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, score: None
    settled: Callable[[Configuration], Configuration] = lambda configuration: configuration
    progress: ProgressCallback = silent
    context: Any = None
    blocks: Mapping[str, Change] = field(default_factory=dict)
    quick_loss: Callable[[Configuration], float] = lambda configuration: 0.0
    effort: Effort = field(default_factory=Effort)
    control: Candidate | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def full(self) -> Configuration:
        """The network as it is. Methods change in it what they choose (`Configuration.with_widths`)."""
        return self.original.configuration

    @property
    def least_score(self) -> float:
        """The validation score to keep; -inf where only costs are limited."""
        least = self.goal.least_score
        return -math.inf if least is None else least

    def check_time(self) -> None:
        """Raise `SearchOverError` where no time is left, but for the one candidate that is always tried."""
        enough = bool(self.trials or self.known) or not self.needs_one
        if enough and time.monotonic() >= self.deadline:
            raise SearchOverError

    def is_late(self, started: float, needed_s: float = 0.0) -> bool:
        """Whether time will do for a single candidate alone, and there is none yet; the next look is `needed_s` away."""
        left = self.deadline - time.monotonic()
        if not math.isfinite(left) or self.trials:
            return False
        return left < max(needed_s, _LAST_SHARE * (self.deadline - started))

    def recall(self) -> None:
        """Count what an earlier run tried as tried in this one."""
        for trial in self.known:
            self.find(trial.candidate)

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

    def try_configuration(
        self,
        configuration: Configuration,
        keep: Keep | None = None,
        model: Any = None,
        network: str | None = None,
    ) -> Trial:
        """Fine-tune a candidate shortly and remember how it did; one that was tried before is only looked up.

        Parameters
        ----------
        keep
            Which channels stay; None for the most important ones.
        model, network
            A network of this configuration whose weights to go on from, and what to call its file (in the search's
            folder, such as ``candidates/003.keras``). None to inherit those of the original.

        Raises
        ------
        SearchOverError
            No time is left, and there is a candidate already.
        """
        kept = None if keep is None else {name: [int(p) for p in keep[name]] for name in self.groups}
        configuration = configuration.with_precision("")  # which is chosen once the network is judged
        candidate = Candidate(configuration, kept, network, model)
        known = self.find(candidate)
        if known is not None:
            return known
        self.check_time()
        if model is not None and network is not None and self.folder is not None:
            save_keras(model, self.folder / network)
        score, loss = self.evaluate(candidate)
        configuration = self.settled(configuration)
        trial = Trial(configuration, self.costs(configuration), score, loss, kept, network)
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
    """A way to choose a configuration; constructor arguments are plain values, `search` keeps no state between calls."""

    name: ClassVar[str]
    """What ``--method`` calls it."""

    trains: ClassVar[bool] = False
    """Whether it trains the network itself, so that `SearchProblem.context` must be there."""

    on_edges: ClassVar[bool] = True
    """Whether it knows the staircase: networks in the proportions of its own are then moved to the edges too.

    A baseline that does not know it must not be handed it after the search.
    """

    removes_blocks: ClassVar[bool] = False
    """Whether it can do without whole blocks (`SearchProblem.blocks`)."""

    share_of_time: ClassVar[float] = 0.3
    """Of the minutes that are given; the rest is for training finalists, and for measuring."""

    compares: ClassVar[int] = 2
    """Where time is short it is shared out so that at least so many candidates are trained shortly, all equally long; twice as
    many under a limit on the score, where the least cost is to be found, too."""

    @abstractmethod
    def search(self, problem: SearchProblem) -> None:
        """Try candidates with `SearchProblem.try_configuration` until the method is done with it.

        Nothing is returned: what was tried counts, even where the search is interrupted.
        """

    def run(self, problem: SearchProblem) -> list[Trial]:
        """Search until done or out of time; everything that was tried, best first."""
        try:
            self.search(problem)
        except SearchOverError:
            problem.progress(1.0, "time is up")
        problem.recall()  # what an earlier run tried counts, whether this one came to it again or not
        return problem.best()
