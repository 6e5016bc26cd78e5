"""One resampling: validation rows choose and confirm as `compress` does it, and the whole pool says what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.pipeline.prepare import LEVEL
from compressor.pipeline.result import least_claim, order_of_tests, passed_in_turn
from profiler.paired import loss_p_value


@dataclass(frozen=True)
class Drawn:
    """Rows that were drawn: whether each network is right [networks, rows], the original in front, and their groups [rows]."""

    right: NDArray[np.bool_]
    groups: NDArray[Any] | None = None

    def lost(self, network: int) -> NDArray[np.float64]:
        """What a network loses on each row [rows]."""
        return self.right[0].astype(float) - self.right[network]


@dataclass(frozen=True)
class Chosen:
    """What came of one resampling.

    Attributes
    ----------
    network
        The one that is handed over.
    claim
        At most so much is lost, as was claimed; None where nothing was.
    confirmed
        Whether it was shown to keep what was asked.
    naive
        The cheapest whose mean keeps it on all rows, as if these proved anything; the original where none does.
    """

    network: int
    claim: float | None
    confirmed: bool
    naive: int


def choose(choosing: Drawn, confirming: Drawn, cost: Sequence[float], most: float) -> Chosen:
    """Order networks by the rows that choose, test them in turn on the others."""
    scores = [float(right.mean()) for right in choosing.right[1:]]
    order = [place + 1 for place in order_of_tests(list(cost[1:]), scores)]

    def holds(network: int) -> bool:
        return loss_p_value(confirming.lost(network), most, confirming.groups) <= LEVEL

    passed = passed_in_turn(order, holds)
    network = order[max(passed - 1, 0)]
    claim: float | None = most
    if not passed:
        found = least_claim(confirming.lost(network), confirming.groups)
        claim = None if found is None else max(found, most)
    everything = np.concatenate([choosing.right, confirming.right], axis=1).mean(axis=1)
    kept = [n for n in range(1, len(cost)) if everything[n] >= everything[0] - most]
    return Chosen(network, claim, passed > 0, min(kept, key=lambda n: cost[n], default=0))


@dataclass(frozen=True)
class Kept:
    """How promises fared over resamplings.

    Attributes
    ----------
    broken, confirmed, naive_broken
        Shares of all resamplings: the claim was false; what was asked was shown; the naive choice lost more than was asked.
    faster, naive_faster
        Median of how many times fewer multiplications the choice has than the original.
    claim_points
        Median claim; of those that claimed anything.
    """

    broken: float
    confirmed: float
    naive_broken: float
    faster: float
    naive_faster: float
    claim_points: float


def kept(found: Sequence[Chosen], truth: NDArray[np.float64], cost: Sequence[float], most: float) -> Kept:
    """Count; `truth` is what each network really loses [networks]."""
    claims = [one.claim for one in found if one.claim is not None]
    return Kept(
        float(np.mean([one.claim is not None and truth[one.network] > one.claim for one in found])),
        float(np.mean([one.confirmed for one in found])),
        float(np.mean([truth[one.naive] > most for one in found])),
        float(np.median([1 / cost[one.network] for one in found])),
        float(np.median([1 / cost[one.naive] for one in found])),
        100 * float(np.median(claims)) if claims else float("nan"),
    )
