"""``structure``: whole blocks first, then widths; most of the time is left for training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor.changes import in_effect, is_inside
from compressor.costs import Configuration, staircase
from compressor.graph import Change
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.search.trial import Trial
from compressor.search.uniform import SnappedWidths
from compressor.training import check_least
from profiler.records import Records

_LEAST_HARM = 1e-9


@dataclass(eq=False)
class StructureSearch(SearchMethod):
    """Removes more and more blocks, those first that cost least loss for the time that they take, and fills each structure.

    A structure is filled up to the cost by one multiplier for all groups, snapped to the staircase; the best one by importance,
    too. Under a budget each structure is tried. Under a limit on the score the least cost is found by halving, with the
    structure that did best so far and its neighbours. Under a budget, and where time allows it to be tried, the network with all
    its blocks is the control.

    Parameters
    ----------
    structures
        How many are looked at, the network with all its blocks among them.
    tries
        Under a limit on the score: structures that may fail before a cost is given up.
    grid, options
        As of `SnappedWidths`.
    most_blocks
        Blocks whose removal is looked at on its own: those first that are no part of another, then those that take longest.
    """

    name: ClassVar[str] = "structure"
    share_of_time: ClassVar[float] = 0.3
    removes_blocks: ClassVar[bool] = True

    structures: int = 6
    tries: int = 2
    grid: int = 64
    options: int = 24
    most_blocks: int = 12

    def __post_init__(self) -> None:
        check_least("grid", self.grid, 2)
        for name in ("structures", "tries", "options", "most_blocks"):
            check_least(name, getattr(self, name))

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        fills = [
            _Filled(problem, full, self.grid, self.options)
            for full in structures_of(problem, self.structures, self.most_blocks)
        ]
        least = min(fill.least for fill in fills)
        if problem.budget is None:
            self._under_a_limit(problem, fills, least)
        else:
            self._under_a_budget(problem, fills, problem.budget)

    def _under_a_budget(self, problem: SearchProblem, fills: list[_Filled], budget: float) -> None:
        tried: list[tuple[Trial, _Filled]] = []
        for fill in fills:
            found = fill.evenly(budget)
            if found is not None:
                trial = problem.try_configuration(found)
                tried.append((trial, fill))
                if fill is fills[0]:
                    problem.control = trial.candidate
        if not tried:
            problem.try_configuration(min((fill.fastest for fill in fills), key=problem.cost.exact))
            return
        tried.sort(key=lambda pair: problem.goal.rank(pair[0]), reverse=True)
        for _, fill in tried[:2]:
            by_worth = fill.by_importance(budget)
            if by_worth is not None:
                problem.try_configuration(by_worth)

    def _under_a_limit(self, problem: SearchProblem, fills: list[_Filled], least: float) -> None:
        place = len(fills) // 2

        def propose(level: float, attempt: int) -> Configuration | None:
            nonlocal place
            if attempt == 0 and problem.trials:
                kept = [t for t in problem.trials if t.score >= problem.least_score] or problem.trials
                best = min(kept, key=lambda t: problem.cost.exact(t.configuration))
                place = next(
                    (i for i, f in enumerate(fills) if f.removed == best.configuration.removed), place
                )
            order = sorted(range(len(fills)), key=lambda i: (abs(i - place), -i))
            able = [found for found in (fills[i].evenly(level) for i in order) if found is not None]
            return able[attempt] if attempt < len(able) else None

        search_levels(problem, propose, least, tries=min(self.tries, len(fills)))


class _Filled:
    """One structure at any cost."""

    def __init__(self, problem: SearchProblem, full: Configuration, grid: int, options: int) -> None:
        self._problem, self.removed = problem, full.removed
        self._snapped = SnappedWidths(problem.cost, full, grid, options)
        self.fastest = self._snapped.fastest
        self.least = problem.cost.exact(self.fastest)

    def evenly(self, most: float) -> Configuration | None:
        """By one multiplier for all groups; None where even the least is above the cost."""
        return self._snapped.within(most)

    def by_importance(self, most: float) -> Configuration | None:
        """Where a millisecond buys most importance, from half of the cost on."""
        cost, candidates = self._problem.cost, self._snapped.candidates
        if not candidates:
            return None

        def estimated(level: float) -> Configuration | None:
            start = self._snapped.within(level / 2) or self.fastest
            if cost(start) > level:
                return None
            return staircase.fill_budget(cost, start, candidates, self._problem.importance, level)

        return staircase.fit_exactly(cost, most, estimated)


def structures_of(problem: SearchProblem, count: int, most_blocks: int = 12) -> list[Configuration]:
    """At full widths: the network as it is, and without ever more of its blocks; at most `count` of them.

    Blocks go in the order of the loss that the network has without each alone, per time that this saves.
    """
    full, blocks = problem.full, problem.blocks
    if count < 2 or not blocks:
        return [full]
    whole = problem.cost.exact(full)
    of_signature: dict[str, float] = {}
    saved = {}
    for name, block in blocks.items():
        problem.check_time()
        kind = block.signature or name
        if kind not in of_signature:
            of_signature[kind] = whole - problem.cost.exact(full.without([name]))
        saved[name] = of_signature[kind]
    able = [name for name in blocks if saved[name] > 0]
    looked_at = sorted(able, key=lambda name: (_is_inside(blocks[name], blocks), -saved[name]))[:most_blocks]
    losses = _losses(problem, looked_at)

    def harm(name: str) -> float:
        more = max(_LEAST_HARM, losses[name] - losses[""])
        return more / saved[name] if math.isfinite(more) else math.inf

    order = _new_ones(sorted(looked_at, key=harm), blocks)
    return [full.without(order[:number]) for number in _spread(len(order), count)]


def _losses(problem: SearchProblem, names: Sequence[str]) -> dict[str, float]:
    """The loss without each block alone, and as the network is (by an empty name); kept in the search's folder."""
    folder = problem.folder
    records = None if folder is None else Records(folder / "blocks.jsonl", signature=sorted(problem.blocks))
    known = {row["block"]: row["loss"] for row in records.read()} if records else {}
    for done, name in enumerate(["", *names]):
        if name in known:
            continue
        problem.check_time()
        problem.progress(0.0, f"looking at the network without each of its blocks, {done} of {len(names)}")
        loss = problem.loss_without(problem.full.without([name] if name else []))
        known[name] = loss if math.isfinite(loss) else None
        if records:
            records.append({"block": name, "loss": known[name]})
    return {name: math.inf if loss is None else float(loss) for name, loss in known.items()}


def without_all(full: Configuration, blocks: Mapping[str, Change]) -> Configuration:
    """The network without any of its blocks, and with all that makes it smaller."""
    smaller = in_effect(change for change in blocks.values() if not change.fixed)
    return full.without(name for name, change in blocks.items() if change in smaller)


def _is_inside(block: Change, blocks: Mapping[str, Change]) -> bool:
    """Whether a change is a part of another one."""
    return any(is_inside(block, other) for other in blocks.values())


def _new_ones(order: Iterable[str], blocks: Mapping[str, Change]) -> list[str]:
    """Without those that change nothing where those before them are made."""
    kept: list[str] = []
    for name in order:
        if blocks[name] in in_effect([*(blocks[one] for one in kept), blocks[name]]):
            kept.append(name)
    return kept


def _spread(most: int, count: int) -> list[int]:
    """Numbers of blocks to remove, from none to `most`, the small ones denser.

    >>> _spread(3, 6), _spread(24, 6)
    ([0, 1, 2, 3], [0, 3, 7, 12, 18, 24])
    """
    if most < count:
        return list(range(most + 1))
    steps = np.linspace(0, 1, count) ** 1.35 * most
    return sorted({round(step) for step in steps.tolist()})
