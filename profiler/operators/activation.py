"""Operators of one operand that work element by element: activations, functions, changes of type."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from profiler.axes import keep_axes
from profiler.network import Layer, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.options import FileFormat, Quantization, flag, fraction
from profiler.operators.registry import (
    Operator,
    ReferenceLayers,
    Rng,
    Sizes,
    drawn,
    operator,
    register_operators,
)


def unary(op: str, shape: Shape, dtype: str = "float32", out_dtype: str | None = None) -> Layer:
    """An elementwise operator of one operand, among them ``quantize``, ``dequantize`` and ``softmax``."""
    params = operator(op).file.usual_params
    return Layer(op, (Tensor(shape, dtype),), (Tensor(shape, out_dtype or dtype),), params)


def _draw_unary(op: str, rng: Rng, dtype: str) -> Layer:
    """One operand."""
    layer = unary(op, sizes.feature_map(rng), dtype)
    if op == "gelu" and rng.random() < 0.4:
        return replace(layer, params={"approximate": True})
    if op == "leaky_relu":
        return replace(layer, params={"alpha": float(rng.choice([0.125, 0.25]))})
    return layer


def _draw_cast(op: str, rng: Rng, dtype: str) -> Layer:
    """Numbers into another type: of indices, masks and floats."""
    if dtype == "int32":
        kinds = ("int32", "float32") if rng.random() < 0.7 else ("bool", "float32")
        return unary("cast", sizes.index_shape(rng), *kinds)
    return unary("cast", sizes.feature_map(rng), "float32", "int32")


def _draw_conversion(op: str, rng: Rng, dtype: str) -> Layer:
    """Floats into integers, integers of one scale (or type) into those of another, or integers into floats."""
    shape = _image(rng) if rng.random() < 0.25 else sizes.feature_map(rng)
    if op == "dequantize":
        return unary("dequantize", shape, dtype, "float32")
    if op == "quantize:converted":
        return unary("quantize", shape, dtype, "int8" if dtype == "uint8" else "uint8")
    return unary("quantize", shape, dtype if op == "quantize:rescaled" else "float32", dtype)


def _image(rng: Rng) -> Shape:
    """What a camera gives, or a part of it."""
    height = int(rng.choice([96, 128, 224, 256, 320, 360, 480, 640]))
    return 1, height, int(rng.choice([96, 160, 224, 320, 480, 640])), int(rng.choice([1, 3, 3]))


def _reference_unary(op: str, dtype: str, s: Sizes) -> Layer:
    if op == "quantize":
        return unary(op, sizes.map_shape(s), "float32", "int8")
    if op == "dequantize":
        return unary(op, sizes.map_shape(s), "int8", "float32")
    return unary(op, sizes.map_shape(s), dtype)


_REFERENCE = ReferenceLayers(_reference_unary, sizes.REFERENCE_MAPS, sizes.ON_MAPS)

_PLAIN = Quantization()


_NO_OPTIONS = FileFormat()
_PLAIN = Quantization()
_plain = partial(Operator, widths=keep_axes)


def _unary(
    name: str,
    events: dict[str, float],
    file: FileFormat = _NO_OPTIONS,
    quantization: Quantization = _PLAIN,
    reference: ReferenceLayers | None = _REFERENCE,
    **counts: tuple[int, int],
) -> Operator:
    """An operator that keeps its operand's shape, with (count, stream) of its probes by arithmetic."""
    draws = drawn(_draw_unary, **counts)
    return _plain(name, file, quantization, draws, features="unary", events=events, reference=reference)


_POSITIVE = Quantization(positive=True)

