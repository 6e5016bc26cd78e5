"""Depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.axes import LayerStep, scaled
from profiler.network import Layer, Param, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import bias_dtype, data_dtype, weight_dtype
from profiler.operators.registry import (
    PADDING,
    FileFormat,
    Operator,
    OutputWidth,
    Quantization,
    ReferenceLayers,
    Rng,
    Shape,
    Sizes,
    activation,
    dilations,
    drawn,
    number,
    register_operator,
    strides,
)
from profiler.operators.sizes import (
    REFERENCE_SIDES,
    REFERENCE_WIDTHS,
    both_ways,
    reference_maps,
    window_output,
    window_params,
)


def depthwise_conv_2d(
    height: int,
    width: int,
    channels: int,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "same",
    activation: str = "none",
    dtype: str = "float32",
    multiplier: int = 1,
    batch: int = 1,
) -> Layer:
    """A depthwise convolution over ``[batch, height, width, channels]``."""
    data = data_dtype(dtype)
    out = window_output(height, width, kernel, stride, dilation, padding)
    params = window_params(kernel, stride, dilation, padding, activation)
    params["depth_multiplier"] = multiplier
    return Layer(
        "depthwise_conv_2d",
        (
            Tensor((batch, height, width, channels), data),
            Tensor((1, *kernel, channels * multiplier), weight_dtype(dtype), True),
            Tensor((channels * multiplier,), bias_dtype(dtype), True),
        ),
        (Tensor((batch, *out, channels * multiplier), data),),
        params,
    )


def _draw_depthwise(op: str, rng: Rng, dtype: str) -> Layer:
    """A depthwise convolution."""
    kernel = sizes.window(rng)
    height, width = sizes.plane(rng, 160)
    stride = (2, 2) if rng.random() < 0.3 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    activation = str(rng.choice(sizes.ACTIVATIONS))
    channels, multiplier, dilation = sizes.channels(rng), 1, (1, 1)
    kind = rng.random()
    if kind < 0.03:  # what becomes of a convolution over one or a few channels
        channels, multiplier = int(rng.choice([1, 1, 2, 3, 4, 8])), int(rng.choice([2, 4, 8, 16]))
    elif kind < 0.07 and stride == (1, 1):
        dilation = sizes.dilation(rng)
    elif kind < 0.1:  # of a sequence
        kernel, stride, height, width = (1, int(rng.integers(2, 16))), (1, 1), 1, sizes.scaled(rng, 8, 2048)
    height, width = sizes.at_least(height, width, kernel, dilation)
    return depthwise_conv_2d(
        height, width, channels, kernel, stride, dilation, padding, activation, dtype, multiplier
    )


def _depthwise_axes(step: LayerStep) -> None:
    """Channels are handed on, each so many times; over a single channel the layer chooses."""
    if step.inputs < 2 or not step.constant(1) or len(step.shape(0)) != 4 or len(step.shape(1)) != 4:
        return step.freeze_all()
    sizes, shape = step.read(0), step.shape(1)
    places = [step.freeze(s) for s in sizes[:-1]]
    before, after = step.measure(sizes[3]), shape[3]
    if isinstance(sizes[3], int) and before == 1:
        out = step.choose(after)
    elif before and after % before == 0:
        out = scaled(sizes[3], inner=after // before)
    else:
        return step.freeze_all()
    step.give(1, [*shape[:3], out])
    step.give(2, [out])
    step.write([places[0], *step.out_shape()[1:3], out])


def _depthwise_params(
    old: Layer, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> dict[str, Param]:
    return {**old.params, "depth_multiplier": outputs[0].shape[-1] // inputs[0].shape[-1]}


def _depth_multiplier(
    params: dict[str, Param], inputs: Sequence[Shape | None], outputs: Sequence[Shape]
) -> None:
    """Some old files leave the multiplier out."""
    if params.get("depth_multiplier"):
        return
    data, weights = (*inputs, None, None)[:2]
    params["depth_multiplier"] = weights[-1] // data[-1] if data and weights and data[-1] else 0


def _reference_depthwise(op: str, dtype: str, s: Sizes) -> Layer:
    return depthwise_conv_2d(
        s["side"], s["side"], s["channels"], both_ways(s.get("kernel", 3)), (s.get("stride", 1),) * 2,
        activation=s.get("activation", "none"), dtype=dtype,
    )  # fmt: skip


register_operator(
    Operator(
        "depthwise_conv_2d",
        FileFormat(
            2,
            (PADDING, *strides(1), number(3, "depth_multiplier"), activation(4), *dilations(5)),
            kernel=("", "kernel_height", "kernel_width", ""),
            complete=_depth_multiplier,
        ),
        Quantization(channel_axis=3),
        drawn(_draw_depthwise, float32=(440, 1), int8=(370, 1), dynamic_int8=(60, 1), int16=(160, 1)),
        widths=_depthwise_axes,
        resized=_depthwise_params,
        features="depthwise",
        row="depthwise",
        events={"Convolution DWConv": 0.0, "Convolution": 1.0},
        reference=ReferenceLayers(
            _reference_depthwise,
            reference_maps((8, 128), (14, 96), (16, 64), (28, 64), (32, 32), kernel=3),
            {
                "channels": REFERENCE_WIDTHS,
                "side": REFERENCE_SIDES[2:],
                "kernel": (2, 3, 4, 5, 7),
                "stride": (1, 2),
                "activation": ("none", "relu", "relu6"),
            },
        ),
        output_width=OutputWidth("channels", follows_input=True),
        words="depthwise convolution",
    )
)
