"""Several answers instead of one: networks spread along the front of accuracy against time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from compressor.costs import candidate_widths, fill_budget, scale_to
from compressor.pipeline.final.training import Chosen, Finals
from compressor.search import Trial
from profiler.errors import UsageError
from profiler.progress import ProgressCallback

if TYPE_CHECKING:
    from compressor.costs import CandidateCost
    from compressor.pipeline.prepare import Prepared

POINTS = 4
"""Networks that a result shows, the winner included."""

_FASTER = 0.7
_NEAR = 1.08
_HALVINGS = 6


def on_front(times: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Mark what nothing else beats: no other takes no longer and scores no less, one of the two strictly better.

    Parameters
    ----------
    times
        Less is better [n].
    scores
        More is better [n].

    >>> on_front([1.0, 2.0, 3.0], [0.5, 0.9, 0.9])
    [True, True, False]
    """
    pairs = list(zip(times, scores, strict=True))
    return [
        not any(t <= time and s >= score and (t, s) != (time, score) for t, s in pairs)
        for time, score in pairs
    ]


def targets(winner_ms: float, original_ms: float, count: int) -> list[float]:
    """Times at which further networks are looked for, the most telling first.

    About two thirds of them between the winner and the original, evenly by ratio; the others faster than the
    winner, each by 30%. Where the winner is nearly as slow as the original, all are faster.
    """
    faster = count // 3
    slower = count - faster
    room = math.log(original_ms / winner_ms) if winner_ms < original_ms else 0.0
    slower = min(slower, max(0, math.floor(room / math.log(_NEAR)) - 1))
    between = [winner_ms * math.exp(room * (i + 1) / (slower + 1)) for i in range(slower)]
    below = [winner_ms * _FASTER ** (i + 1) for i in range(count - slower)]
    mixed = []
    while between or below:
        mixed += [between.pop(0)] if between else []
        mixed += [below.pop(0)] if below else []
    return mixed


def nearest(trials: Sequence[Trial], time_ms: float, taken: Sequence[Trial]) -> Trial | None:
    """The best trial of about this time that is on the trials' own front; None where there is none."""
    known = [trial for trial in trials if math.isfinite(trial.score)]
    marks = on_front([t.predicted_ms for t in known], [t.score for t in known])
    near = [
        trial
        for trial, mark in zip(known, marks, strict=True)
        if mark
        and max(trial.predicted_ms / time_ms, time_ms / trial.predicted_ms) <= _NEAR
        and all(trial.candidate != other.candidate for other in taken)
    ]
    return max(near, key=lambda trial: (trial.score, -trial.loss), default=None)


def derived(
    prepared: Prepared,
    winner: Trial,
    ratio: float,
    on_edges: bool = True,
    by: CandidateCost | None = None,
) -> Trial | None:
    """A candidate in the winner's proportions that costs `ratio` times what it does; None where there is none.

    The widest network within that cost.

    Parameters
    ----------
    on_edges
        Whether its widths are moved to the edges of the staircase, as `SearchMethod.on_edges` says of a method's own.
    by
        The cost that is meant; default: what stands for time.
    """
    full = prepared.original.configuration
    # Where each look is a measurement on the device, what was predicted serves.
    by = prepared.steering if by is None else by
    cost = by if by.cheap else prepared.times
    shares = {name: max(1, winner.widths[name]) / width for name, width in full.widths.items()}
    limit = ratio * cost.exact(winner.configuration) * (1 + 1e-9)
    found = scale_to(cost, full, shares, limit, 24 if cost.cheap else _HALVINGS)
    if found is not None and cost.cheap and on_edges:
        found = fill_budget(cost, found, candidate_widths(cost, full), prepared.importance, limit)
    if found is None or found == full:
        return None
    return Trial(found, prepared.costs(found), -math.inf, math.inf)


def train_points(
    prepared: Prepared,
    finals: Finals,
    trials: Sequence[Trial],
    winner: Chosen,
    count: int,
    deadline: float,
    progress: ProgressCallback,
    alike: Callable[[Trial, float], Trial | None],
) -> list[Chosen]:
    """Train further networks along the front in full, one seed each, as many as there is time for.

    Parameters
    ----------
    alike
        A candidate in a trial's proportions at so many times its cost, as `derived` makes.

    Returns
    -------
    list of Chosen
        The winner first, at most `count` in all.
    """
    points = [winner]
    original_ms = prepared.original.predicted_ms
    wanted = targets(winner.trial.predicted_ms, original_ms, count - 1)
    for position, time_ms in enumerate(wanted):
        taken = [point.trial for point in points]
        trial = nearest(trials, time_ms, taken) or alike(winner.trial, time_ms / winner.trial.predicted_ms)
        if trial is None or any(trial.candidate == other.candidate for other in taken):
            continue

        def told(done: float, note: str, position: int = position) -> None:
            progress((position + done) / len(wanted), note)

        found = finals.one(trial, deadline, told)
        if found is not None:
            points.append(found)
    return points


def check_points(points: int) -> None:
    """Refuse a number of points that cannot be."""
    if not 1 <= points <= 100:
        raise UsageError(f"--points is 1 to 100, not {points}.")
