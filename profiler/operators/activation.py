"""Operators of one operand that work element by element: activations, functions, changes of type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from profiler.axes import keep_axes
from profiler.network import Layer, Tensor
from profiler.operators import sizes
from profiler.operators.registry import (
    FileFormat,
    Operator,
    Quantization,
    ReferenceLayers,
    Rng,
    Shape,
    Sizes,
    drawn,
    flag,
    fraction,
    number,
    operator,
    quiet,
    register_operator,
    register_operators,
)
from profiler.operators.sizes import ON_MAPS, REFERENCE_MAPS, map_shape


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


def _draw_quantize(op: str, rng: Rng, dtype: str) -> Layer:
    """Floats into integers, or integers of one scale into those of another."""
    source = dtype if rng.random() < 0.4 else "float32"
    return unary("quantize", sizes.feature_map(rng), source, dtype)


def _draw_dequantize(op: str, rng: Rng, dtype: str) -> Layer:
    """Integers into floats."""
    return unary("dequantize", sizes.feature_map(rng), dtype, "float32")


def _reference_unary(op: str, dtype: str, s: Sizes) -> Layer:
    if op == "quantize":
        return unary(op, map_shape(s), "float32", "int8")
    if op == "dequantize":
        return unary(op, map_shape(s), "int8", "float32")
    return unary(op, map_shape(s), dtype)


_REFERENCE = ReferenceLayers(_reference_unary, REFERENCE_MAPS, ON_MAPS)

_PLAIN = Quantization()


def _register(
    name: str,
    event: str = "",
    options: int = 0,
    *,
    file: FileFormat | None = None,
    quantization: Quantization = _PLAIN,
    events: Mapping[str, float] | None = None,
    reference: bool = True,
    **counts: tuple[int, int],
) -> None:
    """Register an operator that keeps its operand's shape, with (count, stream) of its probes by arithmetic."""
    register_operator(
        Operator(
            name,
            file or FileFormat(options),
            quantization,
            drawn(_draw_unary, **counts),
            widths=keep_axes,
            features="unary",
            events=events or ({event: 0.0} if event else {}),
            reference=_REFERENCE if reference else None,
        )
    )


_POSITIVE = Quantization(positive=True)

_register("relu", "Clamp", float32=(45, 19), int8=(26, 15), int16=(30, 16))
_register("relu6", events={"Clamp": 0.1}, float32=(45, 20), int8=(26, 16), int16=(30, 17))
_register(
    "leaky_relu",
    "LeakyReLU",
    file=FileFormat(75, (fraction(0, "alpha"),), usual_params={"alpha": 0.25}),
    float32=(24, 29),
    int8=(26, 19),
    int16=(30, 20),
)
_register("hard_swish", "HardSwish", 91, float32=(45, 22), int8=(26, 20))
_register(
    "logistic",
    "Sigmoid",
    quantization=Quantization(fixed={"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}),
    float32=(45, 21),
    int8=(26, 17),
    int16=(30, 18),
)
_register(
    "tanh",
    "TanH",
    quantization=Quantization(fixed={"int8": (1 / 128, 0), "int16": (1 / 32768, 0)}),
    float32=(45, 23),
    int8=(26, 18),
    int16=(30, 19),
)
_register("elu", "ELU", float32=(24, 24))
_register(
    "gelu",
    file=FileFormat(116, (flag(0, "approximate"),), usual_params={"approximate": False}),
    events={"GELU": 0.0, "ApproxGELU": 0.0},
    float32=(24, 25),
    int8=(20, 34),
)
_register("exp", "Exp", 33, float32=(24, 26), int8=(14, 37), int16=(20, 29))
_register("log", "Log", quantization=_POSITIVE, float32=(16, 33), int8=(14, 38), int16=(20, 30))
_register("sqrt", "Square Root", quantization=_POSITIVE, float32=(24, 32), int8=(14, 36))
_register("rsqrt", "Reciprocal Square Root", quantization=_POSITIVE, float32=(24, 27), int8=(14, 35))
_register("square", "Square", 66, float32=(24, 28))
_register("abs", "Abs", 78, float32=(24, 31), int8=(14, 39), int16=(20, 31))
_register("neg", "Negate", 42, float32=(24, 30))
_register("sin", "Sine", reference=False, float32=(16, 34))
_register("cos", "Cosine", reference=False, float32=(16, 35))
_register("floor", "Floor", reference=False, float32=(16, 36))
_register("ceil", "Ceiling", reference=False)
_register("round", "Bankers Rounding", reference=False)
_register("relu_n1_to_1", events={"Clamp": 0.2}, reference=False, float32=(16, 37), int8=(14, 40))
_register("relu_0_to_1", events={"Clamp": 0.3}, reference=False)
register_operators(
    Operator(
        "quantize",
        FileFormat(89),
        draws=drawn(_draw_quantize, int8=(60, 13), int16=(40, 14)),
        widths=keep_axes,
        features="unary",
        # A table over 256 values is made of several operators in a row.
        events={"Convert": 0.0, "Invalid Unary Op": 0.0},
        reference=_REFERENCE,
    ),
    Operator(
        "dequantize",
        FileFormat(38, made_on_loading=True),
        draws=drawn(_draw_dequantize, int8=(50, 14), int16=(30, 15)),
        widths=keep_axes,
        features="unary",
        events={"Convert": 0.1},
        reference=_REFERENCE,
    ),
    Operator(
        "cast",
        FileFormat(37),
        draws=drawn(_draw_cast, float32=(16, 46), int32=(30, 3)),
        widths=keep_axes,
        features="unary",
        events={"Convert": 0.2},
    ),
    Operator("sign", widths=keep_axes, events={"Sign": 0.0}),
    Operator("densify", FileFormat(made_on_loading=True)),
)
for _name, _format in {
    "logical_not": FileFormat(63),
    "zeros_like": FileFormat(),
    "fake_quant": FileFormat(
        58,
        (
            fraction(0, "min"),
            fraction(1, "max"),
            number(2, "num_bits"),
            quiet(3, "bool", "narrow_range", False),
        ),
    ),
}.items():
    register_operator(Operator(_name, _format, widths=keep_axes))
