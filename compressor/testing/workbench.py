"""What search methods are tried on: a task that is a formula, on a device that is a staircase."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from compressor.costs import CandidateCost, Configuration, Costs, narrowest, steering_cost
from compressor.graph import Group, Widths
from compressor.search import Candidate, Goal, SearchProblem, Trial
from compressor.training import Importance

WIDTHS = {"a": 24, "b": 48, "c": 40}
TWELVE = dict(zip("abcdefghijkl", (24, 1, 16, 2, 48, 3, 32, 8, 40, 5, 64, 20), strict=True))
TILE = 16
MOST_CANDIDATES = 400

Judge = Callable[[Candidate], tuple[float, float]]


def _check_widths(full: Widths, widths: Widths) -> None:
    assert set(widths) == set(full), f"{sorted(widths)} are not the groups {sorted(full)}"
    wrong = {name: width for name, width in widths.items() if not 1 <= width <= full[name]}
    assert not wrong, f"impossible widths {wrong}: each is 1 to {dict(full)}"


class StaircaseTimes(CandidateCost):
    """A device whose layers work in tiles: 17 output channels cost as much as 32, each input channel its share.

    The groups stand one behind the other. An AssertionError tells who asks about widths that do not exist.
    """

    cheap = True
    tile = TILE

    def __init__(self, full: Widths = WIDTHS) -> None:
        self._full = dict(full)

    def exact(self, configuration: Configuration) -> float:
        """In ms."""
        widths = configuration.widths
        _check_widths(self._full, widths)
        total, before = 0.0, 1
        for name in self._full:
            total += 0.001 + 1e-5 * before * self.tile * math.ceil(widths[name] / self.tile)
            before = widths[name]
        return total


class CoarseTimes(StaircaseTimes):
    """The same device where looking at a candidate is expensive (`compressor.costs.ConvertingLowering`)."""

    cheap = False


class SmoothTimes(StaircaseTimes):
    """A device without any steps, such as one that counts multiplications: every channel saves something."""

    tile = 1


class _FormulaCost(CandidateCost):
    """A cost that is a formula in the widths."""

    cheap = True

    def __init__(self, formula: Callable[[Widths], float]) -> None:
        self._formula = formula

    def exact(self, configuration: Configuration) -> float:
        """What the formula says."""
        return self._formula(configuration.widths)


class SmoothJudge:
    """A task on which every group matters, the first ones most: score and loss follow from the widths."""

    def __init__(self, full: Widths = WIDTHS) -> None:
        self._full = dict(full)
        raw = {name: math.sqrt(0.4**place) + 0.1 for place, name in enumerate(full)}
        if len(full) == 3:
            raw = dict(zip(full, (0.5, 0.3, 0.2), strict=True))
        self._weights = {name: weight / sum(raw.values()) for name, weight in raw.items()}

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Score and loss."""
        loss = sum(
            weight * (1 - candidate.widths[name] / self._full[name]) ** 2
            for name, weight in self._weights.items()
        )
        return 1 - loss, loss


class Counting:
    """A judge that remembers what it was asked (without the networks), and ends a search that does not end."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.candidates: list[Candidate] = []

    @property
    def asked(self) -> list[tuple[int, ...]]:
        """The widths."""
        return [tuple(candidate.widths.values()) for candidate in self.candidates]

    @property
    def keys(self) -> list[str]:
        """What tells the candidates apart."""
        return [candidate.key for candidate in self.candidates]

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Judge, and remember."""
        assert len(self.candidates) < MOST_CANDIDATES, f"{MOST_CANDIDATES} candidates and no end"
        self.candidates.append(Candidate(candidate.configuration, candidate.keep, candidate.network))
        return self._judge(candidate)


