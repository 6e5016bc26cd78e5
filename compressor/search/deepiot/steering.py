"""What a search of DeepIoT is steered by beside the loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compressor.costs import Configuration, narrowest
from compressor.search.base import SearchProblem

Positions = dict[str, list[int]]
"""Which channels of each group stay, ascending."""

ByGroup = Mapping[str, NDArray[np.float64]]
"""The probabilities of each group's channels [width]."""


class Steering:
    """What a search is steered by beside the loss: here, as in DeepIoT, nothing."""

    start = 1.0
    """The weight of `slopes` in the first step of the threshold."""

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem

    @property
    def options(self) -> Mapping[str, float]:
        """What decides how it steers: a search of other options is not gone on with."""
        return {}

    def least(self) -> Configuration:
        """The configuration of least cost that can be reached."""
        return narrowest(self._problem.full)

    def settled(self, keep: Positions, p: ByGroup) -> Positions:
        """The channels to keep where the threshold leaves those of `keep`."""
        return keep

    def slopes(self, p: ByGroup) -> dict[str, float]:
        """What a group's channels add to the compressor's loss, each times its probability `p`; 0 where missing."""
        return {}

    def raised(self, weight: float, p: ByGroup) -> float:
        """The weight of `slopes` after one more step of the threshold."""
        return weight
