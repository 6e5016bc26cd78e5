"""Cheap numbers of an input by which a premodel tells which network will do: of images, texts, signals, or of a first answer.

Imports `selector.runtime.confidence` and numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.premodel.answers import answer_features, answer_names
from selector.runtime.premodel.images import IMAGE_NAMES, image_features
from selector.runtime.premodel.signals import SIGNAL_NAMES, signal_features
from selector.runtime.premodel.texts import TEXT_NAMES, TOKEN_NAMES, text_features, token_features

_ROWS = 256
"""Rows that are worked on at a time: their intermediate values stay near the processor."""

KINDS = ("image", "signal", "tokens", "text", "answer")

__all__ = [
    "IMAGE_NAMES",
    "KINDS",
    "SIGNAL_NAMES",
    "TEXT_NAMES",
    "TOKEN_NAMES",
    "answer_features",
    "answer_names",
    "features_of",
    "kind_of",
    "names_of",
]


def kind_of(x: NDArray[Any]) -> str:
    """Kind of features of rows: images [rows, height, width, 1, 3 or 4], tokens (integers [rows, steps]), texts, else signals."""
    if x.dtype.kind in "US" or x.dtype == object:
        return "text"
    if x.ndim == 4 and x.shape[-1] in (1, 3, 4) and min(x.shape[1:3]) > 6:
        return "image"
    if x.ndim == 2 and x.dtype.kind in "iu":
        return "tokens"
    return "signal"


def names_of(kind: str, classes: int = 0) -> tuple[str, ...]:
    """Names of all features of a kind."""
    if kind == "answer":
        return answer_names(classes)
    return {"image": IMAGE_NAMES, "signal": SIGNAL_NAMES, "tokens": TOKEN_NAMES, "text": TEXT_NAMES}[kind]


def features_of(kind: str, x: NDArray[Any], names: Sequence[str]) -> NDArray[np.float32]:
    """Features of rows [rows, names]; only what these names need is worked out.

    `x` are the policy's inputs, for the kind ``"answer"`` logarithms of probabilities [rows, classes].
    """
    functions = {
        "image": image_features,
        "signal": signal_features,
        "tokens": token_features,
        "text": text_features,
        "answer": answer_features,
    }
    parts = [functions[kind](x[start : start + _ROWS], names) for start in range(0, len(x), _ROWS)]
    found = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
