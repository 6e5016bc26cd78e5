"""Recurrent layers, and the loops and branches that networks are cut into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.axes import LayerStep
from profiler.network import Arithmetic, Layer, Param, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import data_dtype, weight_dtype
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
from profiler.operators.registry import Operator, ReferenceLayers, Rng, drawn, register_operators


def lstm(steps: int, features: int, units: int, batch: int = 1, dtype: str = "float32") -> Layer:
    """``unidirectional_sequence_lstm`` without peepholes or projection, over ``[batch, steps, features]``."""
    stored, whole = weight_dtype(dtype), dtype == "int8"
    gates = tuple(Tensor((units, features), stored, True) for _ in range(4))
    gates += tuple(Tensor((units, units), stored, True) for _ in range(4))
    gates += tuple(Tensor((units,), "int32" if whole else "float32", True) for _ in range(4))
    # The two states come last; they are variables of the runtime, neither stored nor computed by another layer.
    kinds = ("int8", "int16") if whole else ("float32", "float32")
    states = tuple(Tensor((batch, units), kind, True) for kind in kinds)
    return Layer(
        "unidirectional_sequence_lstm",
        (Tensor((batch, steps, features), data_dtype(dtype)), *gates, *states),
        (Tensor((batch, steps, units), data_dtype(dtype)),),
        {"activation": "tanh", "time_major": False},
    )


def loop(rounds: int, state: Sequence[Shape], dtype: str = "float32") -> Layer:
    """A ``while`` of `rounds` that carries a counter and tensors of the shapes in `state`, which its body hands through."""
    carried = tuple(Tensor(shape, dtype) for shape in state)
    counter = Tensor((), "int32")
    params: dict[str, Param] = {"condition_subgraph": 1, "body_subgraph": 2, "rounds": rounds}
    return Layer("while", (Tensor((), "int32", True), *carried), (counter, *carried), params)


def _draw_lstm(op: str, rng: Rng, dtype: str) -> Layer:
    """A fused LSTM over a sequence."""
    steps, features, units = (int(np.exp(rng.uniform(np.log(2), np.log(m)))) for m in (64, 160, 160))
    return lstm(steps, features, units, dtype=dtype)


def _draw_loop(op: str, rng: Rng, dtype: str) -> Layer:
    """The turning of a recurrent layer: its sequence, its results, one or two states."""
    steps, features, units = sizes.scaled(rng, 2, 128), sizes.scaled(rng, 2, 256), sizes.scaled(rng, 4, 256)
    results = (steps, 1, units) if rng.random() < 0.5 else (1, 1, units)
    states = [(1, units)] * int(rng.integers(1, 5))
    return loop(steps, [results, *states, (steps, 1, features)])


def _lstm_axes(step: LayerStep) -> None:
    """A whole LSTM without peepholes and the like: 4 matrices each for input and state, 4 biases, 2
    states."""
    extras = ("coupled_gates", "peephole", "projection", "layer_norm", "diagonal_recurrent_tensors")
    if step.inputs != 15 or any(step.layer.params.get(name) for name in extras):
        return step.freeze_all()
    sizes = step.read(0)
    units = step.choose(step.out_shape()[-1])
    places = [step.freeze(s) for s in sizes[:-1]]
    for slot in range(1, 5):
        step.give(slot, [units, sizes[-1]])
    for slot in range(5, 9):
        step.give(slot, [units, units])
    for slot in range(9, 13):
        step.give(slot, [units])
    for slot in range(13, 15):
        step.give(slot, [*step.shape(slot)[:-1], units])
    step.write([*places, units])
    return None


def _lstm_parts(params: dict[str, Param], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> None:
    """Which optional parts an LSTM has; the absent operands themselves are not among a layer's inputs."""
    present = {slot for slot, shape in enumerate(inputs) if shape is not None}
    if 1 not in present:
        params["coupled_gates"] = True
    if present & {9, 10, 11}:
        params["peephole"] = True
    if 16 in present:
        params["projection"] = True
    if present & {20, 21, 22, 23}:
        params["layer_norm"] = True


def _lstm_macs(layer: Layer) -> int:
    """Each step of each sequence meets all matrices."""
    shape = layer.inputs[0].shape
    if len(shape) != 3:
        return 0
    return shape[0] * shape[1] * sum(t.size for t in layer.weights if len(t.shape) == 2)


_CLIPS = (quiet(1, "float", "cell_clip", 0.0), quiet(2, "float", "projection_clip", 0.0))

_LOOP = numbers(0, "condition_subgraph", "body_subgraph")
_LOOP_GRAPHS = ("condition_subgraph", "body_subgraph")

register_operators(
    Operator(
        "unidirectional_sequence_lstm",
        FileFormat(
            71,
            (
                activation(0),
                *_CLIPS,
                flag(3, "time_major"),
                asymmetric(4),
                quiet(5, "bool", "diagonal_recurrent_tensors", False),
            ),
            complete=_lstm_parts,
            operand_slots=(*range(9), *range(12, 16), 18, 19),
            operand_count=24,
            variables=(13, 14),
            intermediates=(None, None, None, None, 1 / 128),
        ),
        Quantization(fixed={"int8": (1 / 128, 0)}),
        draws=drawn(_draw_lstm, float32=(40, 18), dynamic_int8=(25, 5), int8=(16, 58)),
        widths=_lstm_axes,
        arithmetic=Arithmetic(_lstm_macs),
        features="recurrent",
        reference=ReferenceLayers(
            lambda op, dtype, s: lstm(s["steps"], s["features"], s["units"]),
            [
                {"steps": steps, "features": features, "units": units}
                for steps, features, units in ((16, 32, 64), (30, 16, 32), (16, 64, 128))
            ],
            {
                "units": sizes.REFERENCE_WIDTHS[5:29],
                "features": (4, 8, 16, 32, 64, 128),
                "steps": (2, 4, 8, 16, 32, 48, 64),
            },
        ),
    ),
    Operator(
        "while",
        FileFormat(93, _LOOP, subgraphs=_LOOP_GRAPHS),
        draws=drawn(_draw_loop, int32=(40, 11)),
        arithmetic=Arithmetic(of_result=True),
        features="loop",
    ),
    Operator("stablehlo_while", FileFormat(15, _LOOP, second_union=True, subgraphs=_LOOP_GRAPHS)),
    Operator(
        "stablehlo_composite",
        FileFormat(
            21,
            (OptionField(0, "text", "composite"), *numbers(1, "subgraph")),
            second_union=True,
            subgraphs=("subgraph",),
        ),
    ),
    Operator(
        "if",
        FileFormat(
            92,
            numbers(0, "then_subgraph", "else_subgraph"),
            subgraphs=("then_subgraph", "else_subgraph"),
        ),
    ),
    Operator("call", FileFormat(16, (OptionField(0, "uint", "subgraph"),), subgraphs=("subgraph",))),
    Operator("call_once", FileFormat(103, numbers(0, "subgraph"), subgraphs=("subgraph",))),
)
