"""``optuna``: Optuna searches the proportions of widths; predicted time decides how wide they can be."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import optuna

from compressor.costs import Costs
from compressor.search.base import SearchMethod, SearchOverError, SearchProblem
from compressor.search.levels import CLOSE
from compressor.search.optuna.next_trial import (
    NextTrial,
    StudyTrial,
    early_epoch,
    is_hopeless,
    next_least,
    next_within,
    settled,
)
from compressor.search.optuna.proposals import SHARE, WORST, Proposer, named, sampler, suggested
from compressor.search.optuna.storage import StorageError
from compressor.search.optuna.study import BEING_TRIED, LEVEL, SharedStudy
from compressor.search.trial import Trial
from compressor.training import check_least

_LOSS_WEIGHT = 0.1
_ASK_FACTOR = 4
_WAIT_S = 0.5
_NEAR = 1.3


@dataclass(eq=False)
class OptunaSearch(SearchMethod):
    """Tree-structured Parzen estimators over the proportions of groups, along the staircase of predicted
    time: score up, time and size (or whatever the goal limits) down.

    First come proposals that keep most importance; then two of three trials aim at the goal and the third anywhere at the
    Pareto front. A trial that is clearly dominated after the first part of its training is stopped there. Many processes
    can take part in one search: each runs this same method on the same storage.

    Parameters
    ----------
    trials
        Candidates that are fine-tuned, those stopped early included.
    proxy_trials
        Proposals judged by kept importance, for each amount of time that is looked at.
    tries
        Under a limit on the score: candidates that may fail before an amount of time is given up.
    options
        Widths per group that are looked at.
    storage, study
        URL of a database for the study (default: an SQLite file in the search's folder), and its name there.
    leads
        Whether this process answers for the search; others help until it is over.
    about
        Plain JSON values about the search, for processes that want to help.
    beat_s, grace_s
        Seconds between heartbeats, and without one after which a process counts as gone: its trial is tried
        again by another.
    """

    name: ClassVar[str] = "optuna"

    trials: int = 16
    proxy_trials: int = 60
    tries: int = 2
    options: int = 24
    storage: str | None = None
    study: str = "widths"
    leads: bool = True
    about: Mapping[str, Any] | None = None
    beat_s: int = 10
    grace_s: int = 60

    def __post_init__(self) -> None:
        for key in ("trials", "proxy_trials", "tries", "options"):
            check_least(key, getattr(self, key))

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        if not problem.groups:
            problem.try_configuration(problem.full)
            return
        problem.check_time()
        search = _Search(self, problem)
        if problem.budget is not None and search.least > problem.budget:
            if self.leads:
                problem.try_configuration(search.proposer.fastest())  # the nearest there is
            return
        search.go()


class _StoppedEarlyError(Exception):
    """A trial is not worth going on with."""


class _Search:
    """One process's part in one search."""

    def __init__(self, method: OptunaSearch, problem: SearchProblem) -> None:
        self._method, self._problem = method, problem
        self.proposer = Proposer(problem, method.proxy_trials, method.options)
        self.least = problem.cost.exact(self.proposer.fastest())
        whole = problem.cost.exact(problem.full)
        self._range = self.least, max(self.least, whole if problem.budget is None else problem.budget)
        self._objectives = _objectives(problem)
        self._costs: tuple[float, ...] = ()
        self._early_score: float | None = None

    def go(self) -> None:
        """Take part until the study is complete."""
        method, problem = self._method, self._problem
        self._study = SharedStudy(
            method.storage, problem.folder, method.study, len(self._objectives),
            method.leads, method.about, method.beat_s, method.grace_s,
        )  # fmt: skip
        before, problem.on_epoch = problem.on_epoch, self._watch
        over = False
        try:
            past = self._study.trials()
            self._study.study.sampler = sampler(problem.seed + len(past))
            self._bring_known(past)
            while self._turn():
                pass
            over = True
        except SearchOverError:
            with contextlib.suppress(StorageError):
                self._collect(self._study.trials())  # what others finished during the last trial
            over = True
            raise
        finally:
            problem.on_epoch = before
            self._study.close(over or time.monotonic() >= problem.deadline)
        if method.leads and not problem.trials:
            # No proposal came to anything: at least there is one network to go on with.
            least = problem.full if problem.budget is None else self.proposer.fastest()
            problem.try_configuration(least)

    def _bring_known(self, past: Sequence[StudyTrial]) -> None:
        """Put into the study what was finished without it, such as where its storage was lost."""
        there = [one.widths for one in past if one.state == "finished"]
        levels = optuna.distributions.FloatDistribution(*self._range, log=True)
        for trial in self._problem.known:
            if set(trial.widths) != set(self._problem.full.widths) or trial.keep or trial.network:
                continue
            if trial.widths not in there:
                cost = self._problem.cost.exact(trial.configuration)
                shares = self.proposer.shares(trial.configuration)
                params = {LEVEL: self._in_range(cost), **named(shares)}
                kinds = {LEVEL: levels, **dict.fromkeys(named(shares), SHARE)}
                costs = self._objective_costs(trial.costs)
                self._study.add(params, kinds, trial, (_merit(trial), *costs), cost, costs)

    def _turn(self) -> bool:
        """One trial, or a while of waiting; False where there is nothing left to do."""
        problem, study, trials = self._problem, self._study, self._method.trials
        study.check_over()
        study.retry_lost()
        past = study.trials()
        self._collect(past)
        done = _distinct(one for one in past if one.state in ("finished", "pruned"))
        running = sum(one.state == "running" for one in past)
        if done + running >= trials or self._exhausted(past):
            if not running:
                return False
            problem.check_time()
            time.sleep(_WAIT_S)  # others' trials may have to be done again
            return True
        problem.check_time()
        past = settled(past)
        step = self._next(past)
        shares = None if step.level is None else self._shares(step, past)
        asked = study.ask(step.kind, step.level, shares)
        with study.working_on(asked):
            self._try(asked)
        return True

    def _exhausted(self, past: Sequence[StudyTrial]) -> bool:
        """Whether asking on promises no network that was not tried.

        Trials that yielded to a running one say nothing about that, nor does anything while trials wait to be taken up.
        """
        running = any(one.state == "running" for one in past)
        asked = sum(running or not one.yielded for one in past)
        return asked >= _ASK_FACTOR * self._method.trials and not self._study.waiting()

    def _next(self, past: Sequence[StudyTrial]) -> NextTrial:
        problem, method = self._problem, self._method
        if problem.budget is not None:
            step = next_within(past, method.trials, problem.budget)
        else:
            step = next_least(
                past, self.least, self._range[1], problem.least_score,
                lambda level: len(self.proposer.best(level, method.tries)), CLOSE,
            )  # fmt: skip
        if step.level is None:
            return step
        return replace(step, level=self._in_range(step.level))

    def _in_range(self, level: float) -> float:
        return min(max(level, self._range[0]), self._range[1])

    def _shares(self, step: NextTrial, past: Sequence[StudyTrial]) -> Mapping[str, float] | None:
        assert step.level is not None
        if step.kind == "propose":
            best = self._proposals(step.level, past)
            if step.attempt < len(best):
                return best[step.attempt]
        seen = []
        for one in past:
            if one.shares and step.level / _NEAR <= one.level <= step.level * _NEAR:
                seen.append((one.shares, WORST if one.trial is None else _merit(one.trial)))
        return self.proposer.promising(seen, self._problem.seed + len(past))

    def _proposals(self, level: float, past: Sequence[StudyTrial]) -> list[dict[str, float]]:
        if self._problem.budget is None:
            return self.proposer.best(level, self._method.tries)
        best = self.proposer.best(level, max(1, self._method.trials // 2))
        tried = [one.widths for one in past if one.widths is not None and one.state != "void"]
        return [shares for shares in best if self._widths(level, shares) not in tried]

    def _widths(self, level: float, shares: Mapping[str, float]) -> Mapping[str, int] | None:
        found = self.proposer.configuration(level, shares)
        return None if found is None else found.widths

    def _try(self, asked: Any) -> None:
        """Make a configuration of what was asked for, and fine-tune it."""
        problem, study = self._problem, self._study
        with_level = asked.suggest_float(LEVEL, *self._range, log=True)
        configuration = self.proposer.configuration(with_level, suggested(asked, problem.full.widths))
        past = study.trials()
        before = [one for one in past if one.number < asked.number and one.state != "void"]
        if _distinct(before) >= self._method.trials:
            study.void(asked)  # too many were asked for at once
            return
        if configuration is None:
            study.void(asked, "narrower than one channel")
            return
        same = [one for one in past if one.widths == configuration.widths and one.number != asked.number]
        for one in same:
            if one.state in ("finished", "pruned"):
                study.void(asked, "tried before", one.trial)
                return
        self._costs = self._objective_costs(problem.costs(configuration))
        exact = problem.cost.exact(configuration)
        if not study.claim(asked, configuration.widths, exact, self._costs):
            study.void(asked, BEING_TRIED)
            return
        self._early_score = None
        try:
            trial = problem.try_configuration(configuration)
        except _StoppedEarlyError:
            study.prune(asked, self._early_score or 0.0)
            return
        values = (_merit(trial), *self._objective_costs(trial.costs))
        study.finish(asked, trial, values, self._early_score)

    def _watch(self, epoch: int, epochs: int, score: float) -> None:
        """Look at a trial in training once, and stop it where it is clearly dominated."""
        if epoch == early_epoch(epochs) > 0 and self._early_score is None:
            self._early_score = score
            if is_hopeless(score, self._costs, self._study.trials()):
                raise _StoppedEarlyError

    def _collect(self, past: Sequence[StudyTrial]) -> None:
        """Take what other processes, or earlier runs, have finished."""
        for one in past:
            if one.state == "finished" and one.trial is not None:
                self._problem.adopt(one.trial)

    def _objective_costs(self, costs: Costs) -> tuple[float, ...]:
        return tuple(float(costs.by_name[name] or 0.0) for name in self._objectives)


def _objectives(problem: SearchProblem) -> list[str]:
    """The costs that are made small: those that the goal names, else time and size, where they are known."""
    goal = problem.goal
    named = {name for name in (goal.objective, *goal.limits) if name != "score"}
    if named <= {"time"}:
        named = {"time", "size"}
    whole = problem.costs(problem.full).by_name
    return [name for name in whole if name in named and whole[name]]


def _distinct(past: Iterable[StudyTrial]) -> int:
    """How many networks trials are about: two processes may, rarely, have tried the same one."""
    return len({tuple(sorted((one.widths or {}).items())) or one.number for one in past})


def _merit(trial: Trial) -> float:
    """What Optuna raises: the score, and of near-equal ones the lower loss."""
    if not math.isfinite(trial.score):
        return WORST
    return trial.score - _LOSS_WEIGHT * min(trial.loss, 10.0)
