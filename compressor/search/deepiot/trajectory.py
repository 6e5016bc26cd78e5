"""The search of DeepIoT and FastDeepIoT: training in turns, the threshold, and the candidates beside it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compressor.costs import Configuration, narrowest
from compressor.search.base import SearchProblem
from compressor.search.deepiot.options import Rates, ThresholdSchedule
from compressor.search.levels import first_holding
from compressor.search.trial import Trial
from profiler.records import read_arrays, write_arrays
from profiler.tradeoff import halfway

if TYPE_CHECKING:
    from compressor.search.deepiot.training import Training

_SAVE_EVERY_S = 15.0
_CHUNK = 25
_CHANGED = 0.85
_CLOSE = 1.06
_REFINEMENTS = 4
_TRAINING_SHARE = 0.6
_HURRIED = 0.7
_SHARES = 256  # steps in which groups are narrowed beyond the last threshold
_MOST_MISSES, _CLEAR_MISS = 6, 3
_RARELY = 8  # steps of the threshold between looks at the slopes of an expensive cost


Positions = dict[str, list[int]]
"""Which channels of each group stay, ascending."""

ByGroup = Mapping[str, NDArray[np.float64]]
"""The probabilities of each group's channels [width]."""


class Steering:
    """What a search is steered by beside the loss: here, as in DeepIoT, nothing."""

    start = 1.0
    """The weight of `slopes` in the first step of the threshold."""

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem

    @property
    def options(self) -> Mapping[str, float]:
        """What decides how it steers: a search of other options is not gone on with."""
        return {}

    def least(self) -> Configuration:
        """The configuration of least cost that can be reached."""
        return narrowest(self._problem.full)

    def settled(self, keep: Positions, p: ByGroup) -> Positions:
        """The channels to keep where the threshold leaves those of `keep`."""
        return keep

    def slopes(self, p: ByGroup) -> dict[str, float]:
        """What a group's channels add to the compressor's loss, each times its probability `p`; 0 where missing."""
        return {}

    def raised(self, weight: float, p: ByGroup) -> float:
        """The weight of `slopes` after one more step of the threshold."""
        return weight


@dataclass
class _State:
    """Where a search stands.

    `step` steps of the threshold are finished, and `done` iterations of the next one; `level` is as in `proposal`. `last`,
    `good` and `missed` are the cost of the candidate that was tried last, of the least one that kept the score and of the
    first one that missed it; 0 where there was none. `misses` counts what has missed it in a row, clear misses for more;
    `refining`: what is left is to look between.
    """

    step: int = 0
    done: int = 0
    level: float = 0.0
    weight: float = 1.0
    last: float = 0.0
    good: float = 0.0
    missed: float = 0.0
    misses: int = 0
    refining: bool = False
    finished: bool = False


