"""Probes as `.tflite` files, written directly as flatbuffers: in a millisecond, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from profiler.errors import UsageError
from profiler.network import Layer, Network, Tensor
from profiler.operators import FORM, LATE, UNPACKED, operator
from profiler.tflite import ModelPlan, OperatorPlan, TensorPlan

# Scales are those of a well-behaved network. Time does not depend on them, but runtimes refuse extreme ratios.
_SCALE, _WEIGHT_SCALE = 0.05, 0.01
_SCALED = frozenset({"int8", "uint8", "int16"})
_STATE_SCALES = {"int8": 1 / 128, "int16": 1 / 4096}
_MIDDLE = 128
"""Zero point of weights of uint8."""


def lay_out(network: Network, seed: int = 0) -> ModelPlan:
    """Tensors and operators of a file that holds `network`, with random weights."""
    plan = ModelPlan(inputs=list(network.inputs), outputs=list(network.outputs))
    unpacked: list[int] = []
    inner: list[tuple[OperatorPlan, tuple[float | None, ...]]] = []
    for number, (layer, edge) in enumerate(zip(network.layers, network.edges, strict=True)):
        for slot, (index, tensor) in enumerate(zip(edge.inputs, layer.inputs, strict=True)):
            if index < len(plan.tensors):
                continue
            if tensor.constant:
                plan.tensors.append(_constant(layer, slot, tensor, seed, f"weight_{number}_{slot}"))
            else:
                plan.tensors.append(_input(layer, tensor, f"input_{network.inputs.index(index)}"))
        for slot, tensor in enumerate(layer.outputs):
            plan.tensors.append(_result(layer, tensor, plan, edge.inputs, f"output_{number}_{slot}"))
            if layer.params.get(FORM) == LATE:
                plan.tensors[-1].shape = ()
        plan.operators.append(OperatorPlan(layer, _slots(layer, edge.inputs), list(edge.outputs)))
        if UNPACKED in layer.params:
            unpacked.append(edge.inputs[1])
        if layer.dtype in _SCALED:
            made = operator(layer.op).file.intermediates
            inner.append((plan.operators[-1], made))
        if layer.op == "while":
            plan.called += _loop_graphs(layer)
    # Tensors that the network does not have come last, so that its own keep their places.
    for operator_plan, scales in inner:
        operator_plan.intermediates = [_add(plan, _intermediate(scale, i)) for i, scale in enumerate(scales)]
    plan.operators[:0] = [_unpacking(plan, weights) for weights in unpacked]
    return plan


def _intermediate(scale: float | None, number: int) -> TensorPlan:
    if scale is None:
        return TensorPlan(f"intermediate_{number}", (0,), "float32")
    return _activation(Tensor((0,), "int8"), f"intermediate_{number}", scale)


def _unpacking(plan: ModelPlan, weights: int) -> OperatorPlan:
    """What makes the stored floats at `weights` of integers of four bits, when the network is loaded."""
    made = plan.tensors[weights]
    packed = TensorPlan(
        f"{made.name}_packed", made.shape, "int4", _four_bits(made.shape), (_WEIGHT_SCALE,), (0,)
    )
    plan.tensors[weights] = TensorPlan(made.name, made.shape, made.dtype)
    layer = Layer("dequantize", (Tensor(made.shape, "int4", True),), (Tensor(made.shape),))
    return OperatorPlan(layer, [_add(plan, packed)], [weights])


def _four_bits(shape: tuple[int, ...]) -> np.ndarray:
    """Any integers of four bits, two to a byte."""
    return np.resize(weight_pool("int8", 0).view(np.uint8), -(-int(np.prod(shape)) // 2))


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


def _activation(tensor: Tensor, name: str, scale: float = _SCALE, zero_point: int = 0) -> TensorPlan:
    made = TensorPlan(name, tensor.shape, tensor.dtype)
    if tensor.dtype in _SCALED:
        made.scales, made.zero_points = (scale,), (zero_point,)
    return made


def _input(layer: Layer, tensor: Tensor, name: str) -> TensorPlan:
    quantization = operator(layer.op).quantization
    zero_point = -128 if quantization.positive else quantization.zero_point
    return _activation(tensor, name, zero_point=zero_point if tensor.dtype == "int8" else 0)


def _result(layer: Layer, tensor: Tensor, plan: ModelPlan, operands: Sequence[int], name: str) -> TensorPlan:
    quantization = operator(layer.op).quantization
    if quantization.keeps_scale:
        first = next((plan.tensors[i] for i in operands if plan.tensors[i].scales), None)
        if first:
            return _activation(tensor, name, first.scales[0], first.zero_points[0])
    return _activation(tensor, name, *quantization.fixed.get(tensor.dtype, ()))


def _slots(layer: Layer, operands: Sequence[int]) -> list[int]:
    """Operands at the places where TFLite wants them."""
    stored = operator(layer.op).file
    if not stored.operand_slots:
        return list(operands)
    slots = [-1] * stored.operand_count
    for slot, operand in zip(stored.operand_slots, operands, strict=False):
        slots[slot] = operand
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
    known = operator(layer.op)
    values = _known_values(layer, slot)
    if values is not None:
        values = np.asarray(values, tensor.dtype).reshape(tensor.shape)
        if tensor.dtype in ("int32", "int64"):
            return TensorPlan(name, tensor.shape, tensor.dtype, values)
    if slot in known.file.variables:
        state = _activation(tensor, name, _STATE_SCALES.get(tensor.dtype, _SCALE))
        state.variable = True
        return state
    if tensor.dtype == "int4":
        data = _four_bits(tensor.shape)
    else:
        data = _random(tensor.shape, tensor.dtype, seed) if values is None else values
    made = TensorPlan(name, tensor.shape, tensor.dtype, data)
    axis, scale, channels = known.quantization.channel_axis, _SCALE, 1
    bias = tensor.dtype in ("int32", "int64")
    if not (tensor.dtype in (*_SCALED, "int4") or (bias and axis is not None)):
        return made
    if layer.dtype == "uint8":  # one scale for all channels
        made.scales = (_SCALE * _WEIGHT_SCALE,) if bias else (_WEIGHT_SCALE if axis is not None else _SCALE,)
        made.zero_points = (0 if bias else _MIDDLE,)
        return made
    if axis is not None:
        made.axis = 0 if bias else axis
        scale = _SCALE * _WEIGHT_SCALE if bias else _WEIGHT_SCALE
        channels = tensor.shape[made.axis]
    made.scales, made.zero_points = (scale,) * channels, (0,) * channels
    return made


def _known_values(layer: Layer, slot: int) -> ArrayLike | None:
    """What stands in the stored operand `slot` of `layer`, where time or shapes depend on it; else None."""
    stored = operator(layer.op).file
    if slot in stored.computed:
        return stored.computed[slot](layer)
    for place, name, kind in stored.stored:
        if place == slot:
            value = layer.params.get(name)
            if value is None or (kind in ("ints", "axes") and not isinstance(value, tuple)):
                raise UsageError(f"A probe of {layer.op} needs {name!r} among its parameters.")
            return value
    return None
