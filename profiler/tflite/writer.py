"""Writing `.tflite` files: plans of tensors and operators as flatbuffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from profiler.errors import UsageError
from profiler.network import Layer
from profiler.operators import operator
from profiler.tflite.schema import ACTIVATION_CODES, OPERATOR_CODES, TENSOR_TYPE_CODES

SCHEMA_VERSION = 3
_CUSTOM = OPERATOR_CODES["custom"]


@dataclass
class TensorPlan:
    """One tensor of a file to be written. `data` is None where the runtime computes it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: np.ndarray | None = None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    variable: bool = False


@dataclass
class OperatorPlan:
    """One operator of a file to be written; -1 in `inputs` is an absent operand."""

    layer: Layer
    inputs: list[int]
    outputs: list[int]
    intermediates: list[int] = field(default_factory=list)


@dataclass
class ModelPlan:
    """All that `encode` needs; tests put their own weights and scales in before it is written.

    `called` are the graphs that operators of the first one call, by their numbers from 1 on.
    """

    tensors: list[TensorPlan] = field(default_factory=list)
    operators: list[OperatorPlan] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    called: list[ModelPlan] = field(default_factory=list)


def encode(plan: ModelPlan) -> bytes:
    """Write `plan` as a `.tflite` file."""
    plans = [plan, *plan.called]
    all_tensors = [tensor for one in plans for tensor in one.tensors]
    stored = sum(t.data.nbytes for t in all_tensors if t.data is not None)
    b = flatbuffers.Builder(stored + 4096 + 512 * len(all_tensors))
    names = list(dict.fromkeys(o.layer.op for one in plans for o in one.operators))
    codes = [_operator_code(name) for name in names]
    buffers = [_buffer(b, None)]
    graphs = [_graph(b, one, names, buffers) for one in plans]
    code_offsets = []
    for name, code in zip(names, codes, strict=True):
        custom = b.CreateString(name.partition(":")[2]) if code == _CUSTOM else 0
        b.StartObject(4)
        b.PrependInt8Slot(0, min(code, 127), 0)
        b.PrependUOffsetTRelativeSlot(1, custom, 0)
        # Runtimes pick kernels by type and operands; the version only says how old a runtime may be.
        b.PrependInt32Slot(2, operator(name).file.version, 1)
        b.PrependInt32Slot(3, code, 0)
        code_offsets.append(b.EndObject())
    vectors = {1: _offsets(b, code_offsets), 2: _offsets(b, graphs), 4: _offsets(b, buffers)}
    vectors[3] = b.CreateString("edgetime probe")
    b.StartObject(8)
    b.PrependUint32Slot(0, SCHEMA_VERSION, 0)
    for slot, offset in vectors.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    return bytes(b.Output())


def _graph(b: flatbuffers.Builder, plan: ModelPlan, names: Sequence[str], buffers: list[int]) -> int:
    """One graph; what its tensors store is appended to `buffers`."""
    places = []
    for tensor in plan.tensors:
        places.append(0 if tensor.data is None else len(buffers))
        if tensor.data is not None:
            buffers.append(_buffer(b, tensor.data))
    tensors = [_tensor(b, tensor, place) for tensor, place in zip(plan.tensors, places, strict=True)]
    operators = [_operator(b, o, names.index(o.layer.op)) for o in plan.operators]
    parts = [_offsets(b, tensors), _int32s(b, plan.inputs), _int32s(b, plan.outputs), _offsets(b, operators)]
    title = b.CreateString("main")
    b.StartObject(5)
    for slot, offset in enumerate([*parts, title]):
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return b.EndObject()


def _operator_code(op: str) -> int:
    if op.startswith("custom:") and operator(op).file.custom_options:
        return _CUSTOM
    if op not in OPERATOR_CODES:
        raise UsageError(f"No probe can be written for operator {op!r}.")
    return OPERATOR_CODES[op]


