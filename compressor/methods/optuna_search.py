"""``optuna``: Optuna searches the proportions of widths; predicted time decides how wide they can be."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from compressor.graph import Widths
from compressor.importance import normalised
from compressor.methods.base import SearchMethod, SearchProblem, Trial
from compressor.steps import Ladders, fastest, filled, fitted, kept_value, ladders, narrowed
from profiler.errors import UsageError

_NARROWEST = 0.05
_CLOSE = 1.06
_LOSS_WEIGHT = 0.1
_WORST = -1e3


class OptunaSearch(SearchMethod):
    """Tree-structured Parzen estimators over the proportions of groups, along the staircase of predicted
    time.

    A proposal says only how the groups' shares relate. It is then made as wide as the time allows, moved to a
    local minimum of predicted time, and what is left of the time is spent where a millisecond buys most
    importance: so every candidate makes full use of the device. Many proposals are judged by the importance
    that they keep; the best of them, and what Optuna proposes from there, by a short fine-tuning.

    Parameters
    ----------
    trials
        Candidates that are fine-tuned.
    proxy_trials
        Proposals judged by kept importance, for each amount of time that is looked at.
    tries
        Under a limit on the score: candidates that may fail before an amount of time is given up.
    rungs
        Widths per group that are looked at.
    """

    name: ClassVar[str] = "optuna"

    def __init__(self, trials: int = 16, proxy_trials: int = 60, tries: int = 2, rungs: int = 24) -> None:
        for key, value in (
            ("trials", trials),
            ("proxy_trials", proxy_trials),
            ("tries", tries),
            ("rungs", rungs),
        ):
            if value < 1:
                raise UsageError(f"{key} must be 1 or more, not {value}.")
        self.trials = trials
        self.proxy_trials = proxy_trials
        self.tries = tries
        self.rungs = rungs

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        if not problem.groups:
            problem.try_widths({})
            return
        _Search(self, problem).go()


class _Search:
    """One search: the problem, its ladders and the study that is kept on disk."""

    def __init__(self, method: OptunaSearch, problem: SearchProblem) -> None:
        self._method, self._problem = method, problem
        self._importance = normalised(problem.importance)
        self._steps: Ladders = {}
        if problem.cost.cheap:
            self._steps = ladders(problem.cost, problem.full, method.rungs)
        self._study = self._open_study()
        self._asked = len(self._study.trials)
        for finished in self._study.trials:
            widths = finished.user_attrs.get("widths")
            if widths is not None:
                problem.try_widths(widths)

    def go(self) -> None:
        problem = self._problem
        least = fastest(problem.cost, problem.full, self._steps)
        if problem.budget is not None:
            budget = problem.budget
            if problem.cost.exact(least) > budget:
                problem.try_widths(least)  # the nearest there is
            else:
                self._within(budget)
        else:
            self._least_time(problem.cost.exact(least))

    def _within(self, budget_ms: float) -> None:
        """Look for the best score within a time: the best proposals first, then what Optuna makes of them."""
        first = self._proposals(budget_ms, max(1, self._method.trials // 2))
        for shares in first[self._asked :]:
            self._ask(budget_ms, shares)
        while not self._enough():
            self._ask(budget_ms)

    def _least_time(self, least_ms: float) -> None:
        """Look for the least time at a score by halving, on the scale of ratios.

        After an interruption the same steps are taken again; what was tried is only looked up.
        """
        problem = self._problem
        low, high = least_ms / _CLOSE, problem.cost.exact(problem.full)
        while high / low > _CLOSE and not self._enough():
            level_ms = math.sqrt(low * high)
            proposals = self._proposals(level_ms, self._method.tries)
            met: Trial | None = None
            for shares in proposals:
                asked = self._ask(level_ms, shares)
                if asked is not None and asked.score >= problem.least_score:
                    met = asked
                    break
            if met is None:
                low = level_ms
            else:
                high = min(level_ms, problem.cost.exact(met.widths))

    def _enough(self) -> bool:
        """Whether all trials are used up, those of an earlier run included."""
        return len(self._problem.trials) >= self._method.trials or self._asked >= 4 * self._method.trials

    def _ask(self, time_ms: float, shares: Mapping[str, float] | None = None) -> Trial | None:
        """Fine-tune one candidate of about this time: a given one, or one that Optuna proposes."""
        if shares is not None:
            self._study.enqueue_trial({_parameter(name): share for name, share in shares.items()})
        asked = self._study.ask()
        self._asked += 1
        widths = self._candidate(time_ms, self._suggested(asked))
        if widths is None:
            self._study.tell(asked, _WORST)
            return None
        trial = self._problem.try_widths(widths)
        asked.set_user_attr("widths", trial.widths)
        asked.set_user_attr("predicted_ms", trial.predicted_ms)
        self._study.tell(asked, _merit(trial))
        return trial

    def _suggested(self, asked: Any) -> dict[str, float]:
        return {
            name: asked.suggest_float(_parameter(name), _NARROWEST, 1.0, log=True)
            for name in self._problem.full
        }

    def _candidate(self, time_ms: float, shares: Mapping[str, float]) -> dict[str, int] | None:
        """The widest network in these proportions within a time, on the edges of its steps."""
        problem = self._problem
        widths = fitted(problem.cost, problem.full, shares, time_ms, 24 if problem.cost.cheap else 6)
        if widths is None or not self._steps:
            return widths
        return filled(problem.cost, widths, self._steps, self._importance, time_ms)

    def _proposals(self, time_ms: float, count: int) -> list[dict[str, float]]:
        """The `count` best shares by kept importance: greedy ones, even ones, and those of a study in
        memory."""
        import optuna

        full = self._problem.full
        found: dict[tuple[int, ...], tuple[float, dict[str, int]]] = {}

        def judge(widths: Widths | None) -> float:
            if widths is None:
                return _WORST
            value = kept_value(self._importance, widths)
            found[tuple(widths.values())] = value, dict(widths)
            return value

        starts: list[Widths | None] = [self._candidate(time_ms, dict.fromkeys(full, 1.0))]
        if self._steps:
            starts.append(narrowed(self._problem.cost, self._steps, self._importance, time_ms))
        for start in starts:
            judge(start)
        if self._steps:
            study = optuna.create_study(direction="maximize", sampler=self._sampler(0))
            for start in starts:
                if start is not None:
                    study.enqueue_trial(
                        {_parameter(n): max(_NARROWEST, w / full[n]) for n, w in start.items()}
                    )
            for _ in range(self._method.proxy_trials):
                asked = study.ask()
                study.tell(asked, judge(self._candidate(time_ms, self._suggested(asked))))
        best = sorted(found.values(), key=lambda item: -item[0])[:count]
        return [
            {name: max(_NARROWEST, width / full[name]) for name, width in widths.items()}
            for _, widths in best
        ]

    def _open_study(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        storage = None
        if self._problem.folder is not None:
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend

            storage = JournalStorage(JournalFileBackend(str(self._problem.folder / "optuna.journal")))
        study = optuna.create_study(
            storage=storage, study_name="widths", direction="maximize", load_if_exists=True
        )
        for unfinished in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(unfinished.number, state=optuna.trial.TrialState.FAIL)
        study.sampler = self._sampler(len(study.trials))
        return study

    def _sampler(self, offset: int) -> Any:
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=self._problem.seed + offset, multivariate=True, n_startup_trials=5
            )


def _parameter(group: str) -> str:
    return f"share:{group}"


def _merit(trial: Trial) -> float:
    """What Optuna raises: the score, and of near-equal ones the lower loss."""
    if not math.isfinite(trial.score):
        return _WORST
    return trial.score - _LOSS_WEIGHT * min(trial.loss, 10.0)
