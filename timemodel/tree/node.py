"""One node of a tree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class TreeNode:
    """One node. Leaves have ``feature == -1``; `modulus` 0 means ``feature <= threshold``, else ``feature mod modulus == 0``.

    `coefficients` start with the constant; `loss` is the squared relative error of the node's own fit and `gain` what its
    split took off it.
    """

    feature: int = -1
    threshold: float = 0.0
    modulus: int = 0
    left: int = -1
    right: int = -1
    coefficients: np.ndarray = field(default_factory=lambda: np.zeros(0))
    samples: int = 0
    loss: float = 0.0
    gain: float = 0.0

    def goes_left(self, values: np.ndarray) -> np.ndarray:
        """Which of the `values` of its feature go to the left branch."""
        return np.mod(values, self.modulus) == 0 if self.modulus else values <= self.threshold
