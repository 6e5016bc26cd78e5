"""From proportions of groups to widths on the edges of a device's steps, and which proportions promise most."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna

from compressor.costs import CandidateWidths, Configuration, staircase
from compressor.search.base import SearchProblem
from compressor.training import normalised

NARROWEST = 0.05
"""The least share that is proposed, in proportion to the others."""

WORST = -1e3
"""The merit of what cannot be, or diverged."""

SHARE: optuna.distributions.BaseDistribution = optuna.distributions.FloatDistribution(
    NARROWEST, 1.0, log=True
)

_PREFIX = "share:"
_CORRECTIONS = 8
_CORRECTION_SLACK = 0.999

Shares = Mapping[str, float]


def _parameter(group: str) -> str:
    """What a group's share is called in a study."""
    return f"{_PREFIX}{group}"


def shares_in(params: Mapping[str, Any]) -> dict[str, float]:
    """The shares among a trial's parameters."""
    return {name[len(_PREFIX) :]: value for name, value in params.items() if name.startswith(_PREFIX)}


class Proposer:
    """Proposals for one problem: `proxy_trials` are judged at each level of cost, of `options` widths per group."""

    def __init__(self, problem: SearchProblem, proxy_trials: int, options: int) -> None:
        self._problem, self._proxy_trials = problem, proxy_trials
        self._importance = normalised(problem.importance)
        self._candidates: CandidateWidths = {}
        if problem.cost.cheap:
            self._candidates = staircase.candidate_widths(problem.cost, problem.full, options)
        self._known: dict[tuple[float, int], list[dict[str, float]]] = {}

    def fastest(self) -> Configuration:
        """The configuration of least cost."""
        return staircase.fastest(self._problem.cost, self._problem.full, self._candidates)

    def configuration(self, level: float, shares: Shares) -> Configuration | None:
        """The widest network in these proportions within a cost, on the edges of its steps; None for none."""
        cost, aim = self._problem.cost, level
        for _ in range(_CORRECTIONS):
            found = staircase.scale_to(cost, self._problem.full, shares, aim)
            if found is None:
                break
            if self._candidates:
                found = staircase.fill_budget(cost, found, self._candidates, self._importance, aim)
            exact = cost.exact(found)
            if exact <= level:
                return found
            # The fast estimate is too low for this network: aim as much lower.
            aim = min(aim, cost(found)) * level / exact * _CORRECTION_SLACK
        # One channel each is not always the fastest there is.
        fastest = self.fastest()
        return fastest if cost.exact(fastest) <= level else None

    def shares(self, configuration: Configuration) -> dict[str, float]:
        """The proportions of widths, none narrower than is proposed."""
        full = self._problem.full.widths
        return {name: max(NARROWEST, width / full[name]) for name, width in configuration.widths.items()}

    def best(self, level: float, count: int) -> list[dict[str, float]]:
        """The `count` best shares by kept importance: greedy ones, even ones, and those of a study in memory."""
        if (level, count) not in self._known:
            self._known[level, count] = self._search(level, count)
        return self._known[level, count]

    def _search(self, level: float, count: int) -> list[dict[str, float]]:
        problem, groups = self._problem, self._problem.full.widths
        found: dict[Configuration, float] = {}

        def judge(configuration: Configuration | None) -> float:
            if configuration is None:
                return WORST
            found[configuration] = staircase.kept_value(self._importance, configuration)
            return found[configuration]

        starts = [self.configuration(level, dict.fromkeys(groups, 1.0))]
        if self._candidates:
            starts.append(
                staircase.shrink_to(problem.cost, problem.full, self._candidates, self._importance, level)
            )
        for start in starts:
            judge(start)
        if self._candidates:
            study = optuna.create_study(direction="maximize", sampler=sampler(problem.seed))
            for start in starts:
                if start is not None:
                    study.enqueue_trial(named(self.shares(start)))
            for _ in range(self._proxy_trials):
                asked = study.ask()
                study.tell(asked, judge(self.configuration(level, suggested(asked, groups))))
        best = sorted(found, key=lambda configuration: -found[configuration])[:count]
        return [self.shares(configuration) for configuration in best]

    def promising(self, seen: Sequence[tuple[Shares, float]], seed: int) -> dict[str, float]:
        """Shares that promise a better score, by Optuna's choice; `seen` are shares at about that level and the merit of each."""
        study = optuna.create_study(direction="maximize", sampler=sampler(seed))
        kinds = {_parameter(name): SHARE for name in self._problem.full.widths}
        study.add_trials(
            [
                optuna.trial.create_trial(params=named(shares), distributions=kinds, value=merit)
                for shares, merit in seen
                if set(shares) == set(self._problem.full.widths)
            ]
        )
        return suggested(study.ask(), self._problem.full.widths)


def suggested(asked: Any, groups: Iterable[str]) -> dict[str, float]:
    """The shares that a study suggests for a trial."""
    return {name: asked.suggest_float(_parameter(name), NARROWEST, 1.0, log=True) for name in groups}


def sampler(seed: int) -> Any:
    """Tree-structured Parzen estimators; trials that still run count as bad, so that processes keep apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=5, constant_liar=True
        )


def named(shares: Shares) -> dict[str, float]:
    """The shares by the names of their parameters."""
    return {_parameter(name): share for name, share in shares.items()}
