"""Who takes part in the contest of finalists under a budget, by the time that there is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from compressor.pipeline.final.halving import demand_of, parts_of
from compressor.pipeline.final.time_plan import TimePlan
from compressor.pipeline.prepare import read_json
from compressor.search import Goal, Trial
from profiler.files import write_json

_TELLING, _PLENTY = 1.5, 2.0
"""How many times as long as in the search contenders are trained at least before the worse half drops out; and how many times
as long as their schedule, where the control is trained to the end, too."""

_APART = math.sqrt(2)
"""Standard error of the difference of two scores, in standard errors of one."""
_SURELY = 1.96 * _APART
"""So many standard errors of one score two scores differ by chance in 5% of cases."""
_FAVOURED = 0.1
"""By so much of an accuracy short training may favour what has few layers: seen were 0.06 for a structure that was 0.03 behind
the control in the end (MobileNetV2-like network), and 0.11 and more for those that stayed ahead (residual networks)."""


@dataclass(frozen=True)
class ContestPart:
    """One of the parts of a training in a contest, what share of it all it is, and how many took part in the first one."""

    number: int
    of: int
    share: float
    contenders: int = 1

    @property
    def is_last(self) -> bool:
        """Whether the training is whole with it."""
        return self.number == self.of - 1

    @property
    def before(self) -> ContestPart:
        """The one before it."""
        return replace(self, number=self.number - 1)


WHOLE = ContestPart(0, 1, 1.0)


def part_of(contenders: int, number: int) -> ContestPart:
    """One of the parts of a contest of so many."""
    parts = parts_of(contenders)
    return ContestPart(number, len(parts), parts[number], contenders)


def taking_part(
    contenders: list[Trial],
    control: Trial | None,
    plan: TimePlan,
    searched: float,
    goal: Goal,
    file: Path,
    has_begun: Callable[[Trial, ContestPart], bool],
    tolerance: float = 0.0,
) -> tuple[list[Trial], Trial | None]:
    """Contenders that there is time for, and the control where it is trained to the end.

    Parameters
    ----------
    contenders, control
        Those that did best in the search, the best first, and the control, which is none of them.
    searched
        How long each was trained in the search, in whole schedules.
    file
        Keeps who takes part. Where an earlier run finished a training which so serves, they are the same again.
    has_begun
        Whether a part was finished for a candidate.
    tolerance
        Standard error of a score. Short training favours what has few layers, which learns faster at first. So where the control
        is not far behind the best one it takes part in any case; and where there is time for two at most, and the best one
        is no more than a standard error of their difference ahead, it is trained alone.
    """
    every = contenders if control is None else [*contenders, control]
    by_key = {one.candidate.key: one for one in every}
    earlier = read_json(file) or {}
    keys = earlier.get("contenders")
    keys = keys if isinstance(keys, list) and all(key in by_key for key in map(str, keys)) else []
    begun, kept = [by_key[str(key)] for key in keys], control if earlier.get("control") else None
    if any(has_begun(one, part_of(len(begun), 0)) for one in (*begun, kept) if begun and one is not None):
        return begun, kept
    size, to_the_end = _size(len(contenders), len(every), control is not None, plan, searched)
    if not to_the_end and control is not None:
        place = sum(goal.rank(one) > goal.rank(control) for one in contenders)
        lead = contenders[0].score - control.score
        if size <= 2 and lead <= _APART * tolerance:
            size, place = 1, 0
        near = max(_SURELY * tolerance, _FAVOURED) if tolerance else 0.0
        if 2 <= size <= place and lead <= near:
            place = size - 1
        contenders, control = [*contenders[:place], control, *contenders[place:]], None
    contenders = contenders[:size]
    keys = [one.candidate.key for one in contenders]
    write_json(file, {"contenders": keys, "control": control is not None})
    return contenders, control


def _size(
    contenders: int, every: int, with_control: bool, plan: TimePlan, searched: float
) -> tuple[int, bool]:
    """How many there is time for, and whether for the control to the end, too."""
    if _PLENTY * demand_of(contenders, with_control) <= plan.room:
        return contenders, with_control

    def has_time(count: int) -> bool:
        length = plan.length(demand_of(count, False))
        return (count == 2 or length >= 1) and length * parts_of(count)[0] > _TELLING * searched

    return next((count for count in range(every, 1, -1) if has_time(count)), 1), False
