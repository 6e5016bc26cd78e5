"""What a `.tflite` file stores, checked but not interpreted: subgraphs, tensors, operators and where constants lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from profiler.network import Tensor
from profiler.tflite.flatbuffer import Buffer, FlatbufferError, Table
from profiler.tflite.schema import OPERATORS, TENSOR_TYPES

_SCHEMA_VERSION = 3
_MOST_DIMENSIONS = 32
_MOST_CUSTOM = 4096
"""Bytes of a custom operator that are settings; more are a whole program."""
_LONGEST_NAME = 80
_MOST_CONSTANT_VALUES = 4096
_INTEGERS = {"int32": "i", "int64": "q", "uint32": "I", "int16": "h", "int8": "b", "uint8": "B"}
_NO_FIXED_SIZE = frozenset({"string", "resource", "variant"})


@dataclass(slots=True)
class RawTensor:
    """One tensor as the file has it; `variable` says that the runtime keeps it from one run to the next.

    `signature` is `shape` with -1 where a dimension is open, empty where all are known. `ranked` is False where the file leaves
    open how many dimensions there are: `shape` is then empty, as a single number's is. `data` is the first byte and the
    length of the values in this file, (0, 0) where there are none; it follows from `shape` unless they are `sparse`.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    stored: bool
    data: tuple[int, int]
    variable: bool
    sparse: bool
    external: bool
    ranked: bool


@dataclass(slots=True)
class RawOperator:
    """One operator as the file has it; -1 in `inputs` is an absent operand, `custom` what a custom one is told beside."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_type: int
    options: Table | None
    options_2_type: int
    options_2: Table | None
    custom: bytes = b""


@dataclass(slots=True)
class RawGraph:
    """One subgraph: tensors, and operators in execution order that name them by position."""

    tensors: list[RawTensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[RawOperator]


@dataclass(slots=True)
class RawModel:
    """All subgraphs of a file; the first is the one that runs."""

    buffer: Buffer
    graphs: list[RawGraph]
    description: str

    def integers(self, tensor: RawTensor) -> tuple[int, ...] | None:
        """Values of a small constant of integers; None where it is anything else."""
        start, length = tensor.data
        code = _INTEGERS.get(tensor.dtype)
        if code is None or tensor.sparse or not length:
            return None
        count = length // struct.calcsize(f"<{code}")
        if count > _MOST_CONSTANT_VALUES:
            return None
        self.buffer.spend(count)
        return struct.unpack_from(f"<{count}{code}", self.buffer.data, start)


def read_model(buffer: Buffer) -> RawModel:
    """Read everything but the weights' values; what leads nowhere or contradicts itself is a FlatbufferError that says so."""
    root = buffer.root()
    version = root.integer(0, "I")
    if version != _SCHEMA_VERSION:
        raise FlatbufferError(f"its format has version {version}, where {_SCHEMA_VERSION} is known")
    codes = [_operator_name(table) for table in root.tables(1)]
    spans = [_span(buffer, table) for table in root.tables(4)]
    graphs = [_graph(table, codes, spans) for table in root.tables(2)]
    if not graphs:
        raise FlatbufferError("it holds no graph")
    return RawModel(buffer, graphs, root.string(3))


def _operator_name(table: Table) -> str:
    # Numbers above 126 did not fit into the first field, which is still written for old readers.
    code = max(table.integer(0, "b"), table.integer(3))
    if not 0 <= code < len(OPERATORS):
        return f"builtin_{code}"
    name = OPERATORS[code]
    if name != "custom":
        return name
    return f"custom:{plain(table.string(1)) or 'unnamed'}"


def plain(name: str) -> str:
    """A name that stands in sentences: on one line, and of long ones the beginning."""
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _span(buffer: Buffer, table: Table) -> tuple[int, int]:
    """Where one buffer's bytes lie. Large files keep them behind the flatbuffer, at an absolute offset."""
    offset, size = table.integer(1, "Q"), table.integer(2, "Q")
    if offset > 1 and size:
        if offset + size > buffer.size:
            raise FlatbufferError("weights lie past its end, so it was cut off")
        return offset, size
    return table.raw(0)


def _graph(table: Table, codes: list[str], spans: list[tuple[int, int]]) -> RawGraph:
    tensors = [_tensor(t, spans) for t in table.tables(0)]
    return RawGraph(
        tensors,
        _indices(table.numbers(1), len(tensors), "an input"),
        _indices(table.numbers(2), len(tensors), "an output"),
        [_operator(o, codes, len(tensors)) for o in table.tables(3)],
    )


def _indices(values: tuple[int, ...], count: int, what: str, lowest: int = 0) -> tuple[int, ...]:
    for value in values:
        if not lowest <= value < count:
            raise FlatbufferError(f"{what} refers to tensor {value} of {count}")
    return values


def _operator(table: Table, codes: list[str], tensors: int) -> RawOperator:
    code = table.integer(0, "I")
    if code >= len(codes):
        raise FlatbufferError(f"an operator has code {code} of {len(codes)}")
    op = codes[code]
    return RawOperator(
        op,
        _indices(table.numbers(1), tensors, f"an operand of {op}", lowest=-1),
        _indices(table.numbers(2), tensors, f"a result of {op}"),
        table.integer(3, "B"),
        table.table(4),
        table.integer(11, "B"),
        table.table(12),
        table.few_bytes(5, _MOST_CUSTOM) if op.startswith("custom:") else b"",
    )


def _tensor(table: Table, spans: list[tuple[int, int]]) -> RawTensor:
    name = table.string(3)
    shape, signature = table.numbers(0), table.numbers(7)
    code, place = table.integer(1, "b"), table.integer(2, "I")
    if not 0 <= code < len(TENSOR_TYPES):
        raise FlatbufferError(f"tensor {name!r} has the unknown type {code}")
    if place >= max(len(spans), 1):
        raise FlatbufferError(f"tensor {name!r} has buffer {place} of {len(spans)}")
    if len(shape) > _MOST_DIMENSIONS or (signature and len(signature) != len(shape)):
        raise FlatbufferError(f"tensor {name!r} has a shape that makes no sense")
    if min(shape, default=0) < -1 or min(signature, default=0) < -1:
        raise FlatbufferError(f"tensor {name!r} has a negative dimension")
    external, sparse = table.integer(10, "I") != 0, table.has(6)
    data = spans[place] if spans else (0, 0)
    dtype = TENSOR_TYPES[code]
    expected = Tensor(shape, dtype).nbytes
    if data[1] not in (0, expected) and not sparse and dtype not in _NO_FIXED_SIZE:
        # The runtime refuses it too.
        raise FlatbufferError(
            f"tensor {name!r} of shape {list(shape)} has {data[1]} bytes instead of {expected}"
        )
    stored, ranked = external or data[1] > 0, bool(shape) or table.boolean(8)
    return RawTensor(name, shape, signature, dtype, stored, data, table.boolean(5), sparse, external, ranked)
