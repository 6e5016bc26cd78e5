"""Times of layers on their own: in blocks where they are many, from what was worked out before where they are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.network import Layer
from timemodel.features import (
    NO_WORK,
    Prepared,
    members,
    prepare,
    split_kind,
    unpack,
)
from timemodel.model.memo import LayerMemo
from timemodel.model.operator_model import OperatorModel
from timemodel.tree import BLOCK_ROWS

Find = Callable[[str, str], tuple[OperatorModel | None, bool]]
"""(kernel, arithmetic) -> its model and whether it was measured for just that; see `SettingModel.find`."""

FALLBACK_LOW, FALLBACK_HIGH = 0.2, 5.0
"""Between these factors of its estimate an operator that was not measured is said to lie."""

FEW = 2048
"""Up to so many layers the memo is asked; a larger batch would only wash it out."""

_NOTHING = (0.0, 0.0, 0.0, True)


@dataclass(frozen=True)
class LayerTimes:
    """Times of several layers: arrays ``[n]`` of ms, and whether each comes from a measured operator."""

    predicted_ms: np.ndarray
    low_ms: np.ndarray
    high_ms: np.ndarray
    covered: np.ndarray


@dataclass
class _Kind:
    """What predicts one kind of work, and the times that it gave so far."""

    model: OperatorModel | None
    measured: bool
    state: tuple[Any, ...]
    memo: LayerMemo = field(default_factory=LayerMemo)


class LayerTimer:
    """Predicts layers with the operators' models of one setting, which `find` chooses between.

    Times that are kept are dropped when a model, its tree, its interval or the overhead is another one than before.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Without what is kept.
        return type(self), ()

    def times(self, layers: Sequence[Layer], find: Find, overhead_ms: float) -> LayerTimes:
        """Times of `layers`, less `overhead_ms` each; loops count every round."""
        prepared = prepare(layers)
        if len(layers) <= FEW:
            table = np.array(self._remembered(prepared, find, overhead_ms), dtype=np.float64).reshape(-1, 4)
        else:
            blocks = [prepared[at : at + BLOCK_ROWS] for at in range(0, len(prepared), BLOCK_ROWS)]
            table = np.concatenate([self._worked_out(block, find, overhead_ms) for block in blocks])
        covered = table[:, 3] > 0
        repeats = [repeat for _, _, repeat in prepared]
        if any(repeat != 1 for repeat in repeats):
            table *= np.array(repeats, dtype=np.float64)[:, None]
        return LayerTimes(table[:, 0], table[:, 1], table[:, 2], covered)

    def predicted_ms(self, layers: Sequence[Layer], find: Find, overhead_ms: float) -> np.ndarray:
        """`LayerTimes.predicted_ms` alone, in less time."""
        if len(layers) <= FEW:
            return self.times(layers, find, overhead_ms).predicted_ms
        values = np.zeros(len(layers))
        for at in range(0, len(layers), BLOCK_ROWS):
            kinds, packed, repeats = zip(*prepare(layers[at : at + BLOCK_ROWS]), strict=True)
            array = unpack(packed)
            found = np.zeros(len(array))
            for kind, positions in members(kinds).items():
                model = None if kind == NO_WORK else find(*split_kind(kind))[0]
                if model is not None:
                    rows = array if len(positions) == len(array) else array[positions]
                    found[positions] = np.maximum(model.predict_ms(rows) - overhead_ms, 0.0)
            values[at : at + BLOCK_ROWS] = found
            if set(repeats) != {1}:
                values[at : at + BLOCK_ROWS] *= np.array(repeats, dtype=np.float64)
        return values

    def _remembered(
        self, prepared: Sequence[Prepared], find: Find, overhead_ms: float
    ) -> list[tuple[float, float, float, bool]]:
        """(predicted, low, high, covered) of one round of each layer."""
        kinds = {kind: self._kind(kind, find, overhead_ms) for kind in {kind for kind, _, _ in prepared}}
        memos = {kind: known.memo for kind, known in kinds.items()}
        values = [memos[kind].get(packed) for kind, packed, _ in prepared]
        if None in values:
            new = [i for i, value in enumerate(values) if value is None]
            for kind, positions in members(prepared[i][0] for i in new).items():
                rows = list(dict.fromkeys(prepared[new[i]][1] for i in positions))
                known = kinds[kind]
                made = dict(
                    zip(rows, map(tuple, _rows(known, unpack(rows), overhead_ms).tolist()), strict=True)
                )
                known.memo.keep(made)
                for i in positions:
                    values[new[i]] = made[prepared[new[i]][1]]
        return values  # type: ignore[return-value]

    def _worked_out(self, prepared: Sequence[Prepared], find: Find, overhead_ms: float) -> np.ndarray:
        """The same as an array ``[n, 4]``, without the memo."""
        table = np.empty((len(prepared), 4))
        array = unpack([packed for _, packed, _ in prepared])
        for kind, positions in members(kind for kind, _, _ in prepared).items():
            table[positions] = _rows(self._kind(kind, find, overhead_ms), array[positions], overhead_ms)
        return table

    def _kind(self, kind: str, find: Find, overhead_ms: float) -> _Kind:
        model, measured = (None, True) if kind == NO_WORK else find(*split_kind(kind))
        # Compared by identity, and held, so that no other object can come to stand under the same number.
        state = (
            overhead_ms,
            model,
            *((model.low, model.high, getattr(model, "tree", None)) if model else ()),
        )
        known = self._kinds.get(kind)
        if known is None or not _same(known.state, state):
            known = self._kinds[kind] = _Kind(model, measured, state)
        return known


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(
        a is b or (isinstance(a, float) and a == b) for a, b in zip(one, other, strict=True)
    )


def _rows(kind: _Kind, array: np.ndarray, overhead_ms: float) -> np.ndarray:
    """Predicted, low and high time in ms of the rows of a `geometry` array, and whether they are covered, ``[n, 4]``."""
    table = np.zeros((len(array), 4))
    table[:, 3] = kind.measured
    model = kind.model
    if model is None:
        return table
    raw, stretch = _times(model, array)
    wider = np.sqrt(stretch)
    below, above = (model.low, model.high) if kind.measured else (FALLBACK_LOW, FALLBACK_HIGH)
    predicted = np.maximum(raw - overhead_ms, 0.0)
    table[:, 0] = predicted
    table[:, 1] = np.minimum(np.maximum(raw * below / wider - overhead_ms, 0.0), predicted)
    table[:, 2] = np.maximum(raw * above * wider - overhead_ms, predicted)
    return table


def _times(model: Any, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(model, OperatorModel):
        return model.times(array)
    # Black boxes that benchmarks put in a tree's place.
    return model.predict_ms(array), model.stretch(array)
