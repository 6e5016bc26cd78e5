"""Which blocks go, and in which order."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from compressor.changes import in_effect, is_inside, names_in_effect
from compressor.costs import Configuration
from compressor.graph import Change
from compressor.search.base import SearchProblem
from profiler.errors import UsageError
from profiler.records import Records

_LEAST_HARM = 1e-9
_LOOKED_AT_TOGETHER = 3
"""Of blocks that would go next so many are looked at together with those that are gone."""

_MOST_TIME = 0.3
"""Of the time for searching, for looking at blocks."""

_BY_STRUCTURE = (0.5, 0.75, 0.25, 1.0)
"""Of the way from the network's time to what it may take, in its logarithm, how much blocks take before the rest is narrowed.

Depth and width shrink together, as they grow together in Tan and Le (ICML 2019), where each takes half; then more, less, all."""

_GUESSED = 0.3
"""Of the network's time, where no budget says how much it may take."""

_FEW_PLACES = 2
"""Of a kind of change with no more places each change is looked at alone."""


def structures_of(problem: SearchProblem, count: int, most_blocks: int = 24) -> list[Configuration]:
    """At full widths: the network as it is, then at most `count` - 1 others, those first that tell most.

    Layers that go (blocks, branches) go in the order of the loss that their absence adds, per time that it saves: of the few
    that do least harm alone the one that does least together with those that are gone. Half of them, all of them and numbers
    between are structures. Changes of each other kind (steps, kernels, ranks) are structures of their own, alone and with
    blocks: before any training they lose so much less, or more, than a block that this says nothing of what they are worth
    behind it.
    """
    full, blocks = problem.full, problem.blocks
    if count < 2 or not blocks:
        return [full]
    with problem.effort.during("looking", blocks=len(blocks)):
        saved = _saved(problem)
        able = [name for name in blocks if saved[name] > 0]
        removable = sorted(
            (name for name in able if blocks[name].removes),
            key=lambda name: (_is_inside(blocks[name], blocks), -saved[name]),
        )
        order = _order(problem, removable[:most_blocks], saved) if removable else []
    fewer = [order[:number] for number in _spread(len(order), count)[1:]]
    whole = _price(problem)(full)
    left = [whole - sum(saved[name] for name in names_in_effect(blocks, some)) for some in fewer]
    fewer = [fewer[place] for place in _balanced_first(left, whole, problem.budget)]
    others = _of_other_kinds({name: blocks[name] for name in able if not blocks[name].removes})
    both = [[*other, *some] for some, other in itertools.product(fewer[:2], others[:2])]
    numbers = iter(fewer)
    names = _in_turns(numbers, numbers, iter(others), iter(both))
    found = [full.without(names_in_effect(blocks, some)) for some in names]
    return list(dict.fromkeys([full, *found]))[:count]


def _of_other_kinds(changes: Mapping[str, Change]) -> list[list[str]]:
    """Of each kind the least change in each place, and the greatest; where there are few places, each change alone too."""
    kinds: dict[type[Change], list[str]] = {}
    for name, change in changes.items():
        kinds.setdefault(type(change), []).append(name)
    firsts: list[list[str]] = []
    others: list[list[str]] = []
    for names in kinds.values():
        places: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda name: changes[name].strength):
            places.setdefault(changes[name].place, []).append(name)
        least, most = ([some[end] for some in places.values()] for end in (0, -1))
        alone = [[name] for name in names] if len(places) <= _FEW_PLACES else []
        ways = [*alone[:1], least, *alone[1:], most]
        different = [way for number, way in enumerate(ways) if way not in ways[:number]]
        firsts.append(different[0])
        others += different[1:]
    return [*firsts, *others]


def _in_turns(*turns: Iterator[list[str]]) -> Iterator[list[str]]:
    """One of each in turns, as long as there are any; what is given twice has two turns."""
    while found := [one for turn in turns if (one := next(turn, None)) is not None]:
        yield from found


def _balanced_first(times: Sequence[float], whole: float, most: float | None) -> list[int]:
    """The places of falling times of structures: those nearest to a part of the way from `whole` to `most`, then what halves
    the widest gaps.

    >>> _balanced_first([0.9, 0.7, 0.5, 0.4, 0.2], 1.0, 0.25), _balanced_first([0.5], 1.0, None), _balanced_first([], 1.0, 2.0)
    ([2, 3, 1, 4, 0], [0], [])
    """
    if not times:
        return []
    least = 1e-3 * whole
    way = math.log(max(least, min(whole, _GUESSED * whole if most is None else most)) / whole)
    gone = [math.log(max(least, time) / whole) for time in times]
    left, places = list(range(len(times))), list[int]()
    for share in _BY_STRUCTURE[: len(times)]:
        places.append(min(left, key=lambda place: abs(gone[place] - share * way)))
        left.remove(places[-1])
    while left:
        places.append(max(left, key=lambda place: min(abs(place - other) for other in places)))
        left.remove(places[-1])
    return places