register_operators(
    _unary("relu", {"Clamp": 0.0}, uint8=(8, 12), float32=(45, 19), int8=(26, 15), int16=(30, 16)),
    _unary("relu6", {"Clamp": 0.1}, uint8=(8, 13), float32=(45, 20), int8=(26, 16), int16=(30, 17)),
    _unary(
        "leaky_relu",
        {"LeakyReLU": 0.0},
        FileFormat(75, (fraction(0, "alpha"),), usual_params={"alpha": 0.25}),
        float32=(24, 29),
        int8=(26, 19),
        int16=(30, 20),
    ),
    _unary("hard_swish", {"HardSwish": 0.0}, FileFormat(91), float32=(45, 22), int8=(26, 20)),
    _unary(
        "logistic",
        {"Sigmoid": 0.0},
        quantization=Quantization(
            fixed={"int8": (1 / 256, -128), "int16": (1 / 32768, 0), "uint8": (1 / 256, 0)}
        ),
        uint8=(8, 10),
        float32=(45, 21),
        int8=(26, 17),
        int16=(30, 18),
    ),
    _unary(
        "tanh",
        {"TanH": 0.0},
        quantization=Quantization(
            fixed={"int8": (1 / 128, 0), "int16": (1 / 32768, 0), "uint8": (1 / 128, 128)}
        ),
        uint8=(8, 11),
        float32=(45, 23),
        int8=(26, 18),
        int16=(30, 19),
    ),
    _unary("elu", {"ELU": 0.0}, int8=(10, 59), float32=(24, 24)),
    _unary(
        "gelu",
        {"GELU": 0.0, "ApproxGELU": 0.0},
        FileFormat(116, (flag(0, "approximate"),), usual_params={"approximate": False}),
        float32=(24, 25),
        int8=(20, 34),
    ),
    _unary("exp", {"Exp": 0.0}, FileFormat(33), float32=(24, 26), int8=(14, 37), int16=(20, 29)),
    _unary("log", {"Log": 0.0}, quantization=_POSITIVE, float32=(16, 33), int8=(14, 38), int16=(20, 30)),
    _unary("sqrt", {"Square Root": 0.0}, quantization=_POSITIVE, float32=(24, 32), int8=(14, 36)),
    _unary("rsqrt", {"Reciprocal Square Root": 0.0}, quantization=_POSITIVE, float32=(24, 27), int8=(14, 35)),
    _unary("square", {"Square": 0.0}, FileFormat(66), float32=(24, 28)),
    _unary("abs", {"Abs": 0.0}, FileFormat(78), float32=(24, 31), int8=(14, 39), int16=(20, 31)),
    _unary("neg", {"Negate": 0.0}, FileFormat(42), int8=(10, 67), float32=(24, 30)),
    _unary("sin", {"Sine": 0.0}, reference=None, float32=(16, 34)),
    _unary("cos", {"Cosine": 0.0}, reference=None, float32=(16, 35)),
    _unary("floor", {"Floor": 0.0}, reference=None, float32=(16, 36)),
    _unary("ceil", {"Ceiling": 0.0}, reference=None),
    _unary("round", {"Bankers Rounding": 0.0}, reference=None),
    _unary("relu_n1_to_1", {"Clamp": 0.2}, reference=None, float32=(16, 37), int8=(14, 40)),
    _unary("relu_0_to_1", {"Clamp": 0.3}, reference=None),
    _plain(
        "quantize",
        FileFormat(89),
        draws=drawn(_draw_conversion, uint8=(10, 22), int8=(60, 13), int16=(40, 14)),
        features="unary",
        # A table over 256 values is made of several operators in a row.
        events={"Convert": 0.0, "Invalid Unary Op": 0.0},
        reference=_REFERENCE,
    ),
    # Between integers, of one type or of different ones: other loops than from floats.
    Operator(
        "quantize:rescaled",
        draws=drawn(_draw_conversion, int8=(30, 71), int16=(12, 40), uint8=(8, 26)),
        features="unary",
    ),
    Operator(
        "quantize:converted", draws=drawn(_draw_conversion, uint8=(12, 0), int8=(8, 54)), features="unary"
    ),
    _plain(
        "dequantize",
        FileFormat(38, made_on_loading=True),
        draws=drawn(_draw_conversion, uint8=(10, 21), int8=(50, 14), int16=(30, 15)),
        features="unary",
        events={"Convert": 0.1},
        reference=_REFERENCE,
    ),
    _plain(
        "cast",
        FileFormat(37),
        draws=drawn(_draw_cast, float32=(16, 46), int32=(30, 3)),
        features="unary",
        events={"Convert": 0.2},
    ),
    _plain("sign", events={"Sign": 0.0}),
    _plain("logical_not", FileFormat(63)),
    Operator("densify", FileFormat(made_on_loading=True)),
)