@dataclass(frozen=True)
class Workbench:
    """A network, a task and a device to make searches of.

    `flops` is a cost that knows nothing of the staircase, `others` are ``size``, ``memory`` and perhaps ``energy``. `judge` gives
    a candidate's score and loss at once, `inspect` raises AssertionError where a candidate is wrong, `real` makes a judge that
    really trains for the search's folder (None where there is nothing to train), and `context` is for methods that train.
    """

    groups: Mapping[str, Group]
    importance: Importance
    times: CandidateCost
    flops: CandidateCost
    others: Mapping[str, CandidateCost]
    judge: Judge
    inspect: Callable[[Candidate, Path | None], None] = lambda candidate, folder: None
    context: Any = None
    real: Callable[[Path], Judge] | None = field(default=None, repr=False)

    @property
    def full(self) -> Configuration:
        """The network as it is."""
        return Configuration({group.id: group.width for group in self.groups.values()})

    def between(self, share: float, cost: str = "time") -> float:
        """A cost between that of one channel per group (0) and that of the network as it is (1)."""
        function = {"time": self.times, "flops": self.flops, **self.others}[cost]
        least, whole = function.exact(narrowest(self.full)), function.exact(self.full)
        return least + share * (whole - least)

    def problem(
        self,
        goal: Goal,
        folder: Path | None = None,
        known: Sequence[Trial] = (),
        seed: int = 0,
        steer: str = "time",
        judge: Judge | None = None,
    ) -> SearchProblem:
        """A search steered by ``time`` or ``flops``, whose `SearchProblem.evaluate` is a `Counting` (of `judge`, if given)."""
        chosen = self.times if steer == "time" else self.flops
        cost, budget = steering_cost(goal.objective, {"time": chosen, **self.others}, goal.limits)
        judged = self.judge if judge is None else judge

        def costs(configuration: Configuration) -> Costs:
            steered = None if steer == "time" else chosen.exact(configuration)
            size, memory = (int(self.others[name].exact(configuration)) for name in ("size", "memory"))
            energy_mj = self.others["energy"].exact(configuration) if "energy" in self.others else None
            return Costs(self.times.exact(configuration), size, memory, energy_mj, steered)

        def evaluate(candidate: Candidate) -> tuple[float, float]:
            _check_widths(self.full.widths, candidate.widths)
            self.inspect(candidate, folder)
            return judged(candidate)

        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        whole = costs(self.full)
        return SearchProblem(
            groups=self.groups,
            importance=self.importance,
            cost=cost,
            budget=budget,
            costs=costs,
            evaluate=Counting(evaluate),
            goal=goal,
            original=Trial(self.full, whole, 1.0, 0.0),
            seed=seed,
            folder=folder,
            known=list(known),
            context=self.context,
        )


def synthetic(full: Widths = WIDTHS) -> Workbench:
    """A chain of groups of these widths, with everything about it a formula."""
    names = list(full)

    def parameters(widths: Widths) -> float:
        kernels = sum(9 * widths[before] * widths[after] for before, after in pairwise(names))
        return float(kernels + sum(widths.values()))

    def activations(widths: Widths) -> float:
        together = [widths[before] + widths[after] for before, after in pairwise(names)]
        return float(64 * max([widths[names[0]], *together]))

    def energy_mj(widths: Widths) -> float:
        return 1e-6 * (parameters(widths) + activations(widths))

    return Workbench(
        groups={name: Group(name, width, (name,), (name,)) for name, width in full.items()},
        importance={name: np.linspace(2, 1, width) / (1.5 * width) for name, width in full.items()},
        times=StaircaseTimes(full),
        flops=SmoothTimes(full),
        others={
            "size": _FormulaCost(parameters),
            "memory": _FormulaCost(activations),
            "energy": _FormulaCost(energy_mj),
        },
        judge=SmoothJudge(full),
    )


def make_problem(
    goal: Goal, folder: Path | None = None, known: Sequence[Trial] = (), seed: int = 0
) -> SearchProblem:
    """A search on the synthetic bench of three groups."""
    return synthetic().problem(goal, folder, known, seed)
