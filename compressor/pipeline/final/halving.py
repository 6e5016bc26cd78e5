"""Successive halving of training: several candidates begin, the worse half drops out again and again, few are trained to the end.

Jamieson and Talwalkar (AISTATS 2016), with training in place of configurations. Each part of a training has a learning rate that
falls to 0 and begins anew with the next one (Loshchilov and Hutter, ICLR 2017), so that networks are compared as they would be
handed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class Standing(Protocol):
    """What a part of a training reached."""

    @property
    def score(self) -> float:
        """Higher is better."""

    @property
    def loss(self) -> float:
        """Of equal scores the lower one is better."""


_OF_EACH_HALVING = 0.4
"""Of a whole training: what all that are left take together before the worse half of them drops out."""


def parts_of(count: int) -> tuple[float, ...]:
    """The parts of a whole training, between which the worse half of so many drops out; one is trained to the end.

    Before each halving all that are left take as much together, so that most of the time is the winner's.

    >>> parts_of(1), [round(part, 3) for part in parts_of(2)], [round(part, 3) for part in parts_of(4)]
    ((1.0,), [0.2, 0.8], [0.1, 0.2, 0.7])
    """
    parts = []
    while count > 1:
        parts.append(_OF_EACH_HALVING / count)
        count = math.ceil(count / 2)
    return (*parts, 1.0 - sum(parts))


def demand_of(count: int, with_control: bool) -> float:
    """How many whole trainings such a contest takes, the control's among them.

    >>> [round(demand_of(*one), 3) for one in ((1, True), (2, False), (4, False), (4, True))]
    [2.0, 1.2, 1.5, 2.5]
    """
    first, *others = parts_of(count)
    return first * (count + with_control) + _later(count, with_control, others)


def halve(
    contenders: Sequence[_Item],
    control: _Item | None,
    train: Callable[[_Item, int, int, float], Standing | None],
    close: float = 0.0,
) -> list[_Item]:
    """Train contenders by parts, and in full the control, which is none of them; those that were trained to the end.

    Parameters
    ----------
    train
        Trains one of them further: which part, of how many, and how many whole trainings the contest still takes with it. None
        where it came to nothing: it drops out alone.
    close
        Scores that differ from the best one by no more are not told apart: of these the lower loss, which counts how sure
        each answer is and not only whether it is right, says more of what training will come to.
    """
    parts = parts_of(len(contenders))
    alive = list(contenders)
    for number, part in enumerate(parts):
        if number:
            alive = alive[: math.ceil(len(alive) / 2)]
        standings = list[tuple[float, float, _Item]]()
        now = [*alive, *([] if control is None else [control])]
        for place, one in enumerate(now):
            demand = part * (len(now) - place) + _later(len(alive), control is not None, parts[number + 1 :])
            found = train(one, number, len(parts), demand)
            if found is not None:
                standings.append((found.score, -found.loss, one))
            elif one is control:
                control = None
        best = max((score for score, *_ in standings), default=0.0)
        ranked = sorted(standings, key=lambda one: _rank(one[0], one[1], best - close), reverse=True)
        alive = [one for *_, one in ranked if one is not control]
    return [*alive, *([] if control is None else [control])]


def _rank(score: float, gain: float, least: float) -> tuple[bool, float, float]:
    """The larger one is better: of scores of at least `least` the higher gain, of others the higher score."""
    return (True, gain, score) if score >= least else (False, score, gain)


def _later(alive: int, with_control: bool, parts: Sequence[float]) -> float:
    """How many whole trainings the parts that follow take."""
    demand = 0.0
    for part in parts:
        alive = math.ceil(alive / 2)
        demand += part * (alive + with_control)
    return demand
