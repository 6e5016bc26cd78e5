"""``netadapt``: cut a little, train a little, take what hurts least, again and again (Yang et al., ECCV 2018)."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from compressor.costs import Configuration, scaled, staircase
from compressor.export import load_keras, save_keras
from compressor.graph import build_graph, cut
from compressor.search.base import SearchMethod, SearchOverError, SearchProblem
from compressor.search.levels import first_holding
from compressor.search.trial import Candidate, Trial
from compressor.training import Importance, Schedule, TrainingError, check_least, strongest
from profiler.errors import UsageError
from profiler.records import Records

_RELAXATIONS = 5
_LEAST_STEP = 1e-6
_FACTORS = 64


@dataclass(frozen=True)
class NetAdaptStep:
    """A network on the way down: its channels by position in the original, and the number that counts."""

    configuration: Configuration
    keep: dict[str, list[int]]
    cost: float
    network: str | None


@dataclass(eq=False)
class NetAdapt(SearchMethod):
    """Goes down in cost step by step, always by the group that costs the least score.

    Parameters
    ----------
    share, decay
        The first step lowers the cost by this share of the original's, each later one by `decay` times the
        one before.
    candidates
        At most so many groups are trained and compared in a step: those that lose least importance for what
        they save.
    rows, epochs, learning_rate
        Of the training of each proposal.
    close
        Where a score is to be kept, networks on the way down are tried (fine-tuned as every method's
        candidates are) whenever the cost has fallen by this ratio.
    patience
        So many of them in a row may miss the score before the way down ends.
    options
        Widths per group that are looked at in a step.
    """

    name: ClassVar[str] = "netadapt"
    trains: ClassVar[bool] = True
    share_of_time: ClassVar[float] = 0.55

    share: float = 0.05
    decay: float = 0.98
    candidates: int = 4
    rows: int = 1000
    epochs: int = 1
    learning_rate: float = 1e-3
    close: float = 1.12
    patience: int = 2
    options: int = 64

    def __post_init__(self) -> None:
        for key, value in (("share", self.share), ("decay", self.decay)):
            if not 0 < value <= 1:
                raise UsageError(f"{key} must be above 0 and at most 1, not {value}.")
        for key in ("candidates", "patience", "options"):
            check_least(key, getattr(self, key))
        if not self.close > 1:
            raise UsageError(f"close must be above 1, not {self.close}.")
        self._schedule()  # says what is wrong with it

    def _schedule(self) -> Schedule:
        return Schedule(epochs=self.epochs, most_rows=self.rows, learning_rate=self.learning_rate)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        try:
            self._search(problem)
        except SearchOverError:
            # What an earlier run tried counts, though there was no time to come to it again.
            problem.recall()
            raise

    def _search(self, problem: SearchProblem) -> None:
        way = _Way(self, self._schedule(), problem)
        if problem.budget is not None:
            while way.steps[-1].cost > problem.budget and way.go_on():
                pass
            way.attempt(len(way.steps) - 1)
            return
        met = self._down(way, problem)
        if met is not None:
            # Between a network that keeps the score and a smaller one that does not.
            first_holding(*met, lambda place: way.attempt(place).score < problem.least_score)

    def _down(self, way: _Way, problem: SearchProblem) -> tuple[int, int] | None:
        """Go down until the score is lost; the places between which it is, None where it never was."""
        last, tried, first_miss, misses = 0, way.steps[0].cost, None, 0
        place = 0
        while misses < self.patience:
            further = way.go_on() if place + 1 == len(way.steps) else True
            place += further
            if further and tried / way.steps[place].cost < self.close:
                continue
            if not further and place == 0:
                way.attempt(0)
                return None
            tried = way.steps[place].cost
            if way.attempt(place).score >= problem.least_score:
                last, first_miss, misses = place, None, 0
            else:
                first_miss, misses = place if first_miss is None else first_miss, misses + 1
            if not further:
                break
        return None if first_miss is None else (last, first_miss)


class _Way:
    """The networks from the original on down, with the last one's weights; kept on disk as it goes."""

    def __init__(self, method: NetAdapt, schedule: Schedule, problem: SearchProblem) -> None:
        self._method, self._schedule, self._problem = method, schedule, problem
        self._prepared = problem.context
        self._cost = problem.cost
        self._started, self._slowest = time.monotonic(), 0.0
        self._models: dict[str, Any] = {}
        keep = {name: list(range(width)) for name, width in problem.full.widths.items()}
        self.steps = [NetAdaptStep(problem.full, keep, problem.cost.exact(problem.full), None)]
        self._folder = problem.folder
        if self._folder is not None:
            asked = {"seed": problem.seed, "budget": problem.budget, "least": problem.goal.least_score}
            self._records = Records(self._folder / "netadapt.jsonl", {**vars(method), **asked})
            self.steps += self._earlier(self._folder)

    def _earlier(self, folder: Path) -> Iterator[NetAdaptStep]:
        """The steps of an earlier run, up to the first whose network is missing."""
        rows: dict[int, dict[str, Any]] = {}
        for row in self._records.read():
            # A step that was taken anew takes the place of the old one and of all that came after it.
            rows = {number: old for number, old in rows.items() if number < row["number"]}
            rows[row["number"]] = row
        for number in range(1, len(rows) + 1):
            if number not in rows or not (folder / rows[number]["network"]).exists():
                return
            row = rows[number]
            configuration = Configuration.from_dict(row["configuration"])
            yield NetAdaptStep(configuration, row["keep"], row["cost"], row["network"])

    def go_on(self) -> bool:
        """Take one step; False where there is none to take."""
        problem, last = self._problem, self.steps[-1]
        self._check_time()
        model = self._model(last)
        graph = build_graph(model)
        importance = self._prepared.importance_of(model, graph, problem.seed)
        best: tuple[float, float, int, Any] | None = None
        for order, (name, width) in enumerate(self._proposals(last, importance)):
            self._check_time()
            chosen = strongest(importance, {**last.configuration.widths, name: width})
            smaller = cut(model, chosen, graph)
            score, loss = self._trained(smaller)
            if best is None or (score, -loss, -order) > best[:3]:
                keep = {g: [last.keep[g][p] for p in positions] for g, positions in chosen.items()}
                best = score, -loss, -order, (smaller, keep)
        if best is None:
            return False
        smaller, keep = best[3]
        configuration = problem.full.with_kept(keep)
        network = f"netadapt/{len(self.steps):03}.keras"
        self._keep(NetAdaptStep(configuration, keep, self._cost.exact(configuration), network), smaller)
        problem.progress(
            0.0, f"netadapt: step {len(self.steps) - 1}, {self.steps[-1].cost:.4g} {problem.goal.unit}"
        )
        return True

    def attempt(self, place: int) -> Trial:
        """Try one of the networks as a candidate."""
        step, problem = self.steps[place], self._problem
        known = problem.find(Candidate(step.configuration, step.keep, step.network))
        if known is not None:
            return known
        problem.check_time()
        # A copy: judging trains what it is given, and the way goes on from here.
        copy = cut(self._model(step), {})
        return problem.try_configuration(step.configuration, step.keep, copy, step.network)

    def _check_time(self) -> None:
        """End the search where no time is left; where little is and nothing was tried, try one network first."""
        self._problem.check_time()
        if self._problem.is_late(self._started, self._slowest):
            self._problem.try_configuration(self._hurried())
            self._problem.check_time()

    def _hurried(self) -> Configuration:
        """The last network's widths times one factor, the widest within what the search aims at."""
        problem, full = self._problem, self._problem.full
        aim = problem.budget or self.steps[0].cost / self._method.close
        last = self.steps[-1].configuration.widths
        shares = {name: width / full.widths[name] for name, width in last.items()}
        rows = [
            scaled(full, {name: share * factor / _FACTORS for name, share in shares.items()})
            for factor in range(1, _FACTORS + 1)
        ]
        return rows[max(0, bisect_right(rows, aim, key=self._cost.exact) - 1)]

    def _proposals(self, last: NetAdaptStep, importance: Importance) -> list[tuple[str, int]]:
        """Group and width of what is worth training, the cheapest in importance first."""
        problem, method = self._problem, self._method
        whole = self.steps[0].cost
        step = whole * method.share * method.decay ** (len(self.steps) - 1)
        if problem.budget is not None:
            step = max(min(step, last.cost - problem.budget), _LEAST_STEP * whole)
        worths = {name: staircase.kept_values(np.asarray(values)) for name, values in importance.items()}
        columns = self._savings(last, worths)
        if not columns:
            return []
        most = max(float(saved.max()) for _, saved in columns.values())
        if most <= _LEAST_STEP * whole:
            return []
        for _ in range(_RELAXATIONS):
            if most >= step:
                break
            step /= 2
        step = min(step, most)
        rows = []
        for name, (options, saved) in columns.items():
            enough = np.flatnonzero(saved >= step * (1 - 1e-9))
            if len(enough):
                place = int(enough[-1])
                width = last.configuration.widths[name]
                lost = float(worths[name][width] - worths[name][options[place]])
                rows.append((lost / float(saved[place]), name, options[place]))
        return [(name, width) for _, name, width in sorted(rows)[: method.candidates]]

    def _savings(self, last: NetAdaptStep, worths: dict[str, Any]) -> dict[str, tuple[list[int], Any]]:
        """Per group the widths below its own, and what each saves."""
        method, now = self._method, last.configuration
        found: dict[str, tuple[list[int], Any]] = {}
        if self._cost.cheap:
            fast = self._cost(now)
            for name, width in now.widths.items():
                options = _spread(width, method.options)
                if options:
                    saved = fast - self._cost.by_width(now, name, options)
                    found[name] = options, saved * (last.cost / fast)
            return found
        # Each look is a conversion and perhaps a measurement: few widths of the groups that matter least.
        losses = {n: worths[n][w] - worths[n][math.ceil(w * 0.75)] for n, w in now.widths.items() if w > 1}
        for name in sorted(losses, key=lambda name: float(losses[name]))[: 2 * method.candidates]:
            self._check_time()
            options = sorted({math.ceil(now.widths[name] * share) for share in (0.5, 0.75, 0.875)})
            options = [option for option in options if option < now.widths[name]]
            costs = [self._cost.exact(now.with_widths({name: option})) for option in options]
            found[name] = options, last.cost - np.array(costs)
        return {name: column for name, column in found.items() if column[0]}

    def _trained(self, model: Any) -> tuple[float, float]:
        started = time.monotonic()
        try:
            outcome = self._prepared.tuner.fit(model, self._schedule, self._problem.seed + len(self.steps))
        except TrainingError:
            return -math.inf, math.inf
        finally:
            self._slowest = max(self._slowest, time.monotonic() - started)
        return outcome.score, outcome.loss

    def _keep(self, step: NetAdaptStep, model: Any) -> None:
        assert step.network is not None
        if self._folder is None:
            self._models[step.network] = model
        else:
            self._models = {step.network: model}
            save_keras(model, self._folder / step.network)
            self._records.append(
                {
                    "number": len(self.steps),
                    "configuration": step.configuration.to_dict(),
                    "keep": step.keep,
                    "cost": step.cost,
                    "network": step.network,
                }
            )
        self.steps.append(step)

    def _model(self, step: NetAdaptStep) -> Any:
        if step.network is None:
            return self._prepared.model
        if step.network not in self._models:
            assert self._folder is not None
            self._models = {step.network: load_keras(self._folder / step.network)}
        return self._models[step.network]


def _spread(width: int, most: int) -> list[int]:
    """Widths below this one, at most so many: all, or evenly spaced."""
    return (
        sorted(set(np.linspace(1, width - 1, min(most, width - 1)).round().astype(int).tolist()))
        if width > 1
        else []
    )
