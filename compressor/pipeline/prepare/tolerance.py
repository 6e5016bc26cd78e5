"""How sure a difference of scores is that was seen on few rows.

Of many candidates the best on the validation rows is partly the luckiest (the winner's curse): a limit is kept by a margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, row_count, take
from compressor.training import Task

_DRAWS = 400
_DRAWS_OF_METRICS = 60
"""A metric of the user's own may take long."""


def tolerance(task: Task, score: float) -> float:
    """By how much a network may miss a limit on the score in the search and yet not be told apart from one that keeps it.

    The standard error of the original's own accuracy on the validation rows: a bisection that turns away whatever misses
    the limit by one unlucky row ends far from where it could. 0 where the score is no share of rows.
    """
    if not task.counts_right or task.data.y_val is None:
        return 0.0
    rows = row_count(task.data.y_val)
    return max(1.0 / rows, math.sqrt(max(0.0, score * (1 - score)) / rows))


def standard_error(
    task: Task,
    outputs: Sequence[Rows],
    original: Rows,
    x: Rows,
    y: Rows,
    seed: int = 0,
) -> float:
    """Standard error of the mean score of some networks less that of the original, by paired bootstrap on the same rows.

    `outputs` are those of each network (seeds of one candidate), each [rows, ...]; where there are several, networks too
    are drawn with repetition. At least 1 / rows: that no row differs, on so few, does not mean that none ever would.
    """
    rng = np.random.default_rng(seed)
    rows = row_count(y)
    if task.counts_right:
        gains = np.array([task.right(one, y) for one in outputs]) - task.right(original, y)
        drawn = [_drawn(gains, rng) for _ in range(_DRAWS)]
    else:
        drawn = []
        for _ in range(_DRAWS_OF_METRICS):
            chosen = rng.integers(rows, size=rows)
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


def _drawn(gains: NDArray[np.float64], rng: np.random.Generator) -> float:
    """The mean gain over networks and rows that were drawn with repetition; gains [networks, rows]."""
    nets, rows = gains.shape
    return float(gains[rng.integers(nets, size=nets)][:, rng.integers(rows, size=rows)].mean())
