"""How sure it is what a policy loses, where rows of one group are no evidence of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_and_error(
    lost: NDArray[np.float64], shares: NDArray[np.float64], units: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """Mean of losses [rows] and its standard error; `shares` [rows] add up to 1, `units` [rows] number the groups.

    Rows of a group are counted as one draw (the cluster-robust error), without groups each row is.

    Examples
    --------
    >>> lost, shares = np.array([1.0, 1.0, 0.0, 0.0]), np.full(4, 0.25)
    >>> mean_and_error(lost, shares), mean_and_error(lost, shares, np.array([0, 0, 1, 1]))
    ((0.5, 0.25), (0.5, 0.5))
    """
    mean = float(lost @ shares)
    off = (lost - mean) * shares
    if units is None:
        return mean, float(np.sqrt(off @ off))
    sums = np.bincount(units, off)
    groups = int(np.count_nonzero(np.bincount(units)))
    return mean, float(np.sqrt(sums @ sums * (groups / max(groups - 1, 1))))
