"""How sure a difference of scores is that was seen on few rows.

Of many candidates the best on the validation rows is partly the luckiest (the winner's curse): a limit is kept by a margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from compressor.data import Rows, row_count, take
from compressor.pipeline.prepare.aside import LEVEL, told_apart
from compressor.training import Task

_DRAWS = 400
_DRAWS_OF_METRICS = 60
"""A metric of the user's own may take long."""

_MOST_ERRORS = 3.0
"""Of a margin: by Student's t two groups would ask for more than any network keeps."""


def tolerance(task: Task, score: float) -> float:
    """By how much a network may miss a limit on the score in the search and yet not be told apart from one that keeps it.

    The standard error of the original's own accuracy on the validation rows: a bisection that turns away whatever misses
    the limit by one unlucky row ends far from where it could. 0 where the score is no share of rows.
    """
    if not task.counts_right or task.data.y_val is None:
        return 0.0
    rows = row_count(task.data.y_val)
    return max(1.0 / rows, math.sqrt(max(0.0, score * (1 - score)) / rows))


def score_margin(
    task: Task, outputs: Sequence[Rows], original: Rows, x: Rows, y: Rows, groups: NDArray[Any] | None = None
) -> float:
    """By how much the score of some networks less the original's may be too high, with 95% confidence: so many standard errors.

    Arguments as of `standard_error`. Of few groups the errors count more (Student's t).
    """
    groups = told_apart(groups)
    count = row_count(y) if groups is None else len(np.unique(groups))
    if groups is not None and count < 2:
        groups, count = None, row_count(y)  # how groups differ is not to be seen
    errors = ndtri(1 - LEVEL) if groups is None else min(_MOST_ERRORS, stdtrit(count - 1, 1 - LEVEL))
    return float(errors) * standard_error(task, outputs, original, x, y, groups=groups)


def standard_error(
    task: Task,
    outputs: Sequence[Rows],
    original: Rows,
    x: Rows,
    y: Rows,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
) -> float:
    """Standard error of the mean score of some networks less that of the original, by paired bootstrap on the same rows.

    `outputs` are those of each network (seeds of one candidate), each [rows, ...]; where there are several, networks too
    are drawn with repetition. Whole `groups` are drawn where they are given. At least 1 / rows: that no row differs, on so few,
    does not mean that none ever would.
    """
    rng = np.random.default_rng(seed)
    rows = row_count(y)
    draw = _drawer(rows, groups, rng)
    if task.counts_right:
        gains = np.array([task.right(one, y) for one in outputs]) - task.right(original, y)
        drawn = [
            float(gains[rng.integers(len(gains), size=len(gains))][:, draw()].mean()) for _ in range(_DRAWS)
        ]
    else:
        drawn = []
        for _ in range(_DRAWS_OF_METRICS):
            chosen = draw()
            nets = rng.integers(len(outputs), size=len(outputs))
            rows_x, rows_y = take(x, chosen), take(y, chosen)
            scores = {
                int(n): task.score(take(outputs[n], chosen), rows_x, rows_y) for n in set(nets.tolist())
            }
            mean = float(np.mean([scores[int(n)] for n in nets]))
            drawn.append(mean - task.score(take(original, chosen), rows_x, rows_y))
    spread = float(np.nanstd(drawn)) if np.isfinite(drawn).any() else 0.0  # some metrics need every class
    least = 1.0 / rows if task.counts_right else 0.0
    return max(spread, least)


def _drawer(
    rows: int, groups: NDArray[Any] | None, rng: np.random.Generator
) -> Callable[[], NDArray[np.int64]]:
    """Draws row numbers with repetition, by whole groups where there are some."""
    if groups is None:
        return lambda: rng.integers(rows, size=rows)
    names, member = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(member.ravel() == place) for place in range(len(names))]
    return lambda: np.concatenate([members[place] for place in rng.integers(len(names), size=len(names))])
