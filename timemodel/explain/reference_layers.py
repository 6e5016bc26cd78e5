"""Layers of ordinary sizes, by operator: what a time model is asked about when it has to explain itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profiler.network import Layer
from profiler.operators import constructors as shapes

Sizes = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How layers of some operators are put together from the sizes that people think in.

    Parameters
    ----------
    build
        Takes operator, dtype and sizes by name.
    bases
        Ordinary layers: one value per size.
    axes
        Which values of a size are worth looking at, all other sizes staying as in `bases`.
    """

    build: Callable[[str, str, Sizes], Layer]
    bases: Sequence[Sizes]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def layers(self, op: str, dtype: str, **changed: Any) -> list[Layer]:
        """One layer per base, with the sizes in `changed` in place of the base's own."""
        return [self.build(op, dtype, {**base, **changed}) for base in self.bases]


def _sides(kernel: Any) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)


def _conv(op: str, dtype: str, s: Sizes) -> Layer:
    step, spread = (s.get("stride", 1),) * 2, (s.get("dilation", 1),) * 2
    return shapes.conv_2d(
        s["side"], s["side"], s["in_channels"], s["out_channels"], _sides(s.get("kernel", 3)), step, spread,
        activation=s.get("activation", "none"), dtype=dtype,
    )  # fmt: skip


