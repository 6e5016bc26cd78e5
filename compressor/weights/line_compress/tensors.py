"""Where a `.tflite` file stores its weights, and in what order they are read: what is near in a kernel lies side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.errors import ModelFileError
from profiler.tflite import Buffer, FlatbufferError, RawModel, RawOperator, read_model

SMALLEST = 128
"""Tensors of fewer values are stored as they are, or as float16: what is said about their coding would be larger than they."""

_FLOATS = ("float32", "float16")
_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
}
# Output channels first, kernels' positions innermost, of the layouts that TFLite has.
_ORDERS = {
    "conv_2d": (0, 3, 1, 2),
    "transpose_conv": (0, 3, 1, 2),
    "depthwise_conv_2d": (3, 0, 1, 2),
    "conv_3d": (4, 3, 0, 1, 2),
}
_WEIGHTS_SLOT = {
    "transpose_conv": 1,
    "conv_2d": 1,
    "depthwise_conv_2d": 1,
    "conv_3d": 1,
    "fully_connected": 1,
}


@dataclass(frozen=True)
class StoredTensor:
    """One constant tensor of a file.

    Parameters
    ----------
    start, nbytes
        Where its values lie in the file.
    shape, dtype
        As the file has them.
    order
        Its axes, the channel's first, in the order in which its weights are packed.
    weights
        Whether it is packed as lines; else it is small, a bias for instance, and stored as float16 where that holds it.
    operator
        Position of the operator of the main graph that reads it as its weights; -1 where there is none, or are several.
    name
        As the file has it.
    scales
        Of int8 weights: what one is worth, of each channel or of all.
    """

    start: int
    nbytes: int
    shape: tuple[int, ...]
    dtype: np.dtype
    order: tuple[int, ...]
    weights: bool
    operator: int
    name: str
    scales: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of values."""
        return self.nbytes // self.dtype.itemsize

    @property
    def channels(self) -> int:
        """Number of rows that `read` gives."""
        return self.shape[self.order[0]] if self.order else 1

    def read(self, content: bytes | bytearray) -> npt.NDArray[np.float64]:
        """The values of a file as rows [channels, weights of one]."""
        flat = np.frombuffer(content, self.dtype, self.size, self.start)
        ordered = flat.reshape(self.shape).transpose(self.order) if self.order else flat
        return np.ascontiguousarray(ordered.reshape(self.channels, -1), np.float64) * self._scale()

    def _scale(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.scales or (1.0,), np.float64)[:, None]

    def write(self, content: bytearray, rows: npt.NDArray) -> None:
        """Put `rows`, as `read` gave them, back into a file, in its type."""
        if self.dtype.kind == "i":
            rows = np.clip(np.rint(rows / self._scale()), -128, 127)
        ordered = rows.reshape([self.shape[axis] for axis in self.order]) if self.order else rows
        original = ordered.transpose(np.argsort(self.order)) if self.order else ordered
        content[self.start : self.start + self.nbytes] = np.ascontiguousarray(
            original.reshape(-1), self.dtype
        ).tobytes()


def stored_tensors(content: bytes | bytearray, shown: str = "the network") -> list[StoredTensor]:
    """Every constant tensor of numbers with a fraction (or int8 weights) in a file, in the order of the file's bytes.

    Follows from the file's structure alone: the values may be anything. ModelFileError where the file is damaged.
    """
    try:
        model = read_model(Buffer(content))
        scales = _Scales(model)
    except FlatbufferError as error:
        raise ModelFileError(f"{shown} is damaged ({error}): export or copy it again.") from None
    found: dict[int, StoredTensor] = {}
    for number, graph in enumerate(model.graphs):
        readers: dict[int, list[int]] = {}
        for position, operator in enumerate(graph.operators):
            for index in operator.inputs:
                readers.setdefault(index, []).append(position)
        for index, tensor in enumerate(graph.tensors):
            start, nbytes = tensor.data
            if not nbytes or tensor.sparse or tensor.dtype not in _DTYPES:
                continue
            dtype = _DTYPES[tensor.dtype]
            uses = readers.get(index, [])
            order = _order(graph.operators, uses, index, tensor.shape)
            large = nbytes // dtype.itemsize >= SMALLEST and len(tensor.shape) > 1
            if not large and tensor.dtype not in _FLOATS:
                continue
            rows = tensor.shape[order[0]] if order else 1
            scale = scales.of(number, index, rows) if dtype.kind == "i" else ()
            known = found.get(start)
            operator_at = uses[0] if len(uses) == 1 and number == 0 and known is None else -1
            found[start] = StoredTensor(
                start, nbytes, tensor.shape, dtype, order, large, operator_at, tensor.name, scale
            )
    ordered = [found[start] for start in sorted(found)]
    for one, following in itertools.pairwise(ordered):
        if one.start + one.nbytes > following.start:
            raise ModelFileError(f"{shown} is damaged (two tensors share bytes): export or copy it again.")
    return ordered


class _Scales:
    """Quantisation scales of a file's tensors."""

    def __init__(self, model: RawModel) -> None:
        self._tables = [graph.tables(0) for graph in model.buffer.root().tables(2)]

    def of(self, graph: int, index: int, channels: int) -> tuple[float, ...]:
        """Of one tensor; none where they are neither one nor one for each channel, or no positive numbers."""
        quantization = self._tables[graph][index].table(4)
        found = quantization.numbers(2, "f") if quantization is not None else ()
        usable = len(found) in (1, channels) and all(0 < one < float("inf") for one in found)
        return found if usable else ()


def _order(
    operators: Sequence[RawOperator], uses: Sequence[int], index: int, shape: tuple[int, ...]
) -> tuple[int, ...]:
    for position in uses:
        operator = operators[position]
        slot = _WEIGHTS_SLOT.get(operator.op)
        if slot is not None and len(operator.inputs) > slot and operator.inputs[slot] == index:
            order = _ORDERS.get(operator.op, tuple(range(len(shape))))
            if len(order) == len(shape):
                return order
    return tuple(range(len(shape)))


def without_values(content: bytes, tensors: Sequence[StoredTensor]) -> bytearray:
    """The file with zeros in place of those tensors' values."""
    empty = bytearray(content)
    for tensor in tensors:
        empty[tensor.start : tensor.start + tensor.nbytes] = bytes(tensor.nbytes)
    return empty
