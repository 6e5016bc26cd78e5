"""Times of layers on their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from profiler.network import Layer
from timemodel.features import AT_INPUT, geometry, kind_of, stand_ins
from timemodel.model.operator_model import OperatorModel
from timemodel.tree import BLOCK_ROWS

FALLBACK = "*"
"""Operator name of the models that stand in for operators that were never measured.

Before the name of an operator: the same, as high as the few layers of it were that are known.
"""

FALLBACK_LOW, FALLBACK_HIGH = 0.2, 5.0
"""Between these factors of its estimate an operator that was not measured is said to lie."""

FEW = 2048
"""Layers of larger batches are not remembered one by one: of these, the last batch is."""

MOST_LAYERS = 16384
"""Layers whose times are remembered; beyond that all are dropped, as in a search that never comes back."""

LARGEST_BATCH = 2**18
"""Larger batches are not remembered at all."""

_DTYPES = ("float32", "int8", "dynamic_int8", "int16")

Row = tuple[float, float, float, float]
"""Predicted, low and high time of a layer in ms; 1 where its operator was measured, else 0."""


def is_estimate(op: str) -> bool:
    """Whether this is the name of a model that stands in for operators, and of none."""
    return op.startswith(FALLBACK)


@dataclass(frozen=True)
class LayerTimes:
    """Times of several layers: arrays ``[n]`` of ms, and whether each comes from a measured operator."""

    predicted_ms: np.ndarray
    low_ms: np.ndarray
    high_ms: np.ndarray
    covered: np.ndarray


class LayerPredictor:
    """Predicts layers with the models of one setting, which never change, and remembers what it predicted.

    `overhead_ms`, what a call costs, is part of every time of an operator's model. With `strict` nothing stands in for what was
    not measured, but `others`: a predictor of what another processor runs.
    """

    def __init__(
        self,
        operators: Mapping[tuple[str, str], OperatorModel],
        overhead_ms: float,
        strict: bool = False,
        others: Callable[[Sequence[Layer]], LayerTimes] | None = None,
    ) -> None:
        self.operators, self.overhead_ms, self.strict, self.others = operators, overhead_ms, strict, others
        self.find = functools.cache(self._find)
        self._rows: dict[Layer, Row] = {}
        self._last_batch: tuple[list[Layer], np.ndarray] = [], np.zeros((0, 4))

    def _find(self, op: str, dtype: str) -> tuple[OperatorModel | None, bool]:
        """The model that predicts `op` in `dtype`, and whether it was measured for just that."""
        # Declared fallback: the same operator in another arithmetic, else what bytes and multiplications cost on average.
        if self.strict:
            tried = [name for base in (op, op.removesuffix(AT_INPUT)) for name in stand_ins(base, dtype)]
            known = next((self.operators[name] for name in tried if name in self.operators), None)
            return known, known is not None
        kinds = [dtype, *(other for other in _DTYPES if other != dtype)]
        others = op.partition(":")[0], FALLBACK + op, FALLBACK
        tried = [(op, dtype), *((base, kind) for base in others for kind in kinds)]
        for base, kind in tried:
            for name in stand_ins(base, kind):
                if name in self.operators:
                    return self.operators[name], base == op and not is_estimate(op) and kind == dtype
        return None, False

    def times(self, layers: Sequence[Layer]) -> LayerTimes:
        """Times of `layers` without the call's overhead; loops count every round."""
        table = self._batch(list(layers)) if len(layers) > FEW else self._remembered(layers)
        return LayerTimes(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0)

    def _batch(self, layers: list[Layer]) -> np.ndarray:
        """A `Row` of each of `layers`, ``[n, 4]``, in blocks that stay in the processor's cache."""
        known, table = self._last_batch
        if layers == known:
            return table
        blocks = [layers[at : at + BLOCK_ROWS] for at in range(0, len(layers), BLOCK_ROWS)]
        table = np.concatenate([self._predicted(block) for block in blocks])
        table.flags.writeable = False
        if len(layers) <= LARGEST_BATCH:
            self._last_batch = layers, table
        return table

    def _remembered(self, layers: Sequence[Layer]) -> np.ndarray:
        known = self._rows
        rows = list(map(known.get, layers))
        if None in rows:
            new = list(dict.fromkeys(layer for layer, row in zip(layers, rows, strict=True) if row is None))
            made: dict[Layer, Row] = dict(zip(new, map(tuple, self._predicted(new).tolist()), strict=True))
            if len(known) + len(made) > MOST_LAYERS:
                known.clear()
            if len(made) <= MOST_LAYERS:
                known.update(made)
            rows = [made[layer] if row is None else row for layer, row in zip(layers, rows, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def _predicted(self, layers: Sequence[Layer]) -> np.ndarray:
        """A `Row` of each of `layers`, ``[n, 4]``."""
        table = np.zeros((len(layers), 4))
        array = geometry(layers)
        kinds: dict[tuple[str, str] | None, list[int]] = {}
        for position, layer in enumerate(layers):
            # What reads constants only (float16 weights, say) runs when the file is loaded.
            works = not layer.inputs or any(not tensor.constant for tensor in layer.inputs)
            kinds.setdefault(kind_of(layer) if works else None, []).append(position)
        for kind, positions in kinds.items():
            model, measured = (None, True) if kind is None else self.find(*kind)
            table[positions, 3] = measured
            if model is None and kind is not None and self.others is not None:
                other = self.others([replace(layers[i], repeat=1) for i in positions])
                columns = other.predicted_ms, other.low_ms, other.high_ms, other.covered.astype(float)
                table[positions] = np.column_stack(columns)
            if model is not None:
                rows = array if len(positions) == len(array) else array[positions]
                table[positions, :3] = self._bounded(model, measured, rows)
        repeats = np.array([layer.repeat for layer in layers], dtype=np.float64)
        if np.any(repeats != 1):
            table[:, :3] *= repeats[:, None]
        return table

    def _bounded(self, model: OperatorModel, measured: bool, array: np.ndarray) -> np.ndarray:
        """Predicted, low and high time ``[n, 3]`` in ms of the rows of a `geometry` array."""
        times, stretch = model.times(array)
        low, high = (model.low, model.high) if measured else (FALLBACK_LOW, FALLBACK_HIGH)
        wider = np.sqrt(stretch)
        predicted = np.maximum(times - self.overhead_ms, 0.0)
        below = np.minimum(np.maximum(times * low / wider - self.overhead_ms, 0.0), predicted)
        above = np.maximum(times * high * wider - self.overhead_ms, predicted)
        return np.column_stack([predicted, below, above])
