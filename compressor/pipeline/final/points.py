"""Several answers instead of one: networks spread along the front of accuracy against time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from compressor.costs import CandidateCost, staircase
from compressor.pipeline.final.shortlist import CLOSE, STEP, Finalist, front, nearest
from compressor.pipeline.final.training import FinalTraining
from compressor.pipeline.prepare import Prepared
from compressor.search import Trial
from profiler.progress import ProgressCallback, sub_progress

POINTS = 4
"""Networks that a result shows, the winner included."""


def targets(winner_ms: float, original_ms: float, count: int) -> list[float]:
    """Times at which further networks are looked for, the most telling first.

    About two thirds of them between the winner and the original, evenly by ratio; the others faster than the winner, each
    by a `STEP`. Where the winner is nearly as slow as the original, all are faster.
    """
    faster = count // 3
    slower = count - faster
    room = math.log(original_ms / winner_ms) if winner_ms < original_ms else 0.0
    slower = min(slower, max(0, math.floor(room / math.log(CLOSE)) - 1))
    between = [winner_ms * math.exp(room * (i + 1) / (slower + 1)) for i in range(slower)]
    below = [winner_ms * STEP ** (i + 1) for i in range(count - slower)]
    mixed = []
    while between or below:
        mixed += [between.pop(0)] if between else []
        mixed += [below.pop(0)] if below else []
    return mixed


FAMILY_STEP = 0.45
"""Each network of a family takes this share of the time of the next larger one, or more where the device allows no less."""

_ROOM = 1.3
"""The fastest of a family takes so many times what the narrowest network does: below that widths buy no time any more."""


def family_targets(winner_ms: float, least_ms: float, count: int) -> list[float]:
    """Times of networks that work together with the winner: all faster, evenly by ratio, the fastest first.

    `least_ms` is what the narrowest network takes. The fastest comes first, because a family gains most by it.
    """
    lowest = max(winner_ms * FAMILY_STEP**count, _ROOM * least_ms)
    if lowest * CLOSE > winner_ms:
        return []
    return [winner_ms * (lowest / winner_ms) ** ((count - i) / count) for i in range(count)]


def in_proportion(
    prepared: Prepared,
    model: Trial,
    ratio: float,
    on_edges: bool = True,
    by: CandidateCost | None = None,
) -> Trial | None:
    """The widest network in a trial's proportions that costs at most `ratio` times what it does; None for none."""
    full = prepared.original.configuration.without(model.configuration.removed)
    # Where each look is a measurement on the device, what was predicted serves.
    by = prepared.steering if by is None else by
    cost = by if by.cheap else prepared.times
    shares = {name: max(1, model.widths[name]) / width for name, width in full.widths.items()}
    limit = ratio * cost.exact(model.configuration) * (1 + 1e-9)
    found = staircase.scale_to(cost, full, shares, limit)
    if found is not None and cost.cheap and on_edges:
        found = staircase.fill_budget(
            cost, found, staircase.candidate_widths(cost, full), prepared.importance, limit
        )
    if found is None or found == prepared.original.configuration:
        return None
    return Trial(found, prepared.costs(found), -math.inf, math.inf)


def train_points(
    prepared: Prepared,
    training: FinalTraining,
    trials: Sequence[Trial],
    winner: Finalist,
    count: int,
    deadline: float,
    progress: ProgressCallback,
    alike: Callable[[Trial, float], Trial | None],
    aims: Callable[[float, float, int], list[float]] = targets,
) -> list[Finalist]:
    """Train further networks along the front in full, one seed each; the winner first, at most `count` in all.

    `aims` gives the times that they should take, from the winner's, the original's and how many they are.
    """
    points = [winner]
    known = front([trial for trial in trials if math.isfinite(trial.score)], _time_ms)
    winner_ms = _time_ms(winner.trial)
    wanted = aims(winner_ms, _time_ms(prepared.original), count - 1)
    for position, time_ms in enumerate(wanted):
        taken = [point.trial.candidate for point in points]
        free = [trial for trial in known if trial.candidate not in taken]
        trial = nearest(free, _time_ms, time_ms) or alike(winner.trial, time_ms / winner_ms)
        if trial is None or trial.candidate in taken:
            continue
        part = sub_progress(progress, position / len(wanted), (position + 1) / len(wanted))
        found = training.one(trial, deadline, part, len(wanted) - position - 1)
        if found is not None:
            points.append(found)
    return points


def _time_ms(trial: Trial) -> float:
    return trial.predicted_ms
