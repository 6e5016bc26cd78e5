"""Probes as `.tflite` files, written directly as flatbuffers: in a millisecond, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import flatbuffers
import numpy as np

from profiler.errors import UsageError
from profiler.layer import Layer, Tensor
from profiler.moves import stored_values
from profiler.probe import Probe
from profiler.tflite_schema import ACTIVATION_CODES, OPERATOR_CODES, OPTION_TYPES, TENSOR_TYPE_CODES

SCHEMA_VERSION = 3
_LSTM_INPUT_SLOTS = 24

# Scales are those of a well-behaved network. Time does not depend on them, but runtimes refuse extreme ratios.
_SCALE, _WEIGHT_SCALE = 0.05, 0.01
_FIXED_OUTPUT = {
    "int8": {
        "softmax": (1 / 256, -128), "log_softmax": (16 / 256, 127), "logistic": (1 / 256, -128), "tanh": (1 / 128, 0),
        "l2_normalization": (1 / 128, 0),
    },
    "int16": {"softmax": (1 / 32768, 0), "logistic": (1 / 32768, 0), "tanh": (1 / 32768, 0)},
}  # fmt: skip
_POSITIVE = frozenset({"rsqrt", "sqrt", "log"})
"""Operators that integer kernels refuse below 0."""
_KEEPS_SCALE = frozenset(
    {
        "average_pool_2d", "max_pool_2d", "reshape", "pad", "mirror_pad", "concatenation", "transpose", "resize_bilinear",
        "resize_nearest_neighbor", "split", "unpack", "pack", "strided_slice", "slice", "gather", "tile", "broadcast_to",
        "space_to_batch_nd", "batch_to_space_nd", "space_to_depth", "depth_to_space", "reverse_v2", "reduce_max", "reduce_min",
        "maximum", "minimum", "select_v2", "topk_v2", "cumsum",
    }
)  # fmt: skip


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


@dataclass
class ModelPlan:
    """All that `encode` needs; tests put their own weights and scales in before it is written."""

    tensors: list[TensorPlan] = field(default_factory=list)
    operators: list[OperatorPlan] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)


def build_probe(probe: Probe, seed: int = 0) -> bytes:
    """The bytes of a `.tflite` file that runs `probe` on random weights drawn from `seed`.

    Raises
    ------
    UsageError
        An operator that edgetime cannot write.
    """
    return encode(lay_out(probe, seed))


def lay_out(probe: Probe, seed: int = 0) -> ModelPlan:
    """Tensors and operators of `probe`, with random weights."""
    plan = ModelPlan()
    results: list[int] = []
    inputs: dict[int, int] = {}
    for number, (layer, sources) in enumerate(zip(probe.layers, probe.sources, strict=True)):
        operands: list[int] = []
        remaining = iter(sources)
        for slot, tensor in enumerate(layer.inputs):
            if tensor.constant:
                operands.append(_add(plan, _constant(layer, slot, tensor, seed, f"weight_{number}_{slot}")))
                continue
            source = next(remaining)
            if source >= 0:
                operands.append(results[source])
            else:
                if source not in inputs:
                    lowest = -128 if layer.op in _POSITIVE and tensor.dtype == "int8" else 0
                    name = f"input_{-1 - source}"
                    inputs[source] = _add(plan, _activation(tensor, name, zero_point=lowest))
                operands.append(inputs[source])
        made = [
            _add(plan, _result(layer, tensor, plan, operands, f"output_{number}_{slot}"))
            for slot, tensor in enumerate(layer.outputs)
        ]
        results.append(made[0])
        plan.operators.append(OperatorPlan(layer, _slots(layer, operands), made))
    used = {i for operator in plan.operators for i in operator.inputs}
    plan.inputs = [inputs[source] for source in sorted(inputs, reverse=True)]
    plan.outputs = [i for operator in plan.operators for i in operator.outputs if i not in used]
    return plan


def _add(plan: ModelPlan, tensor: TensorPlan) -> int:
    plan.tensors.append(tensor)
    return len(plan.tensors) - 1


def _activation(tensor: Tensor, name: str, scale: float = _SCALE, zero_point: int = 0) -> TensorPlan:
    quantized = tensor.dtype in ("int8", "uint8", "int16")
    return TensorPlan(
        name,
        tensor.shape,
        tensor.dtype,
        None,
        (scale,) if quantized else (),
        (zero_point,) if quantized else (),
    )


def _result(layer: Layer, tensor: Tensor, plan: ModelPlan, operands: list[int], name: str) -> TensorPlan:
    if layer.op in _KEEPS_SCALE:
        first = next((plan.tensors[i] for i in operands if plan.tensors[i].scales), None)
        if first:
            return _activation(tensor, name, first.scales[0], first.zero_points[0])
    fixed = _FIXED_OUTPUT.get(tensor.dtype, {}).get(layer.op)
    if fixed:
        return _activation(tensor, name, *fixed)
    return _activation(tensor, name)


def _slots(layer: Layer, operands: list[int]) -> list[int]:
    """Operands at the places where TFLite wants them."""
    if layer.op != "unidirectional_sequence_lstm":
        return operands
    slots = [-1] * _LSTM_INPUT_SLOTS
    slots[0:9] = operands[0:9]
    slots[12:16] = operands[9:13]
    slots[18:20] = operands[13:15]
    return slots


@lru_cache(maxsize=4)
def weight_pool(kind: str, seed: int) -> np.ndarray:
    """Random numbers to cut weights from: drawing them anew for each probe would cost more than all the rest."""
    rng = np.random.default_rng(seed)
    if kind == "int8":
        return rng.integers(-127, 128, 1 << 22, dtype=np.int8)
    return (rng.standard_normal(1 << 22, dtype=np.float32) * np.float32(0.05)).astype(np.float32)


def _random(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64))
    if dtype in ("int32", "int64"):
        return np.zeros(shape, dtype)
    pool = weight_pool("int8" if dtype in ("int8", "uint8", "int16") else "float", seed)
    numbers = pool[:size] if size <= pool.size else np.resize(pool, size)
    return numbers.reshape(shape).astype(dtype, copy=False)


def _constant(layer: Layer, slot: int, tensor: Tensor, seed: int, name: str) -> TensorPlan:
    values = stored_values(layer, slot)
    if values is not None and tensor.dtype in ("int32", "int64"):
        return TensorPlan(name, tensor.shape, tensor.dtype, values)
    known = _KNOWN_CONSTANTS.get((layer.op, slot))
    if known is not None:
        return TensorPlan(
            name, tensor.shape, tensor.dtype, np.asarray(known(layer), tensor.dtype).reshape(tensor.shape)
        )
    if layer.op == "unidirectional_sequence_lstm" and slot >= 13:
        return TensorPlan(name, tensor.shape, tensor.dtype, variable=True)
    data = _random(tensor.shape, tensor.dtype, seed) if values is None else values
    made = TensorPlan(name, tensor.shape, tensor.dtype, data)
    weighted = layer.op in ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv")
    integers = ("int8", "int16", "int32", "int64") if weighted else ("int8", "int16")
    if tensor.dtype in integers:
        axis = {"depthwise_conv_2d": 3}.get(layer.op, 0)
        bias = tensor.dtype not in ("int8", "int16")
        channels = (tensor.shape[0] if bias else tensor.shape[axis]) if weighted else 1
        scale = _SCALE * _WEIGHT_SCALE if bias else _WEIGHT_SCALE if weighted else _SCALE
        made.scales, made.zero_points = (scale,) * channels, (0,) * channels
        made.axis = 0 if bias or not weighted else axis
    return made


_KNOWN_CONSTANTS: dict[tuple[str, int], Callable[[Layer], Sequence[int]]] = {
    ("pad", 1): lambda layer: _ints(layer, "paddings"),
    ("mean", 1): lambda layer: _ints(layer, "axes"),
    ("sum", 1): lambda layer: _ints(layer, "axes"),
    ("reduce_max", 1): lambda layer: _ints(layer, "axes"),
    ("reshape", 1): lambda layer: _ints(layer, "new_shape"),
    ("transpose", 1): lambda layer: _ints(layer, "perm"),
    ("resize_bilinear", 1): lambda layer: layer.outputs[0].shape[1:3],
    ("resize_nearest_neighbor", 1): lambda layer: layer.outputs[0].shape[1:3],
    ("transpose_conv", 0): lambda layer: layer.outputs[0].shape,
}


def _ints(layer: Layer, name: str) -> tuple[int, ...]:
    value = layer.params.get(name)
    if not isinstance(value, tuple):
        raise UsageError(f"A probe of {layer.op} needs {name!r} among its parameters.")
    return value


def encode(plan: ModelPlan) -> bytes:
    """Write `plan` as a `.tflite` file."""
    stored = sum(t.data.nbytes for t in plan.tensors if t.data is not None)
    b = flatbuffers.Builder(stored + 4096 + 512 * len(plan.tensors))
    names = list(dict.fromkeys(o.layer.op for o in plan.operators))
    codes = [_operator_code(name) for name in names]
    buffers = [_buffer(b, None)]
    places = []
    for tensor in plan.tensors:
        places.append(0 if tensor.data is None else len(buffers))
        if tensor.data is not None:
            buffers.append(_buffer(b, tensor.data))
    tensors = [_tensor(b, tensor, place) for tensor, place in zip(plan.tensors, places, strict=True)]
    operators = [_operator(b, o, codes.index(_operator_code(o.layer.op))) for o in plan.operators]
    parts = [_offsets(b, tensors), _int32s(b, plan.inputs), _int32s(b, plan.outputs), _offsets(b, operators)]
    title = b.CreateString("main")
    b.StartObject(5)
    for slot, offset in enumerate([*parts, title]):
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    graph = b.EndObject()
    code_offsets = []
    for name, code in zip(names, codes, strict=True):
        b.StartObject(4)
        b.PrependInt8Slot(0, min(code, 127), 0)
        b.PrependInt32Slot(2, _OPERATOR_VERSION.get(name, 1), 1)
        b.PrependInt32Slot(3, code, 0)
        code_offsets.append(b.EndObject())
    vectors = {1: _offsets(b, code_offsets), 2: _offsets(b, [graph]), 4: _offsets(b, buffers)}
    vectors[3] = b.CreateString("edgetime probe")
    b.StartObject(8)
    b.PrependUint32Slot(0, SCHEMA_VERSION, 0)
    for slot, offset in vectors.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    return bytes(b.Output())


# Runtimes pick kernels by the operator's type and operands; the version only says how old a runtime may be.
_OPERATOR_VERSION = {"broadcast_to": 2}


def _operator_code(op: str) -> int:
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


def _operator(b: flatbuffers.Builder, operator: OperatorPlan, code: int) -> int:
    inputs, outputs = _int32s(b, operator.inputs), _int32s(b, operator.outputs)
    kind, options = _options(b, operator.layer)
    b.StartObject(9)
    b.PrependUint32Slot(0, code, 0)
    b.PrependUOffsetTRelativeSlot(1, inputs, 0)
    b.PrependUOffsetTRelativeSlot(2, outputs, 0)
    if kind:
        b.PrependUint8Slot(3, kind, 0)
        b.PrependUOffsetTRelativeSlot(4, options, 0)
    return b.EndObject()


def _options(b: flatbuffers.Builder, layer: Layer) -> tuple[int, int]:
    """The options table of `layer`: its number in TFLite's union, and where it starts."""
    if layer.op not in OPTION_TYPES:
        return 0, 0
    kind, fields = OPTION_TYPES[layer.op]
    params: dict[str, Any] = dict(layer.params)
    if layer.op == "fully_connected" and layer.dtype == "dynamic_int8":
        params["asymmetric_quantize_inputs"] = True
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
            b.PrependBoolSlot(f.slot, bool(value), False)
        elif f.type == "float":
            b.PrependFloat32Slot(f.slot, float(value), 0.0)
        elif f.type == "byte":
            b.PrependInt8Slot(f.slot, int(value), int(f.default))
        else:
            b.PrependInt32Slot(f.slot, int(value), int(f.default))
    return kind, b.EndObject()


def _int32s(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return b.CreateNumpyVector(np.asarray(values, np.int32).reshape(-1))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
