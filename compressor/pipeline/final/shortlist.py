"""Which candidates of a search are trained in full, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from compressor.search import Goal, Trial

SECOND_CHANCES = 2
"""Of candidates that all missed the limit on the score, how many are trained beside the finalists."""

_NEAR = 0.01
_MOST_RETREATS = 4
_RETREAT_BY = 1.04


def contenders(trials: Sequence[Trial], goal: Goal, finalists: int, luck: float, room: float) -> list[Trial]:
    """The trials to train in full, the most wanted first.

    Under a limit on the score also cheaper ones that missed it narrowly, since full fine-tuning may lift them over it,
    and dearer ones, a step apart, in case that the cheap ones fail. Where time is short, so few that each can be trained
    for a good part of its schedule. Where all missed it by more than luck, the best and those that are not told apart
    from it.

    Parameters
    ----------
    trials
        One or more, the best by the goal first.
    luck
        By how much candidates may have missed the limit in the search (`compressor.pipeline.prepare.tolerance.luck`).
    room
        How many networks there is time for.
    """
    least, searched = goal.least_score, goal.relaxed(luck)
    met = [trial for trial in trials if searched.met_by(trial)]
    if least is None or searched.least_score is None:
        return (met or list(trials))[:finalists]
    if not met:
        return _least_bad(trials, goal, finalists, luck, room)
    lowest, cheapest = min(least - _NEAR, searched.least_score), goal.cost(met[0])
    near = [t for t in trials if not searched.met_by(t) and t.score >= lowest and goal.excess(t) == 0]
    near = [t for t in near if goal.cost(t) < cheapest]
    near = sorted(near, key=lambda trial: -trial.score)[:finalists]
    apart = met[:1]
    for trial in met[1:]:
        if goal.cost(trial) >= _RETREAT_BY * goal.cost(apart[-1]):
            apart.append(trial)
    keeps = [goal.met_by(trial) for trial in apart]
    wanted = sorted(near, key=goal.cost) + _spread(apart, keeps, _MOST_RETREATS)
    if len(wanted) <= room:
        return wanted
    return _spread(apart, keeps, max(2, int(min(room, _MOST_RETREATS))))


def is_apart(trial: Trial, others: Sequence[Trial], goal: Goal) -> bool:
    """Whether a candidate costs so much more or less than each other one that training it tells something new."""
    costs = [(goal.cost(trial), goal.cost(other)) for other in others]
    return all(max(pair) >= _RETREAT_BY * min(pair) for pair in costs)


def _least_bad(trials: Sequence[Trial], goal: Goal, finalists: int, luck: float, room: float) -> list[Trial]:
    """Of trials that all missed the limit on the score: the best, and after them those that chance put behind."""
    taken = list(trials[:finalists])
    least = taken[0].score - luck
    # Wider ones are the likelier cure: one run is left for them.
    spare = min(room - len(taken) - 1, SECOND_CHANCES)
    for trial in sorted(trials[finalists:], key=lambda trial: -trial.score):
        if spare < 1 or not trial.score >= least or not math.isfinite(trial.score):
            break
        if is_apart(trial, taken, goal) and goal.excess(trial) == 0:
            taken.append(trial)
            spare -= 1
    return taken


def _spread(trials: Sequence[Trial], keeps: Sequence[bool], most: int) -> list[Trial]:
    """Some of the trials, the cheapest first: evenly up to the first that keeps the limit, then the next ones.

    Those before it miss the limit by no more than luck, and are worth a try. Whatever comes of them, there is one to
    fall back on.

    Parameters
    ----------
    trials
        From the cheapest on [n].
    keeps
        Whether each keeps the limit [n].
    """
    safe = keeps.index(True) if True in keeps else 0
    before = min(safe, most - 1)
    chosen = [round(i * safe / before) for i in range(before)] if before else []
    chosen += range(safe, len(trials))
    return [trials[i] for i in chosen[:most]]