def without_all(full: Configuration, blocks: Mapping[str, Change]) -> Configuration:
    """The network without any of its blocks, and with all else that makes it smaller."""
    return full.without(names_in_effect(blocks, (name for name, one in blocks.items() if not one.fixed)))


def _price(problem: SearchProblem) -> Callable[[Configuration], float]:
    return problem.cost if problem.cost.cheap else problem.cost.exact


def _saved(problem: SearchProblem) -> dict[str, float]:
    """What each block's absence saves, by estimates where these are cheap; blocks of one signature save the same."""
    price = _price(problem)
    whole = price(problem.full)
    of_signature: dict[str, float] = {}
    for name, block in problem.blocks.items():
        problem.check_time()
        kind = block.signature or name
        if kind not in of_signature:
            of_signature[kind] = whole - price(problem.full.without([name]))
    return {name: of_signature[block.signature or name] for name, block in problem.blocks.items()}


def _order(problem: SearchProblem, names: Sequence[str], saved: Mapping[str, float]) -> list[str]:
    """Blocks in the order in which they go; those of which nothing would be left to remove are left out."""
    losses = _Losses(problem)
    started = time.monotonic()
    late = started + _MOST_TIME * (problem.deadline - started)
    blocks, now = problem.blocks, losses([])

    def harm(name: str, gone: Sequence[str], before: float) -> float:
        more = max(_LEAST_HARM, losses([*gone, name]) - before)
        return more / saved[name] if math.isfinite(more) else math.inf

    alone = dict.fromkeys(names, math.inf)  # what there is no time for goes last
    for done, name in enumerate(names):
        if time.monotonic() >= late:
            break
        problem.progress(0.0, f"looking at the network without each of its blocks, {done} of {len(names)}")
        alone[name] = harm(name, [], now)
    left = sorted(names, key=alone.__getitem__)
    order: list[str] = []
    while left := _new_ones(order, left, blocks):
        first = left[:_LOOKED_AT_TOGETHER] if order and time.monotonic() < late else left[:1]
        before = losses(order) if len(first) > 1 else 0.0
        order.append(min(first, key=lambda name: harm(name, order, before)) if len(first) > 1 else first[0])
    return order


def loss_of(problem: SearchProblem, configuration: Configuration) -> float:
    """The loss before any training; infinite where it is no number, or where Keras cannot make such a network."""
    try:
        loss = problem.quick_loss(configuration)
    except UsageError:
        return math.inf
    return loss if math.isfinite(loss) else math.inf


class _Losses:
    """The loss of the network without some blocks; kept in the search's folder."""

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        folder = problem.folder
        self._records = (
            None if folder is None else Records(folder / "blocks.jsonl", signature=sorted(problem.blocks))
        )
        rows = self._records.read() if self._records else []
        self._known: dict[frozenset[str], float | None] = {
            frozenset(row["removed"]): row["loss"] for row in rows
        }

    def __call__(self, removed: Iterable[str]) -> float:
        """Infinite where it is no number."""
        key = frozenset(removed)
        if key not in self._known:
            self._problem.check_time()
            loss = loss_of(self._problem, self._problem.full.without(key))
            self._known[key] = loss if math.isfinite(loss) else None
            if self._records:
                self._records.append({"removed": sorted(key), "loss": self._known[key]})
        found = self._known[key]
        return math.inf if found is None else float(found)


def _is_inside(block: Change, blocks: Mapping[str, Change]) -> bool:
    """Whether a change is a part of another one."""
    return any(is_inside(block, other) for other in blocks.values())


def _new_ones(gone: Iterable[str], names: Iterable[str], blocks: Mapping[str, Change]) -> list[str]:
    """Those that change something where those that are gone are made."""
    made = [blocks[name] for name in gone]
    return [
        name
        for name in names
        if blocks[name] not in made and blocks[name] in in_effect([*made, blocks[name]])
    ]


def _spread(most: int, count: int) -> list[int]:
    """Numbers of blocks to remove, from none to `most`, the small ones denser.

    >>> _spread(3, 6), _spread(24, 6)
    ([0, 1, 2, 3], [0, 3, 7, 12, 18, 24])
    """
    if most < count:
        return list(range(most + 1))
    steps = np.linspace(0, 1, count) ** 1.35 * most
    return sorted({round(step) for step in steps.tolist()})
