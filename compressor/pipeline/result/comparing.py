"""What each point of the front loses against the original, on the same rows; and which other point is worth taking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, joined
from compressor.export import file_outputs
from compressor.pipeline.prepare import LEVEL, Prepared, told_apart
from compressor.pipeline.result.compression_result import FrontPoint
from compressor.pipeline.result.files import PointFiles
from compressor.pipeline.result.promise import interval_of, least_claim
from compressor.training import Task
from profiler.paired import loss_interval

_FASTER = 1.1
"""Networks nearer in time than this ratio are called as fast."""

_MOST_NAMED = 2


@dataclass(frozen=True)
class Loss:
    """What one network loses against the original: a share of rows, or score.

    Attributes
    ----------
    mean, low, high
        On the rows that it is shown on, and its 95% interval, paired; None where that is not known.
    at_most
        With 95% confidence no point loses more on new data than is said here of it, all points together; None where no rows
        chose nothing.
    row_losses
        Of each row [rows]; None for a score that is no share of rows.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    row_losses: NDArray[np.float64] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Losses:
    """Of each file by its name in `PointFiles`, and what the rows are called: ``test`` or ``validation``."""

    by_name: Mapping[str, Loss]
    rows: str
    groups: NDArray[Any] | None = None


def losses_of_files(prepared: Prepared, files: PointFiles) -> Losses:
    """What every file that stands for a point loses: on test rows that the original never saw, else on validation rows.

    Of the latter those that were kept aside count, too.
    """
    if prepared.test_given:
        name, (x, y), groups = "test", prepared.test_rows, prepared.task.data.groups_test
    else:
        name, (x, y), groups = "validation", prepared.validation_rows, prepared.task.data.groups_val
        if prepared.aside is not None:
            x, y = joined([x, prepared.aside.x]), joined([y, prepared.aside.y])
            if groups is not None and prepared.aside.groups is not None:
                groups = np.concatenate([groups, prepared.aside.groups])
    shown = [one for one in files.shown() if one.startswith("point")]
    before = file_outputs(prepared.task, files.tflite["original"], x)
    level = LEVEL / len(shown) if name == "test" else None
    found = {
        one: loss_of(
            prepared.task, before, file_outputs(prepared.task, files.tflite[one], x), x, y, groups, level
        )
        for one in shown
    }
    return Losses(found, name, told_apart(groups))


def loss_of(
    task: Task, before: Rows, after: Rows, x: Rows, y: Rows, groups: NDArray[Any] | None, level: float | None
) -> Loss:
    """What is lost between two networks' outputs; `level` is that of a claim on new data, None where none can be made."""
    mean, ends = interval_of(task, before, after, x, y, groups)
    low, high = ends or (None, None)
    if not task.counts_right:
        return Loss(mean, low, high)
    lost = task.right(before, y) - task.right(after, y)
    return Loss(
        mean, low, high, None if level is None else least_claim(lost, told_apart(groups), level), lost
    )


def recommendations(
    points: Sequence[FrontPoint],
    names: Sequence[str],
    losses: Losses,
    before_ms: float,
    asked: float | None,
) -> list[str]:
    """Sentences on points that a user would want to know of beside the chosen one, the fastest first.

    `names` are the points' in `PointFiles`. A slower point is named where it is surely more accurate than the chosen one, a
    faster one where it loses no more than was asked, or than the chosen one does; both only where they are faster than the
    original.
    """
    chosen = next((place for place, point in enumerate(points) if point.chosen), None)
    if chosen is None:
        return []
    first, mine = points[chosen], losses.by_name[names[chosen]]
    found = []
    for point, name in zip(points, names, strict=True):
        loss, ratio = losses.by_name[name], before_ms / point.time_ms
        if point.chosen or ratio < _FASTER:
            continue
        bound = ""
        if loss.at_most is not None:
            bound = f" (with 95% confidence at most {100 * max(loss.at_most, 0.0):.2g} points on new data)"
        place = f"{point.keras} is {ratio:.1f} times as fast as the original and {_in_words(loss, losses.rows)}{bound}"
        if point.time_ms * _FASTER <= first.time_ms:
            if loss.mean <= max(mine.mean, asked or 0.0, 0.0):
                found.append(
                    f"{place}, and it is faster than {first.keras}, which was chosen: take it if these rows are enough for you."
                )
        elif first.time_ms * _FASTER <= point.time_ms and loss.mean <= max(asked or 0.0, 0.0):
            more = _gained(mine, loss, losses.groups)
            if more is not None:
                found.append(
                    f"{place}, {100 * more:.2g} points better than {first.keras}, which was chosen: take it unless you need "
                    f"{before_ms / first.time_ms:.1f} times."
                )
    return found[:_MOST_NAMED]


def _gained(mine: Loss, other: Loss, groups: NDArray[Any] | None) -> float | None:
    """How much more accurate another network is, where that is no chance; None where it may be."""
    if mine.row_losses is None or other.row_losses is None:
        return None
    more = mine.row_losses - other.row_losses
    ends = loss_interval(more, groups)
    if ends is None:
        ends = loss_interval(more)  # a single group
    return float(more.mean()) if ends is not None and ends[0] > 0 else None


def _in_words(loss: Loss, rows: str) -> str:
    if loss.row_losses is None:
        return (
            f"loses {loss.mean:.3g} of the score on the {rows} rows"
            if loss.mean > 0
            else f"loses nothing on the {rows} rows"
        )
    points = 100 * loss.mean
    if points > 0:
        return f"loses {points:.2g} points on the {rows} rows"
    return (
        f"is {-points:.2g} points better on the {rows} rows"
        if points < 0
        else f"loses nothing on the {rows} rows"
    )
