"""Pooling and resizing of planes."""

from __future__ import annotations

from functools import partial

from profiler.axes import keep_channels
from profiler.network import Layer, Shape
from profiler.operators import sizes
from profiler.operators.options import WINDOW, FileFormat, Quantization, activation, flag, numbers
from profiler.operators.registry import Operator, ReferenceLayers, Rng, drawn, register_operators


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
    params = sizes.window_params(kernel, stride, None, padding, "none")
    out = sizes.window_output(height, width, params)
    return sizes.single_layer(op, (1, height, width, channels), (1, *out, channels), dtype, params)


def resize(
    op: str,
    height: int,
    width: int,
    channels: int,
    out_height: int,
    out_width: int,
    dtype: str = "float32",
    form: str = "half_pixel_centers",
) -> Layer:
    """``resize_bilinear`` or ``resize_nearest_neighbor`` with half-pixel centres, aligned corners, or neither."""
    before, after = (1, height, width, channels), (1, out_height, out_width, channels)
    params = {name: name == form for name in ("align_corners", "half_pixel_centers")}
    return sizes.single_layer(op, before, after, dtype, params, (2,))


def _draw_pool(op: str, rng: Rng, dtype: str) -> Layer:
    """Pooling, for averages also over the whole plane."""
    height, width = sizes.plane(rng, 128)
    kind = rng.random()
    if op == "average_pool_2d" and kind < 0.35:  # the global pooling of many networks
        height, width = min(height, 32), min(width, 32)
        whole = (height, width)
        return pool_2d(op, height, width, sizes.channels(rng), whole, whole, "valid", dtype)
    kernel = (2, 2) if kind < 0.65 else (3, 3)
    if kind >= (0.8 if op == "average_pool_2d" else 0.9):
        kernel = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    stride = kernel if kind < 0.65 else (2, 2) if kind < 0.75 else (1, 1)
    if op == "average_pool_2d" and kind >= 0.86:  # every second position only
        kernel, stride = (1, 1), (2, 2)
    padding = "same" if rng.random() < 0.5 else "valid"
    if kind < 0.4 and rng.random() < 0.25:  # of a sequence
        height, width, kernel, stride = 1, sizes.scaled(rng, 8, 2048), (1, 2), (1, 2)
    height, width = max(height, kernel[0]), max(width, kernel[1])
    return pool_2d(op, height, width, sizes.channels(rng, 1024), kernel, stride, padding, dtype)


def _draw_resize(op: str, rng: Rng, dtype: str) -> Layer:
    """Larger planes, mostly by a whole factor."""
    height, width = sizes.plane(rng, 80)
    scale = int(rng.choice([2, 2, 2, 3, 4]))
    odd = rng.random() < 0.25
    channels = sizes.channels(rng, 512)
    form = str(rng.choice(["half_pixel_centers", "half_pixel_centers", "align_corners", ""]))
    if odd:
        return resize(op, height, width, channels, sizes.side(rng, 160), sizes.side(rng, 160), dtype, form)
    return resize(op, height, width, channels, height * scale, width * scale, dtype, form)


def _resized_shape(layer: Layer) -> Shape:
    return layer.outputs[0].shape[1:3]


POOL_FILE = FileFormat(5, (*WINDOW, *numbers(3, "kernel_width", "kernel_height"), activation(5)))
_POOLED = ReferenceLayers(
    lambda op, dtype, s: pool_2d(op, **sizes.on_plane(s), padding="same", dtype=dtype),
    [{**base, "kernel": 2, "stride": 2} for base in sizes.REFERENCE_MAPS],
    {**sizes.ON_MAPS, "kernel": (2, 3, 4, 5), "stride": (1, 2)},
)
_RESIZED = ReferenceLayers(
    lambda op, dtype, s: resize(
        op, s["side"], s["side"], s["channels"], s["side"] * s["scale"], s["side"] * s["scale"], dtype
    ),
    sizes.reference_maps((8, 128), (14, 64), (28, 32), scale=2),
    {"channels": sizes.REFERENCE_WIDTHS, "side": sizes.REFERENCE_SIDES[:16], "scale": (2, 3, 4)},
)

_window = partial(Operator, quantization=Quantization(keeps_scale=True), widths=keep_channels)
_pool = partial(_window, file=POOL_FILE, features="pooling", row="pooling", reference=_POOLED)
_resize = partial(_window, features="resize", reference=_RESIZED)

register_operators(
    _pool(
        "average_pool_2d",
        draws=drawn(_draw_pool, uint8=(8, 7), float32=(100, 6), int8=(80, 5), int16=(50, 5)),
        events={"Average Pooling": 0.0, "Mean": 0.1, "Global Average Pooling": 0.1},
        words="average pooling",
    ),
    _pool(
        "max_pool_2d",
        draws=drawn(_draw_pool, uint8=(8, 8), float32=(80, 7), int8=(60, 6), int16=(40, 6)),
        events={"Max Pooling": 0.0},
        words="max pooling",
    ),
    _resize(
        "resize_bilinear",
        FileFormat(
            15,
            (flag(2, "align_corners"), flag(3, "half_pixel_centers")),
            computed={1: _resized_shape},
        ),
        draws=drawn(_draw_resize, uint8=(8, 18), float32=(60, 14), int8=(50, 12), int16=(30, 12)),
        events={"Resize Bilinear": 0.0},
    ),
    _resize(
        "resize_nearest_neighbor",
        FileFormat(
            74,
            (flag(0, "align_corners"), flag(1, "half_pixel_centers")),
            computed={1: _resized_shape},
        ),
        draws=drawn(_draw_resize, uint8=(8, 19), float32=(30, 15), int8=(26, 25), int16=(25, 13)),
    ),
)
