"""Features of texts, as strings or as numbers of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.runtime.premodel.lazily import cached_property, stacked

TEXT_NAMES = (
    "length",
    "words",
    "word_length",
    "longest_word",
    "distinct",
    "digits",
    "punctuation",
    "capitals",
)
TOKEN_NAMES = ("length", "distinct", "mean_number", "largest_number", "deviation", "repeats")
"""Tokens are numbered by how common they are in most vocabularies, so high numbers are rare words."""

_MARKS = frozenset(".,;:!?()[]{}\"'-–—…«»„“”")


def text_features(x: NDArray[np.generic], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [rows, names] of strings [rows]."""
    rows = [
        _text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
        for value in x.reshape(-1)
    ]
    positions = [TEXT_NAMES.index(name) for name in names]
    return np.array(rows, np.float32).reshape(-1, len(TEXT_NAMES))[:, positions]


def _text(text: str) -> tuple[float, ...]:
    words = text.split()
    lengths = [len(word) for word in words] or [0]
    length = max(len(text), 1)
    return (
        len(text),
        len(words),
        sum(lengths) / len(lengths),
        max(lengths),
        len({word.lower() for word in words}) / max(len(words), 1),
        sum(map(str.isdigit, text)) / length,
        sum(character in _MARKS for character in text),
        sum(map(str.isupper, text)) / length,
    )


def token_features(x: NDArray[np.generic], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [rows, names] of numbers of tokens [rows, steps]; 0 fills up short texts."""
    return stacked(_Tokens(x), names)


class _Tokens:
    def __init__(self, x: NDArray[np.generic]) -> None:
        self.tokens = x.reshape(len(x), -1).astype(np.int64)
        self.there = self.tokens != 0

    @cached_property
    def length(self) -> NDArray[np.int64]:
        return self.there.sum(axis=1)

    @cached_property
    def distinct(self) -> NDArray[np.float64]:
        """Share of tokens that no earlier one equals."""
        ordered = np.sort(np.where(self.there, self.tokens, -1), axis=1)
        new = (np.diff(ordered, axis=1, prepend=-1) != 0).sum(axis=1)
        return new / np.maximum(self.length, 1)

    @cached_property
    def mean_number(self) -> NDArray[np.float64]:
        return self.tokens.sum(axis=1) / np.maximum(self.length, 1)

    @cached_property
    def largest_number(self) -> NDArray[np.int64]:
        return self.tokens.max(axis=1, initial=0)

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        squares = (self.tokens.astype(np.float64) ** 2).sum(axis=1) / np.maximum(self.length, 1)
        return np.sqrt(np.maximum(squares - self.mean_number**2, 0.0))

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """How often a token equals the one before it."""
        return ((self.tokens[:, 1:] == self.tokens[:, :-1]) & self.there[:, 1:]).sum(axis=1)