class Trajectory:
    """One search: the critic and the compressor on their way, and the candidates beside it."""

    def __init__(
        self,
        name: str,
        schedule: ThresholdSchedule,
        rates: Rates,
        steering: Steering,
        problem: SearchProblem,
    ) -> None:
        self._name, self._schedule, self._rates = name, schedule, rates
        self._steering, self._problem = steering, problem
        self._state = _State(weight=steering.start)
        self._slope_of: dict[str, float] | None = None
        self._looked_at = 0  # in which step
        self._seconds = 0.0  # of an iteration
        self._saved = self._started = time.monotonic()
        self._training: Training
        self._proposals: dict[float, Positions] = {}
        self._proposed_after = -1

    def go(self) -> None:
        """Search."""
        problem = self._problem
        problem.recall()
        if not problem.groups:
            problem.try_configuration(problem.full)
            return
        least = self._steering.least()
        if problem.budget is not None and problem.cost.exact(least) > problem.budget:
            problem.try_configuration(least)  # the nearest there is
            return
        stored = self._stored()
        if stored is not None and stored[0].finished and problem.trials:
            return
        problem.check_time()
        self._begin(stored)
        while not self._state.finished:
            self._train()
            if problem.is_late(self._started):
                # Try one candidate with what is known by now.
                self._try(self._level_within(problem.budget or _HURRIED * problem.cost.exact(problem.full)))
                return
            self._judge()
            if not self._state.finished:
                self._raise_level()
            self._save()
        if not problem.trials:
            problem.try_configuration(least)

    def proposal(self, level: float) -> Positions:
        """The channels left at a level: a threshold; what exceeds the last is the share that each group loses on top."""
        if self._proposed_after != self._training.iteration:
            self._proposals, self._proposed_after = {}, self._training.iteration
        if level not in self._proposals:
            p = self._by_group(self._training.probabilities)
            left = _left(p, level, self._schedule.final_threshold)
            self._proposals[level] = self._steering.settled(left, p)
        return self._proposals[level]

    # Training.

    def _begin(self, stored: tuple[_State, dict[str, NDArray[Any]]] | None) -> None:
        from compressor.search.deepiot.training import Training

        self._training = Training(self._problem.context, self._rates, self._problem.seed)
        self._state.last = self._problem.cost.exact(self._problem.full)
        if stored is not None and self._training.restore(stored[1]):
            self._state = stored[0]

    def _train(self) -> None:
        """The iterations of a step of the threshold that are left: all of them, whatever the time."""
        state, slopes, alive = self._state, self._slopes(), self._alive()
        whole = self._schedule.iterations
        while state.done < whole:
            self._problem.check_time()
            count = min(_CHUNK, whole - state.done)
            started = time.monotonic()
            self._training.run(count, self._threshold, slopes, alive)
            if self._training.iteration > count:  # the first ones compile
                self._seconds = (time.monotonic() - started) / count
            state.done += count
            if self._problem.cost.cheap:
                slopes = self._slopes()
            alive = self._alive()
            if time.monotonic() - self._saved > _SAVE_EVERY_S:
                self._save()
        self._report()

    def _stride(self) -> int:
        """How many steps the threshold rises by: several where the time would not do for training each of those that are left."""
        left_s = self._problem.deadline - time.monotonic()
        steps = self._schedule.steps - self._state.step
        if steps <= 1 or not math.isfinite(left_s) or not self._seconds:
            return 1
        fitting = int(_TRAINING_SHARE * left_s / (self._schedule.iterations * self._seconds))
        return math.ceil(steps / max(1, fitting))

    def _slopes(self) -> NDArray[np.float64]:
        """What `Steering.slopes` says, times the weight [channels]."""
        step = self._state.step
        if self._problem.cost.cheap or self._slope_of is None or step >= self._looked_at + _RARELY:
            self._slope_of, self._looked_at = self._steering.slopes(self._drawn_with()), step
        slopes = [np.full(g.width, self._slope_of.get(g.id, 0.0)) for g in self._problem.groups.values()]
        return self._state.weight * np.concatenate(slopes)

    def _alive(self) -> NDArray[np.float64]:
        """Which channels are drawn at all: beyond the last threshold those alone that are left [channels]."""
        groups = self._problem.groups.values()
        if self._state.level <= self._schedule.final_threshold:
            return np.ones(sum(group.width for group in groups))
        keep = self.proposal(self._state.level)
        return np.concatenate([np.isin(np.arange(group.width), keep[group.id]) for group in groups]).astype(
            float
        )

    def _drawn_with(self) -> dict[str, NDArray[np.float64]]:
        """The probabilities that masks are drawn with."""
        p = self._training.probabilities
        return self._by_group(np.where(p < self._threshold, p / 2, p) * self._alive())

    def _by_group(self, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        groups = list(self._problem.groups.values())
        ends = np.cumsum([group.width for group in groups])[:-1]
        return dict(zip((group.id for group in groups), np.split(values, ends), strict=True))

    def _report(self) -> None:
        steps = self._schedule.steps + 1
        share = min(0.95, self._state.step / steps)
        cost = self._cost(self._state.level)
        self._problem.progress(
            share, f"threshold {self._threshold:.3f}, cost {cost:.4g} {self._problem.goal.unit}"
        )

    # The threshold.

    @property
    def _threshold(self) -> float:
        """Below it probabilities are halved."""
        return min(self._state.level, self._schedule.final_threshold)

    def _raise_level(self) -> None:
        state, schedule = self._state, self._schedule
        stride = self._stride()
        state.step += stride
        state.done = 0
        for _ in range(stride):
            state.weight = self._steering.raised(state.weight, self._drawn_with())
        if state.step <= schedule.steps:
            state.level = schedule.final_threshold * state.step / schedule.steps
            return
        now = self._cost(state.level)
        state.level = max(state.level, self._level_within((1 - schedule.shrink) * now))
        if self._cost(state.level) >= now:
            state.refining = state.missed > 0  # it fell too far to be missed more often
            state.finished = not state.refining

    def _level_within(self, cost: float) -> float:
        """The lowest level that leaves no more than a cost; where none does, the last one."""
        p, final = np.unique(self._training.probabilities), self._schedule.final_threshold
        beyond = final + np.arange(1, _SHARES + 1) / _SHARES
        levels = np.concatenate([p[p < final], [final], beyond]).tolist()
        return levels[first_holding(-1, len(levels) - 1, lambda i: self._cost(levels[i]) <= cost)]

    def _cost(self, level: float) -> float:
        return self._problem.cost.exact(self._problem.full.with_kept(self.proposal(level)))

    # Candidates.

    def _judge(self) -> None:
        """Try a candidate where it is time to."""
        problem, state = self._problem, self._state
        if problem.budget is None:
            if not state.refining:
                self._walk()
            if state.refining:
                self._refine()
                state.finished = True
        elif self._cost(state.level) <= problem.budget:
            self._try(self._level_within(problem.budget))
            state.finished = True

    def _walk(self) -> None:
        """Under a score to keep: try the network wherever it became cheaper, until the score is missed; then look between."""
        problem, state = self._problem, self._state
        cost = self._cost(state.level)
        if cost > _CHANGED * state.last:
            return
        trial = self._try(state.level)
        state.last = cost
        if trial.score >= problem.least_score:
            state.good, state.missed, state.misses = cost, 0.0, 0
        else:
            clear = trial.score < problem.least_score - self._schedule.margin
            state.missed = state.missed or cost
            state.misses += _CLEAR_MISS if clear else 1
            state.refining = state.misses >= _MOST_MISSES

    def _refine(self) -> None:
        """Halve between the cheapest candidate that kept the score and the next one that missed it."""
        problem, state = self._problem, self._state
        high = state.good or problem.cost.exact(problem.full)
        low = min(state.missed, high)
        for _ in range(_REFINEMENTS):
            middle = halfway(low, high, _CLOSE)
            if middle is None:
                break
            level = self._level_within(middle)
            cost = self._cost(level)
            if cost <= low:  # a step of the staircase: nothing lies between
                low = middle
                continue
            if self._try(level).score >= problem.least_score:
                high = cost
            else:
                low = middle

    def _try(self, level: float) -> Trial:
        """Fine-tune the critic with the channels that a level leaves."""
        problem = self._problem
        keep = self.proposal(level)
        configuration = problem.full.with_kept(keep)
        for trial in problem.trials:
            if trial.configuration == configuration:
                return trial
        self._save()
        digest = hashlib.sha256(json.dumps(keep).encode()).hexdigest()[:8]
        named = None if problem.folder is None else f"candidates/{self._state.step:03d}-{digest}.keras"
        model = self._training.network(keep, self._threshold)
        return problem.try_configuration(configuration, keep, model, named)

    # What is kept on disk.

    @property
    def _file(self) -> Path | None:
        folder = self._problem.folder
        return None if folder is None else folder / f"{self._name}.npz"

    def _save(self) -> None:
        """Write the state, whole or not at all."""
        self._saved = time.monotonic()
        if self._file is None:
            return
        state = np.array(json.dumps(asdict(self._state)))
        write_arrays(self._file, self._signature(), {"state": state, **self._training.arrays()})

    def _stored(self) -> tuple[_State, dict[str, NDArray[Any]]] | None:
        """Where an earlier run of the same search stopped."""
        arrays = None if self._file is None else read_arrays(self._file, self._signature())
        return None if arrays is None else (_State(**json.loads(str(arrays["state"]))), arrays)

    def _signature(self) -> list[Any]:
        """What decides how a search goes on."""
        problem = self._problem
        options = [asdict(self._schedule), asdict(self._rates), dict(self._steering.options)]
        return [*options, problem.budget, asdict(problem.goal), problem.seed]


def _left(p: ByGroup, level: float, final: float) -> Positions:
    """The channels at or above a threshold; beyond the last one a share less of each group, the likeliest."""
    keep = {}
    for name, values in p.items():
        count = max(1, int((values >= min(level, final)).sum()))
        if level > final:
            count = max(1, round(count * (1 - (level - final))))
        keep[name] = sorted(np.argsort(-values, kind="stable")[:count].tolist())
    return keep
