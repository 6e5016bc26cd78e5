"""Validation rows that are kept aside: nothing is chosen by them, so that they can confirm what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, copies, row_count, split_rows, take
from compressor.training import Task
from profiler.paired import fewest_units

LEVEL = 0.05
"""Probability with which a promise may be broken."""

_SPARE = 1.25
"""Times the fewest units that could confirm anything, since hardly any network differs on none."""

_ANYTHING = 0.5
"""Who may lose half of all has nothing to confirm."""

_ROWS_OF_SCORES, _GROUPS_OF_SCORES = 100, 20
"""Fewest units for a score that is no share of rows: its bound is by bootstrap."""


@dataclass(frozen=True)
class Aside:
    """Inputs, labels and groups of rows that neither trained nor chose."""

    x: Rows
    y: Rows
    groups: NDArray[Any] | None = None

    @property
    def units(self) -> int:
        """How many rows, or groups where they are known, there are."""
        return unit_count(row_count(self.y), self.groups)


def unit_count(rows: int, groups: NDArray[Any] | None) -> int:
    """How many independent units rows are: groups where some have several members."""
    return rows if groups is None else len(np.unique(groups))


def told_apart(groups: NDArray[Any] | None) -> NDArray[Any] | None:
    """Groups as they are, None where each row is a group of its own."""
    return None if groups is None or len(np.unique(groups)) == len(groups) else groups


def keep_aside(task: Task, most: float | None, seed: int) -> tuple[Task, Aside | None]:
    """Half of the validation rows, by whole groups or else by classes, where they are enough to confirm that `most` is kept.

    Copies of one row stay together.

    `most` is the share of accuracy, or hundredths of a score, that may be lost; None where nothing has to be kept. Where half
    of the rows could confirm nothing, all of them choose.
    """
    data = task.data
    if most is None or not 0 < most < _ANYTHING or data.x_val is None or data.y_val is None:
        return task, None
    rows, groups = row_count(data.y_val), told_apart(data.groups_val)
    needed = least_aside(task, most, groups is not None)
    if unit_count(rows, groups) < 2 * needed:
        return task, None
    labels = data.y_val if isinstance(data.y_val, np.ndarray) and data.classifies("") else None
    together = copies(data.x_val) if groups is None else groups
    if together is not None and len(np.unique(together)) < 2:
        return task, None
    stay, held = split_rows(rows, 0.5, labels=labels, groups=together, seed=seed)
    if unit_count(len(held), None if groups is None else groups[held]) < needed:
        return task, None  # few large groups
    kept = Aside(take(data.x_val, held), take(data.y_val, held), None if groups is None else groups[held])
    chosen = replace(
        data,
        x_val=take(data.x_val, stay),
        y_val=take(data.y_val, stay),
        groups_val=None if data.groups_val is None else data.groups_val[stay],
    )
    return Task(task.head, chosen), kept


def least_aside(task: Task, most: float, groups: bool) -> int:
    """So many rows, or groups, have to be kept aside before they can confirm anything."""
    if not task.counts_right:
        return _GROUPS_OF_SCORES if groups else _ROWS_OF_SCORES
    return int(np.ceil(_SPARE * fewest_units(most, LEVEL, groups=groups)))
