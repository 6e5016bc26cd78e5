"""Pooling and resizing of planes."""

from __future__ import annotations

from functools import partial

from profiler.axes import keep_channels
from profiler.network import Layer, Tensor
from profiler.operators import sizes
from profiler.operators.registry import (
    PADDING,
    FileFormat,
    Operator,
    Quantization,
    ReferenceLayers,
    Rng,
    Sizes,
    activation,
    drawn,
    flag,
    number,
    register_operators,
    strides,
)
from profiler.operators.sizes import (
    ON_MAPS,
    REFERENCE_MAPS,
    REFERENCE_SIDES,
    REFERENCE_WIDTHS,
    both_ways,
    reference_maps,
    window_output,
    window_params,
)


def pool_2d(
    op: str,
    height: int,
    width: int,
    channels: int,
    kernel: tuple[int, int] = (2, 2),
    stride: tuple[int, int] = (2, 2),
    padding: str = "valid",
    dtype: str = "float32",
) -> Layer:
    """``average_pool_2d`` or ``max_pool_2d`` over ``[1, height, width, channels]``."""
    out = window_output(height, width, kernel, stride, (1, 1), padding)
    return Layer(
        op,
        (Tensor((1, height, width, channels), dtype),),
        (Tensor((1, *out, channels), dtype),),
        window_params(kernel, stride, None, padding, "none"),
    )


def resize(
    op: str, height: int, width: int, channels: int, out_height: int, out_width: int, dtype: str = "float32"
) -> Layer:
    """``resize_bilinear`` or ``resize_nearest_neighbor`` with half-pixel centres."""
    return Layer(
        op,
        (Tensor((1, height, width, channels), dtype), Tensor((2,), "int32", True)),
        (Tensor((1, out_height, out_width, channels), dtype),),
        {"align_corners": False, "half_pixel_centers": True},
    )


def _draw_pool(op: str, rng: Rng, dtype: str) -> Layer:
    """Pooling, for averages also over the whole plane."""
    height, width = sizes.plane(rng, 128)
    kind = rng.random()
    if op == "average_pool_2d" and kind < 0.35:  # the global pooling of many networks
        height, width = min(height, 32), min(width, 32)
        return pool_2d(
            op, height, width, sizes.channels(rng), (height, width), (height, width), "valid", dtype
        )
    kernel = (
        (2, 2)
        if kind < 0.65
        else (3, 3)
        if kind < 0.9
        else (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    )
    stride = kernel if kind < 0.65 else (2, 2) if kind < 0.8 else (1, 1)
    padding = "same" if rng.random() < 0.5 else "valid"
    if kind < 0.4 and rng.random() < 0.25:  # of a sequence
        height, width, kernel, stride = 1, sizes.scaled(rng, 8, 2048), (1, 2), (1, 2)
    height, width = max(height, kernel[0]), max(width, kernel[1])
    return pool_2d(op, height, width, sizes.channels(rng, 1024), kernel, stride, padding, dtype)


def _draw_resize(op: str, rng: Rng, dtype: str) -> Layer:
    """Larger planes, mostly by a whole factor."""
    height, width = sizes.plane(rng, 80)
    scale = int(rng.choice([2, 2, 2, 3, 4]))
    if rng.random() < 0.25:
        return resize(
            op, height, width, sizes.channels(rng, 512), sizes.side(rng, 160), sizes.side(rng, 160), dtype
        )
    return resize(op, height, width, sizes.channels(rng, 512), height * scale, width * scale, dtype)


def _reference_pool(op: str, dtype: str, s: Sizes) -> Layer:
    step = (s.get("stride", 2),) * 2
    return pool_2d(
        op, s["side"], s["side"], s["channels"], both_ways(s.get("kernel", 2)), step, "same", dtype
    )


def _reference_resize(op: str, dtype: str, s: Sizes) -> Layer:
    out = s["side"] * s.get("scale", 2)
    return resize(op, s["side"], s["side"], s["channels"], out, out, dtype)


_POOL = FileFormat(
    5, (PADDING, *strides(1), number(3, "kernel_width"), number(4, "kernel_height"), activation(5))
)
_POOLED = ReferenceLayers(
    _reference_pool,
    [{**base, "kernel": 2, "stride": 2} for base in REFERENCE_MAPS],
    {**ON_MAPS, "kernel": (2, 3, 4, 5), "stride": (1, 2)},
)
_RESIZED = ReferenceLayers(
    _reference_resize,
    reference_maps((8, 128), (14, 64), (28, 32), scale=2),
    {"channels": REFERENCE_WIDTHS, "side": REFERENCE_SIDES[:16], "scale": (2, 3, 4)},
)

_window = partial(Operator, quantization=Quantization(keeps_scale=True), widths=keep_channels)

register_operators(
    _window(
        "average_pool_2d",
        _POOL,
        draws=drawn(_draw_pool, float32=(100, 6), int8=(80, 5), int16=(50, 5)),
        features="pooling",
        row="pooling",
        events={"Average Pooling": 0.0, "Mean": 0.1, "Global Average Pooling": 0.1},
        reference=_POOLED,
        words="average pooling",
    ),
    _window(
        "max_pool_2d",
        _POOL,
        draws=drawn(_draw_pool, float32=(80, 7), int8=(60, 6), int16=(40, 6)),
        features="pooling",
        row="pooling",
        events={"Max Pooling": 0.0},
        reference=_POOLED,
        words="max pooling",
    ),
    Operator("l2_pool_2d", _POOL, widths=keep_channels),
    _window(
        "resize_bilinear",
        FileFormat(
            15,
            (flag(2, "align_corners"), flag(3, "half_pixel_centers")),
            computed={1: lambda layer: layer.outputs[0].shape[1:3]},
        ),
        draws=drawn(_draw_resize, float32=(60, 14), int8=(50, 12), int16=(30, 12)),
        features="resize",
        events={"Resize Bilinear": 0.0},
        reference=_RESIZED,
    ),
    _window(
        "resize_nearest_neighbor",
        FileFormat(
            74,
            (flag(0, "align_corners"), flag(1, "half_pixel_centers")),
            computed={1: lambda layer: layer.outputs[0].shape[1:3]},
        ),
        draws=drawn(_draw_resize, float32=(30, 15), int8=(18, 25), int16=(25, 13)),
        features="resize",
        reference=_RESIZED,
    ),
)
