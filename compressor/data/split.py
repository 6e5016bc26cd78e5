"""Which rows are held out: whole groups where groups are given, else the same share of every class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from profiler.errors import DataError, UsageError

IndexPair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

_GROUP_TRIALS = 64
"""Random orders of the groups that are tried; the one whose held-out part is most like the whole is kept."""


def split_rows(
    rows: int,
    share: float,
    *,
    labels: npt.NDArray[np.integer] | None = None,
    groups: npt.NDArray | None = None,
    seed: int = 0,
) -> IndexPair:
    """Split ``range(rows)`` into sorted row numbers that stay and that are held out (`share` of them); neither is empty.

    No group (`groups` [rows]) is torn apart; without groups each class (`labels` [rows]) gives the same share. Raises UsageError
    for a share that is not between 0 and 1, DataError for fewer than two rows or groups.
    """
    if not 0 < share < 1:
        raise UsageError(f"The share to hold out is {share:g}: give one above 0 and below 1.")
    if rows < 2:
        raise DataError(f"There are {rows} rows, too few to hold any out: give at least 2.")
    generator = np.random.default_rng(seed)
    if groups is not None:
        held = _hold_out_groups(np.asarray(groups), share, labels, generator)
    elif labels is not None:
        held = _hold_out_stratified(np.asarray(labels), share, generator)
    else:
        held = np.zeros(rows, bool)
        held[generator.permutation(rows)[: min(max(round(rows * share), 1), rows - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _hold_out_stratified(
    labels: npt.NDArray, share: float, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Mark the same share of every class; a class of one row stays whole."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        held[generator.permutation(members)[:count]] = True
    if not held.any():  # Every class has a single row.
        held[generator.integers(len(labels))] = True
    return held


def _hold_out_groups(
    groups: npt.NDArray, share: float, labels: npt.NDArray | None, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Mark whole groups, about `share` of the rows, with a mix of classes like that of all rows."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"`groups` names a single group ({names[0]}): whole groups cannot be held out, "
            "so give x_val and y_val, or leave `groups` out."
        )
    classes = np.zeros(len(groups), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (member.ravel(), classes.ravel()), 1)
    total = counts.sum(axis=0)
    best: tuple[float, npt.NDArray] | None = None
    for _ in range(_GROUP_TRIALS):
        order = generator.permutation(len(names))
        # Held-out rows by class after each further group; the last one would leave nothing to train on.
        growing = np.cumsum(counts[order], axis=0)[:-1]
        distance = np.abs(growing / total - share).max(axis=1)
        taken = int(distance.argmin())
        if best is None or distance[taken] < best[0]:
            best = float(distance[taken]), order[: taken + 1]
    assert best is not None
    return np.isin(member.ravel(), best[1])
