"""Probes as `.tflite` files, written directly as flatbuffers: in a millisecond, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from profiler.errors import UsageError
from profiler.network import Layer, Tensor
from profiler.operators import stored_values
from profiler.probes.probe import Probe
from profiler.tflite import (
    ModelPlan,
    OperatorPlan,
    TensorPlan,
    encode,
)

__all__ = ["ModelPlan", "TensorPlan", "build_probe", "encode", "lay_out", "weight_pool"]

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
                    zero = 0
                    if tensor.dtype == "int8":
                        zero = -128 if layer.op in _POSITIVE else _ZERO_POINT.get(layer.op, 0)
                    name = f"input_{-1 - source}"
                    inputs[source] = _add(plan, _activation(tensor, name, zero_point=zero))
                operands.append(inputs[source])
        made = [
            _add(plan, _result(layer, tensor, plan, operands, f"output_{number}_{slot}"))
            for slot, tensor in enumerate(layer.outputs)
        ]
        results.append(made[0])
        plan.operators.append(OperatorPlan(layer, _slots(layer, operands), made))
        if layer.op == "while":
            plan.called += _loop_graphs(layer)
    used = {i for operator in plan.operators for i in operator.inputs}
    plan.inputs = [inputs[source] for source in sorted(inputs, reverse=True)]
    plan.outputs = [i for operator in plan.operators for i in operator.outputs if i not in used]
    return plan


def _loop_graphs(layer: Layer) -> list[ModelPlan]:
    """Condition and body of a loop that counts its first operand up and hands the others through."""
    counter, stored, truth = Tensor((), "int32"), Tensor((), "int32", True), Tensor((), "bool")
    condition = _step(layer, Layer("less", (counter, stored), (truth,)), int(layer.params["rounds"]))  # type: ignore[arg-type]
    body = _step(layer, Layer("add", (counter, stored), (counter,), {"activation": "none"}), 1)
    body.outputs += body.inputs[1:]
    return [condition, body]


def _step(loop: Layer, layer: Layer, number: int) -> ModelPlan:
    """A graph that takes what `loop` carries and applies `layer` to the counter and `number`."""
    graph = ModelPlan()
    graph.inputs = [_add(graph, _activation(t, f"state_{i}")) for i, t in enumerate(loop.outputs)]
    stored = _add(graph, TensorPlan("number", (), "int32", np.asarray(number, np.int32)))
    result = _add(graph, _activation(layer.outputs[0], "result"))
    graph.operators = [OperatorPlan(layer, [graph.inputs[0], stored], [result])]
    graph.outputs = [result]
    return graph


def _add(plan: ModelPlan, tensor: TensorPlan) -> int:
    plan.tensors.append(tensor)
    return len(plan.tensors) - 1


_ZERO_POINT = {"batch_matmul": 3}
"""Where kernels differ by the zero point: XNNPACK multiplies int8 matrices only where it is 0, which in networks it is not."""


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