def _depthwise(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.depthwise_conv_2d(
        s["side"], s["side"], s["channels"], _sides(s.get("kernel", 3)), (s.get("stride", 1),) * 2,
        activation=s.get("activation", "none"), dtype=dtype,
    )  # fmt: skip


def _transpose_conv(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.transpose_conv(
        s["side"], s["side"], s["in_channels"], s["out_channels"], _sides(s["kernel"]), dtype=dtype
    )


def _dense(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.fully_connected(
        s["in_channels"], s["out_channels"], s.get("rows", 1), s.get("activation", "none"), dtype
    )


def _matmul(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.batch_matmul((1, s["heads"]), s["rows"], s["inner"], s["columns"], dtype=dtype)


def _map(s: Sizes) -> tuple[int, int, int, int]:
    return 1, s["side"], s["side"], s["channels"]


def _binary(op: str, dtype: str, s: Sizes) -> Layer:
    left = _map(s)
    right = {"same shape": left, "per channel": (left[-1],), "single value": ()}[
        s.get("operand", "same shape")
    ]
    activation = "none" if op in shapes.WITHOUT_ACTIVATION else s.get("activation", "none")
    return shapes.binary(op, left, right, activation, dtype, constant=right != left)


def _unary(op: str, dtype: str, s: Sizes) -> Layer:
    if op == "quantize":
        return shapes.unary(op, _map(s), "float32", "int8")
    if op == "dequantize":
        return shapes.unary(op, _map(s), "int8", "float32")
    return shapes.unary(op, _map(s), dtype)


def _softmax(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.unary(op, (s["rows"], s["columns"]), dtype)


def _pool(op: str, dtype: str, s: Sizes) -> Layer:
    step = (s.get("stride", 2),) * 2
    return shapes.pool_2d(
        op, s["side"], s["side"], s["channels"], _sides(s.get("kernel", 2)), step, "same", dtype
    )


def _reduce(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.reduce(op, _map(s), (1, 2), dtype=dtype)


def _pad(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.pad(_map(s), ((0, 0), (1, 1), (1, 1), (0, 0)), dtype)


def _concatenation(op: str, dtype: str, s: Sizes) -> Layer:
    # The result keeps its size whatever the number of parts.
    return shapes.concatenation(
        [(1, s["side"], s["side"], s["channels"] // s["inputs"])] * s["inputs"], 3, dtype
    )


def _reshape(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.reshape(_map(s), (1, s["side"] ** 2 * s["channels"]), dtype)


def _transpose(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.transpose(_map(s), (0, 3, 1, 2), dtype)


def _resize(op: str, dtype: str, s: Sizes) -> Layer:
    out = s["side"] * s.get("scale", 2)
    return shapes.resize(op, s["side"], s["side"], s["channels"], out, out, dtype)


def _lstm(op: str, dtype: str, s: Sizes) -> Layer:
    return shapes.lstm(s["steps"], s["features"], s["units"])


_WIDTHS = (1, 2, 3, 4, 6, 8, 12, 15, 16, 17, 20, 24, 28, 31, 32, 33, 40, 48, 49, 56, 63, 64, 65, 80, 96, 97, 112, 128, 129,
           160, 192, 224, 256)  # fmt: skip
_SIDE = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
_ACTIVATION = ("none", "relu", "relu6")
_KERNELS = (1, 2, 3, 4, 5, 7)


def _maps(*pairs: tuple[int, int], **more: Any) -> list[Sizes]:
    return [{"side": side, "channels": channels, **more} for side, channels in pairs]


_MAPS = _maps((8, 128), (14, 96), (28, 64), (32, 32), (56, 24))
_CONVS = [
    {"side": side, "in_channels": inside, "out_channels": outside, "kernel": 3}
    for side, inside, outside in ((8, 128, 128), (14, 96, 96), (16, 64, 64), (28, 48, 64), (32, 32, 32))
]
_ON_MAPS = {"side": _SIDE, "channels": _WIDTHS}

_RECIPES: tuple[tuple[tuple[str, ...], Recipe], ...] = (
    (
        ("conv_2d",),
        Recipe(
            _conv,
            _CONVS,
            {
                "out_channels": _WIDTHS,
                "in_channels": _WIDTHS,
                "side": _SIDE,
                "kernel": _KERNELS,
                "stride": (1, 2),
                "activation": _ACTIVATION,
            },
        ),
    ),
    (
        ("depthwise_conv_2d",),
        Recipe(
            _depthwise,
            _maps((8, 128), (14, 96), (16, 64), (28, 64), (32, 32), kernel=3),
            {
                "channels": _WIDTHS,
                "side": _SIDE[2:],
                "kernel": _KERNELS[1:],
                "stride": (1, 2),
                "activation": _ACTIVATION,
            },
        ),
    ),
    (
        ("transpose_conv",),
        Recipe(
            _transpose_conv,
            [
                {"side": side, "in_channels": width, "out_channels": width, "kernel": 3}
                for side, width in ((8, 128), (16, 64), (24, 32))
            ],
            {"out_channels": _WIDTHS, "in_channels": _WIDTHS, "side": _SIDE, "kernel": (2, 3, 4)},
        ),
    ),
    (
        ("fully_connected",),
        Recipe(
            _dense,
            [
                {"in_channels": inside, "out_channels": outside, "rows": 1}
                for inside, outside in ((64, 64), (256, 128), (512, 128), (512, 512), (1024, 128))
            ],
            {
                "out_channels": (*_WIDTHS, 512, 1024),
                "in_channels": (*_WIDTHS, 512, 1024),
                "rows": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64),
                "activation": ("none", "relu"),
            },
        ),
    ),
    (
        ("batch_matmul",),
        Recipe(
            _matmul,
            [
                {"heads": heads, "rows": rows, "inner": inner, "columns": rows}
                for heads, rows, inner in ((4, 64, 32), (8, 32, 64), (4, 128, 16))
            ],
            {
                "rows": _SIDE[3:],
                "inner": (8, 16, 32, 64, 128),
                "columns": _WIDTHS[5:29],
                "heads": (1, 2, 4, 8),
            },
        ),
    ),
    (
        ("add", "mul", "sub", "div", "maximum", "minimum", "squared_difference"),
        Recipe(
            _binary,
            _MAPS,
            {
                **_ON_MAPS,
                "operand": ("same shape", "per channel", "single value"),
                "activation": _ACTIVATION,
            },
        ),
    ),
    (
        ("softmax", "log_softmax"),
        Recipe(
            _softmax,
            [{"rows": rows, "columns": columns} for rows, columns in ((1, 1000), (16, 100), (64, 64))],
            {"rows": (1, 2, 4, 8, 16, 32, 64, 128, 256), "columns": (2, 5, 10, 20, 50, 100, 200, 500, 1000)},
        ),
    ),
    (
        ("average_pool_2d", "max_pool_2d"),
        Recipe(
            _pool,
            [{**base, "kernel": 2, "stride": 2} for base in _MAPS],
            {**_ON_MAPS, "kernel": (2, 3, 4, 5), "stride": (1, 2)},
        ),
    ),
    (("mean", "sum", "reduce_max"), Recipe(_reduce, _maps((7, 256), (14, 96), (28, 64), (32, 32)), _ON_MAPS)),
    (("pad",), Recipe(_pad, _MAPS, _ON_MAPS)),
    (
        ("concatenation",),
        Recipe(
            _concatenation,
            _maps((8, 192), (14, 96), (28, 96), inputs=2),
            {"inputs": (2, 3, 4, 6), "side": _SIDE, "channels": (12, 24, 48, 96, 144, 192, 240)},
        ),
    ),
    (("reshape",), Recipe(_reshape, _MAPS, _ON_MAPS)),
    (("transpose",), Recipe(_transpose, _maps((8, 128), (14, 96), (28, 64)), _ON_MAPS)),
    (
        ("resize_bilinear", "resize_nearest_neighbor"),
        Recipe(
            _resize,
            _maps((8, 128), (14, 64), (28, 32), scale=2),
            {"channels": _WIDTHS, "side": _SIDE[:16], "scale": (2, 3, 4)},
        ),
    ),
    (
        ("unidirectional_sequence_lstm",),
        Recipe(
            _lstm,
            [
                {"steps": steps, "features": features, "units": units}
                for steps, features, units in ((16, 32, 64), (30, 16, 32), (16, 64, 128))
            ],
            {
                "units": _WIDTHS[5:29],
                "features": (4, 8, 16, 32, 64, 128),
                "steps": (2, 4, 8, 16, 32, 48, 64),
            },
        ),
    ),
)
_BY_OP = {op: recipe for ops, recipe in _RECIPES for op in ops}
_UNARY = Recipe(_unary, _MAPS, _ON_MAPS)
UNARY_OPS = (
    "relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "elu", "gelu", "exp", "log", "sqrt", "rsqrt", "square",
    "abs", "neg", "quantize", "dequantize",
)  # fmt: skip
"""Elementwise operators of one operand, the cheapest of which others are compared with."""


def recipe_of(op: str) -> Recipe | None:
    """How ordinary layers of `op` are made; None where this module does not know."""
    return _UNARY if op in UNARY_OPS else _BY_OP.get(op)
