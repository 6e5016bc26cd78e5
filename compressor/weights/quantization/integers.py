"""How the tensors of a quantised `.tflite` stand for numbers: scales, zero points, and the stored integers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.tflite import Buffer, read_model

LARGEST = {"int8": 127, "int4": 7}
"""The largest integer of weights, by type; the smallest is its negative."""


@dataclass(frozen=True)
class IntegerTensor:
    """One tensor of int8 or int4.

    Parameters
    ----------
    name, dtype
        As the file has them.
    scales, zero_points
        One for all values, or one for each position along `axis`.
    axis
        The axis of channels.
    values
        The integers, int8 in the tensor's shape, of what is stored; None for what is computed.
    """

    name: str
    dtype: str
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    axis: int
    values: npt.NDArray[np.int8] | None

    def along(self, per_channel: npt.NDArray, rank: int) -> npt.NDArray:
        """Numbers per channel shaped to multiply a tensor of `rank` dimensions."""
        shape = [1] * rank
        if per_channel.size > 1:
            shape[self.axis] = per_channel.size
        return per_channel.reshape(shape)


def integer_tensors(content: bytes) -> dict[str, IntegerTensor]:
    """The int8 and int4 tensors of a file's main graph that have scales, by name; those with a scale per block are left out."""
    model = read_model(Buffer(content))
    tables = model.buffer.root().tables(2)[0].tables(0)
    found = {}
    for raw, table in zip(model.graphs[0].tensors, tables, strict=True):
        quantization = table.table(4)
        if raw.dtype not in LARGEST or quantization is None:
            continue
        scales = np.asarray(quantization.numbers(2, "f"), np.float32)
        if not scales.size:
            continue
        zero_points = np.asarray(quantization.numbers(3, "q") or (0,) * scales.size, np.int64)
        values = _values(content, raw) if raw.stored else None
        axis = quantization.integer(6)
        found[raw.name] = IntegerTensor(raw.name, raw.dtype, scales, zero_points, axis, values)
    return found


def _values(content: bytes, tensor: Any) -> npt.NDArray[np.int8]:
    start, nbytes = tensor.data
    stored = np.frombuffer(content, np.int8, nbytes, start)
    if tensor.dtype == "int4":  # two in a byte, the first one in its lower half
        halves = np.stack([stored << 4 >> 4, stored >> 4], axis=-1).reshape(-1)
        stored = halves[: int(np.prod(tensor.shape))]
    return stored.reshape(tensor.shape)
