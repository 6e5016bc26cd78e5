"""Features of a first network's own answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.confidence import confidence
from selector.runtime.premodel.lazily import cached_property, stacked

_MOST_CLASSES = 32
"""Of more classes only the sorted ones are features."""

_SORTED = 5


def answer_names(classes: int) -> tuple[str, ...]:
    """Margin, top and entropy as confidence has them, the highest logarithms in order, and each class's where they are few."""
    ordered = min(_SORTED, classes)
    each = classes if classes <= _MOST_CLASSES else 0
    return (
        "margin", "top", "entropy", *(f"sorted_{i}" for i in range(1, ordered + 1)),
        *(f"of_class_{i}" for i in range(1, each + 1)),
    )  # fmt: skip


def answer_features(log_p: NDArray[Any], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [rows, names] of logarithms of probabilities [rows, classes]."""
    return stacked(_Answer(log_p), names)


class _Answer:
    def __init__(self, log_p: NDArray[Any]) -> None:
        self.of_class = log_p

    @cached_property
    def margin(self) -> NDArray[np.float32]:
        return confidence(self.of_class, "margin")

    @cached_property
    def top(self) -> NDArray[np.float32]:
        return confidence(self.of_class, "top")

    @cached_property
    def entropy(self) -> NDArray[np.float32]:
        return confidence(self.of_class, "entropy")

    @cached_property
    def sorted(self) -> NDArray[Any]:
        """The highest logarithms, highest first."""
        return -np.sort(-self.of_class, axis=1)[:, :_SORTED]