def _buffer(b: flatbuffers.Builder, data: np.ndarray | None) -> int:
    offset = 0
    if data is not None:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        # TFLite wants 16-byte alignment, which `CreateNumpyVector` does not give.
        b.StartVector(1, raw.size, 16)
        b.head = b.head - raw.size
        b.Bytes[b.head : b.head + raw.size] = raw.tobytes()
        offset = b.EndVector()
    b.StartObject(3)
    if offset:
        b.PrependUOffsetTRelativeSlot(0, offset, 0)
    return b.EndObject()


def _tensor(b: flatbuffers.Builder, tensor: TensorPlan, buffer: int) -> int:
    shape, name = _int32s(b, tensor.shape), b.CreateString(tensor.name)
    quantization = 0
    if tensor.scales:
        scales = b.CreateNumpyVector(np.asarray(tensor.scales, np.float32))
        zero_points = b.CreateNumpyVector(np.asarray(tensor.zero_points, np.int64))
        b.StartObject(7)
        b.PrependUOffsetTRelativeSlot(2, scales, 0)
        b.PrependUOffsetTRelativeSlot(3, zero_points, 0)
        b.PrependInt32Slot(6, tensor.axis, 0)
        quantization = b.EndObject()
    b.StartObject(9)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    b.PrependInt8Slot(1, TENSOR_TYPE_CODES[tensor.dtype], 0)
    b.PrependUint32Slot(2, buffer, 0)
    b.PrependUOffsetTRelativeSlot(3, name, 0)
    b.PrependUOffsetTRelativeSlot(4, quantization, 0)
    b.PrependBoolSlot(5, tensor.variable, 0)
    b.PrependBoolSlot(8, True, 0)
    return b.EndObject()


def _operator(b: flatbuffers.Builder, planned: OperatorPlan, code: int) -> int:
    inputs, outputs = _int32s(b, planned.inputs), _int32s(b, planned.outputs)
    kind, options = _options(b, planned.layer)
    custom_options = operator(planned.layer.op).file.custom_options
    custom = b.CreateByteVector(custom_options(planned.layer)) if custom_options else 0
    intermediates = _int32s(b, planned.intermediates) if planned.intermediates else 0
    b.StartObject(9)
    b.PrependUint32Slot(0, code, 0)
    b.PrependUOffsetTRelativeSlot(1, inputs, 0)
    b.PrependUOffsetTRelativeSlot(2, outputs, 0)
    if kind:
        b.PrependUint8Slot(3, kind, 0)
        b.PrependUOffsetTRelativeSlot(4, options, 0)
    b.PrependUOffsetTRelativeSlot(5, custom, 0)
    b.PrependUOffsetTRelativeSlot(8, intermediates, 0)
    return b.EndObject()


def _options(b: flatbuffers.Builder, layer: Layer) -> tuple[int, int]:
    """The options table of `layer`: its number in TFLite's union, and where it starts."""
    known = operator(layer.op).file
    if not known.options or known.second_union:
        return 0, 0
    fields = known.fields
    params: dict[str, Any] = dict(layer.params)
    if layer.dtype == "dynamic_int8":
        params |= known.dynamic_params
    vectors = {f.slot: _int32s(b, params[f.name]) for f in fields if f.type == "ints" and f.name in params}
    b.StartObject(max((f.slot for f in fields), default=0) + 1)
    for f in fields:
        if f.name not in params and f.slot not in vectors:
            continue
        value = params[f.name]
        if f.type == "ints":
            b.PrependUOffsetTRelativeSlot(f.slot, vectors[f.slot], 0)
        elif f.type == "padding":
            b.PrependInt8Slot(f.slot, int(value == "valid"), 0)
        elif f.type == "activation":
            b.PrependInt8Slot(f.slot, ACTIVATION_CODES[str(value)], 0)
        elif f.type == "bool":
            b.PrependBoolSlot(f.slot, bool(value), bool(f.default))
        elif f.type == "float":
            b.PrependFloat32Slot(f.slot, float(value), 0.0)
        elif f.type == "byte":
            b.PrependInt8Slot(f.slot, int(value), int(f.default))
        else:
            b.PrependInt32Slot(f.slot, int(value), int(f.default))
    return known.options, b.EndObject()


def _int32s(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return b.CreateNumpyVector(np.asarray(values, np.int32).reshape(-1))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
