"""Recurrent layers of old and of streaming networks: SVDF, simple ones, those of both directions."""

from __future__ import annotations

from profiler.network import Arithmetic, Layer, Param, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import weight_dtype
from profiler.operators.options import (
    FileFormat,
    OptionField,
    Quantization,
    activation,
    asymmetric,
    flag,
    numbers,
    quiet,
)
from profiler.operators.registry import FEW, Operator, Rng, drawn, register_operators


def svdf(features: int, units: int, memory: int, rank: int = 1, dtype: str = "float32") -> Layer:
    """A filter over ``[1, features]`` and one over the `memory` last results, of streaming networks."""
    integer = dtype == "int8"
    data, rows = ("int8" if integer else "float32"), units * rank
    operands = (
        Tensor((1, features), data),
        Tensor((rows, features), weight_dtype(dtype), True),
        Tensor((rows, memory), "int16" if integer else "float32", True),
        Tensor((units,), "int32" if integer else "float32", True),
        Tensor((1, memory * rows), "int16" if integer else "float32", True),
    )
    return Layer("svdf", operands, (Tensor((1, units), data),), {"rank": rank, "activation": "relu"})


def _draw_svdf(op: str, rng: Rng, dtype: str) -> Layer:
    features, units = sizes.scaled(rng, 4, 512), sizes.scaled(rng, 4, 512)
    return svdf(features, units, int(rng.choice([4, 8, 10, 16, 32])), int(rng.choice([1, 1, 2])), dtype)


def _stored(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(Tensor(shape, "float32", True) for shape in shapes)


def _cell(features: int, units: int) -> tuple[Tensor, ...]:
    """Weights and bias of a simple recurrent layer, and its state."""
    return _stored((units, features), (units, units), (units,), (1, units))


def _gates(features: int, units: int) -> tuple[Tensor, ...]:
    """Weights and biases of an LSTM without its states."""
    return _stored(*[(units, features)] * 4, *[(units, units)] * 4, *[(units,)] * 4)


def _sizes(rng: Rng) -> tuple[int, int, int]:
    """Steps, features and units."""
    return sizes.scaled(rng, 2, 32), sizes.scaled(rng, 4, 128), sizes.scaled(rng, 4, 128)


def _draw_rnn(op: str, rng: Rng, dtype: str) -> Layer:
    """One step, a sequence, or a sequence in both directions of a simple recurrent layer."""
    steps, features, units = _sizes(rng)
    params: dict[str, Param] = {"activation": "tanh"}
    if op == "rnn":
        return Layer(op, (Tensor((1, features)), *_cell(features, units)), (Tensor((1, units)),), params)
    params["time_major"] = False
    cells, out = _cell(features, units), (1, steps, units)
    if op == "bidirectional_sequence_rnn":
        cells, out = cells * 2, (1, steps, 2 * units)
        params["merge_outputs"] = True
    return Layer(op, (Tensor((1, steps, features)), *cells), (Tensor(out),), params)


def _draw_lstm(op: str, rng: Rng, dtype: str) -> Layer:
    """One step of an LSTM, or a sequence in both directions."""
    steps, features, units = _sizes(rng)
    gates, states = _gates(features, units), _stored((1, units), (1, units))
    if op == "lstm":
        operands = (Tensor((1, features)), *gates, *states)
        return Layer(op, operands, (Tensor((1, units)),), {"activation": "tanh"})
    operands = (Tensor((1, steps, features)), *gates, *gates, *states, *states)
    params: dict[str, Param] = {"activation": "tanh", "merge_outputs": True, "time_major": False}
    return Layer(op, operands, (Tensor((1, steps, 2 * units)),), params)


def _matrices(layer: Layer, states: tuple[int, ...]) -> int:
    """Weights of all matrices but the states."""
    stored = enumerate(layer.inputs)
    return sum(t.size for slot, t in stored if t.constant and len(t.shape) == 2 and slot not in states)


def _step_macs(states: tuple[int, ...]) -> Arithmetic:
    """Each step of each sequence meets all matrices."""

    def macs(layer: Layer) -> int:
        shape = layer.inputs[0].shape
        steps = shape[0] * (shape[1] if len(shape) == 3 else 1) if shape else 0
        return steps * _matrices(layer, states)

    return Arithmetic(macs)


_CLIPS = (quiet(1, "float", "cell_clip", 0.0), quiet(2, "float", "projection_clip", 0.0))
_GATES = (*range(9), *range(12, 16))

register_operators(
    Operator(
        "svdf",
        FileFormat(6, (*numbers(0, "rank"), activation(1), asymmetric(2)), variables=(4,)),
        Quantization(),
        drawn(_draw_svdf, float32=(12, 83), int8=(12, 52), dynamic_int8=(FEW, 6)),
        arithmetic=_step_macs((4,)),
        features="recurrent",
    ),
    Operator(
        "rnn",
        FileFormat(7, (activation(0), asymmetric(1)), variables=(4,)),
        draws=drawn(_draw_rnn, float32=(FEW, 84)),
        arithmetic=_step_macs((4,)),
        features="recurrent",
    ),
    Operator(
        "unidirectional_sequence_rnn",
        FileFormat(31, (flag(0, "time_major"), activation(1), asymmetric(2)), variables=(4,)),
        draws=drawn(_draw_rnn, float32=(FEW, 85)),
        arithmetic=_step_macs((4,)),
        features="recurrent",
    ),
    Operator(
        "bidirectional_sequence_rnn",
        FileFormat(
            70,
            (flag(0, "time_major"), activation(1), flag(2, "merge_outputs"), asymmetric(3)),
            operand_slots=tuple(range(9)),
            operand_count=12,
            variables=(4, 8),
        ),
        draws=drawn(_draw_rnn, float32=(FEW, 86)),
        arithmetic=_step_macs((4, 8)),
        features="recurrent",
    ),
    Operator(
        "lstm",
        FileFormat(
            14,
            (activation(0), *_CLIPS, OptionField(3, "byte", "kernel_type", 0, True), asymmetric(4)),
            operand_slots=(*_GATES, 18, 19),
            operand_count=20,
            variables=(13, 14),
        ),
        draws=drawn(_draw_lstm, float32=(FEW, 87)),
        arithmetic=_step_macs((13, 14)),
        features="recurrent",
    ),
    Operator(
        "bidirectional_sequence_lstm",
        FileFormat(
            69,
            (activation(0), *_CLIPS, flag(3, "merge_outputs"), flag(4, "time_major", True), asymmetric(5)),
            operand_slots=(*_GATES, *range(18, 26), *range(29, 33), *range(35, 39)),
            operand_count=48,
            variables=(25, 26, 27, 28),
        ),
        draws=drawn(_draw_lstm, float32=(FEW, 88)),
        arithmetic=_step_macs((25, 26, 27, 28)),
        features="recurrent",
    ),
)
