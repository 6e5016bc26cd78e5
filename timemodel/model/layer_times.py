"""Times of layers on their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from timemodel.features import AT_INPUT, LEFT, geometry, kind_of, stand_ins
from timemodel.model.operator_model import OperatorModel
from timemodel.tree import BLOCK_ROWS

FALLBACK = "*"
"""Operator name of the models that stand in for operators that were never measured.

Before the name of an operator: the same, as high as the few layers of it were that are known.
"""

FALLBACK_LOW, FALLBACK_HIGH = 0.25, 4.0
"""Between these factors of its estimate an operator that was not measured is said to lie."""

MOST_SPAN = 20.0
"""A time that may lie anywhere between two bounds that are further apart than this, by factor, is unknown."""

_NO_WORK = frozenset({"call_once", "var_handle"})
"""Operators that prepare variables: what they do is done when the network is loaded, or in the first inference."""

FEW = 2048
"""Layers of larger batches are not remembered one by one: of these, the last batch is."""

MOST_LAYERS = 16384
"""Layers whose times are remembered; beyond that all are dropped, as in a search that never comes back."""

LARGEST_BATCH = 2**18
"""Larger batches are not remembered at all."""

_KIN = {
    "float32": ("int8", "dynamic_int8"),
    "int8": ("float32", "dynamic_int8"),
    "dynamic_int8": ("float32", "int8"),
    "uint8": ("int8", "float32", "dynamic_int8"),
    **dict.fromkeys(("int32", "int64", "bool", "uint32"), ("float32", "int8", "dynamic_int8")),
}
"""For each arithmetic others that an estimate may come from. int16 runs in kernels of another sort, at a tenth of the speed."""

Row = tuple[float, float, float, float, float]
"""Predicted, low and high time of a layer in ms; 1 where its operator was measured, else 0; 1 where its time is known, else 0."""


def is_estimate(op: str) -> bool:
    """Whether this is the name of a model that stands in for operators, and of none."""
    return op.startswith(FALLBACK)


@dataclass(frozen=True)
class LayerTimes:
    """Times of several layers: arrays ``[n]`` of ms, whether each comes from a measured operator, and whether it is known at all.

    What is not known is in the other arrays what it takes at least: of an operator far beyond what was measured the low end of its
    interval, of one that nothing is known of 0.
    """

    predicted_ms: np.ndarray
    low_ms: np.ndarray
    high_ms: np.ndarray
    covered: np.ndarray
    known: np.ndarray


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
        self._last_batch: tuple[list[Layer], np.ndarray] = [], np.zeros((0, 5))

    def _find(self, op: str, dtype: str) -> tuple[OperatorModel | None, bool]:
        """The model that predicts `op` in `dtype`, and whether it was measured for just that."""
        # Declared fallback: the same operator in another arithmetic, else what bytes and multiplications cost on average. What an
        # operator does that has no name in the file format nobody knows.
        if self.strict:
            tried = [name for base in (op, op.removesuffix(AT_INPUT)) for name in stand_ins(base, dtype)]
            known = next((self.operators[name] for name in tried if name in self.operators), None)
            return known, known is not None
        own = op if is_nameless(op) else op.partition(":")[0]
        others = (own,) if is_nameless(op) else (own, FALLBACK + op, FALLBACK)
        kinds = (dtype, *_KIN.get(dtype, ("float32", "int8") if _only_moves(own) else ()))
        tried = [(op, dtype), *((base, kind) for base in others for kind in kinds)]
        for base, kind in tried:
            for name in stand_ins(base, kind):
                if name in self.operators:
                    return self.operators[name], base == op and not is_estimate(op) and kind == dtype
        return None, False

    def times(self, layers: Sequence[Layer]) -> LayerTimes:
        """Times of `layers` without the call's overhead; loops count every round."""
        table = self._batch(list(layers)) if len(layers) > FEW else self._remembered(layers)
        return LayerTimes(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, table[:, 4] > 0)

    def _batch(self, layers: list[Layer]) -> np.ndarray:
        """A `Row` of each of `layers`, ``[n, 5]``, in blocks that stay in the processor's cache."""
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
        return np.array(rows, dtype=np.float64).reshape(-1, 5)

    def _predicted(self, layers: Sequence[Layer]) -> np.ndarray:
        """A `Row` of each of `layers`, ``[n, 5]``."""
        table = np.zeros((len(layers), 5))
        array = geometry(layers)
        kinds: dict[tuple[str, str] | None, list[int]] = {}
        for position, layer in enumerate(layers):
            # What reads constants only (float16 weights, say) runs when the file is loaded.
            works = not layer.inputs or any(not tensor.constant for tensor in layer.inputs)
            works = works and layer.op not in _NO_WORK
            kinds.setdefault(kind_of(layer) if works else None, []).append(position)
        for kind, positions in kinds.items():
            model, measured = (None, True) if kind is None else self.find(*kind)
            table[positions, 3] = measured
            table[positions, 4] = model is not None or kind is None
            if model is None and kind is not None and self.others is not None:
                other = self.others([_unmarked(layers[i]) for i in positions])
                columns = other.predicted_ms, other.low_ms, other.high_ms, other.covered, other.known
                table[positions] = np.column_stack(columns)
            if model is not None:
                rows = array if len(positions) == len(array) else array[positions]
                table[positions, :3], known = self._bounded(model, measured, rows)
                unknown = [position for position, sure in zip(positions, known, strict=True) if not sure]
                # At least the low end, which grows with the work: at 0 a larger layer would be cheaper than a smaller one.
                table[unknown, 0] = table[unknown, 2] = table[unknown, 1]
                table[unknown, 3:] = 0.0
        repeats = np.array([layer.repeat for layer in layers], dtype=np.float64)
        if np.any(repeats != 1):
            table[:, :3] *= repeats[:, None]
        return table

    def _bounded(
        self, model: OperatorModel, measured: bool, array: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predicted, low and high time ``[n, 3]`` in ms of a `geometry` array's rows, and whether they say anything ``[n]``."""
        times, stretch = model.times(array)
        low, high = (model.low, model.high) if measured else (FALLBACK_LOW, FALLBACK_HIGH)
        # The further beyond what was measured, the wider: sixteen times as large is twice as wide on either side.
        wider = stretch**0.25
        predicted = np.maximum(times - self.overhead_ms, 0.0)
        below = np.minimum(np.maximum(times * low / wider - self.overhead_ms, 0.0), predicted)
        above = np.maximum(times * high * wider - self.overhead_ms, predicted)
        known = np.full(len(times), self.strict) | (high / low * wider**2 <= MOST_SPAN)
        return np.column_stack([predicted, below, above]), known


def is_nameless(op: str) -> bool:
    """Whether `op` is a custom operator, a composite, or a number that the file format has no name for."""
    return op.startswith(("custom:", "composite:", "builtin_"))


def _only_moves(op: str) -> bool:
    """Whether `op` only moves data: the same work in any number type of so many bytes."""
    return operator(op).features in ("copy", "transpose")


def _unmarked(layer: Layer) -> Layer:
    """`layer` once, without what was noted about its place beside an accelerator."""
    params = {name: value for name, value in layer.params.items() if name != LEFT}
    return replace(layer, repeat=1, params=params)
