"""Convolutions: dense, in groups, depthwise and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from profiler.axes import LayerStep, scaled
from profiler.network import Arithmetic, Layer, Param, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import data_dtype, weighted_layer
from profiler.operators.options import WINDOW, FileFormat, Quantization, activation, dilations, numbers, quiet
from profiler.operators.registry import (
    Operator,
    OutputWidth,
    ReferenceLayers,
    Rng,
    drawn,
    operator,
    register_operators,
)


def conv_2d(
    height: int,
    width: int,
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "same",
    activation: str = "none",
    dtype: str = "float32",
    batch: int = 1,
) -> Layer:
    """A 2-D convolution over ``[batch, height, width, in_channels]``."""
    params = sizes.window_params(kernel, stride, dilation, padding, activation)
    return weighted_layer(
        "conv_2d",
        (batch, height, width, in_channels),
        (out_channels, *kernel, in_channels),
        (batch, *sizes.window_output(height, width, params), out_channels),
        params,
        dtype,
    )


def grouped_conv_2d(
    height: int,
    width: int,
    groups: int,
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    activation: str = "none",
    dtype: str = "float32",
) -> Layer:
    """A convolution in `groups`, each of which sees ``in_channels / groups`` channels."""
    dense = conv_2d(
        height, width, in_channels // groups, out_channels, kernel, stride, activation=activation, dtype=dtype
    )
    data = Tensor((1, height, width, in_channels), data_dtype(dtype))
    return replace(dense, inputs=(data, *dense.inputs[1:]))


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
    params = sizes.window_params(kernel, stride, dilation, padding, activation)
    out = sizes.window_output(height, width, params)
    return weighted_layer(
        "depthwise_conv_2d",
        (batch, height, width, channels),
        (1, *kernel, channels * multiplier),
        (batch, *out, channels * multiplier),
        {**params, "depth_multiplier": multiplier},
        dtype,
    )


def transpose_conv(
    height: int,
    width: int,
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int] = (2, 2),
    stride: tuple[int, int] = (2, 2),
    padding: str = "same",
    dtype: str = "float32",
) -> Layer:
    """A transposed convolution over ``[1, height, width, in_channels]``."""
    out = [height * stride[0], width * stride[1]]
    if padding == "valid":
        out = [size + max(k - s, 0) for size, k, s in zip(out, kernel, stride, strict=True)]
    layer = weighted_layer(
        "transpose_conv",
        (1, height, width, in_channels),
        (out_channels, *kernel, in_channels),
        (1, *out, out_channels),
        sizes.window_params(kernel, stride, None, padding, "none"),
        dtype,
    )
    data, weights, bias = layer.inputs
    return replace(layer, inputs=(sizes.indices(4), weights, data, bias))


def _draw_conv(op: str, rng: Rng, dtype: str) -> Layer:
    """A convolution of a plane or, now and then, of a sequence."""
    if rng.random() < 0.06:
        return _draw_conv_1d(rng, dtype)
    pointwise = rng.random() < 0.5
    kernel = (1, 1) if pointwise else sizes.window(rng)
    height, width = sizes.plane(rng)
    stem = not pointwise and rng.random() < 0.12
    in_channels = int(rng.choice([1, 2, 3, 4])) if stem else sizes.channels(rng)
    out_channels = sizes.channels(rng, 128 if stem else 2048)
    strided = rng.random() < (0.1 if pointwise else 0.25)
    stride = (2, 2) if strided else (1, 1)
    dilation = sizes.dilation(rng) if not pointwise and not strided and rng.random() < 0.06 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    height, width = sizes.at_least(height, width, kernel, dilation)
    activation = sizes.activation(rng)
    return conv_2d(
        height, width, in_channels, out_channels, kernel, stride, dilation, padding, activation, dtype
    )


def _draw_conv_1d(rng: Rng, dtype: str) -> Layer:
    """What converters make of a 1-D convolution: height 1."""
    kernel = (1, int(rng.choice([1, 2, 3, 3, 5, 7, 9, 16])))
    dilation = (1, int(rng.choice([1, 1, 1, 2, 4, 8])))
    stride = (1, 2) if dilation == (1, 1) and rng.random() < 0.25 else (1, 1)
    height, width = sizes.at_least(1, sizes.scaled(rng, 8, 4096), kernel, dilation)
    padding = "same" if rng.random() < 0.5 else "valid"
    activation = sizes.activation(rng)
    return conv_2d(
        height, width, sizes.channels(rng, 512), sizes.channels(rng, 512), kernel, stride, dilation, padding, activation, dtype
    )  # fmt: skip


def _draw_grouped(op: str, rng: Rng, dtype: str) -> Layer:
    """A convolution in groups, each of which sees its own channels only (ResNeXt, ShuffleNet)."""
    groups = int(rng.choice([2, 2, 3, 4, 4, 8, 16, 32]))
    per_group, out_per_group = (sizes.scaled(rng, 2, max(2, 512 // groups)) for _ in range(2))
    kernel = (1, 1) if rng.random() < 0.4 else (3, 3) if rng.random() < 0.8 else (5, 5)
    height, width = sizes.at_least(*sizes.plane(rng, 112), kernel)
    stride = (2, 2) if rng.random() < 0.2 else (1, 1)
    inside, outside = groups * per_group, groups * out_per_group
    return grouped_conv_2d(
        height, width, groups, inside, outside, kernel, stride, sizes.activation(rng), dtype
    )


def draw_depthwise(op: str, rng: Rng, dtype: str) -> Layer:
    """A depthwise convolution."""
    kernel = sizes.window(rng)
    height, width = sizes.plane(rng, 160)
    stride = (2, 2) if rng.random() < 0.3 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    activation = sizes.activation(rng)
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


def _draw_large_depthwise(op: str, rng: Rng, dtype: str) -> Layer:
    """A depthwise convolution of a large window (ConvNeXt and its like)."""
    kernel = int(rng.choice([6, 7, 7, 7, 9, 11, 13]))
    side, stride = sizes.side(rng, 56), 2 if rng.random() < 0.15 else 1
    channels = sizes.channels(rng, 1024)
    return depthwise_conv_2d(side, side, channels, (kernel, kernel), (stride, stride), dtype=dtype)


def _draw_transpose_conv(op: str, rng: Rng, dtype: str) -> Layer:
    """A transposed convolution, as decoders have it: stride as wide as the kernel or half of it."""
    height, width = sizes.plane(rng, 64)
    kernel = int(rng.choice([2, 3, 4]))
    window, stride = (kernel, kernel), (2, 2)
    if rng.random() < 0.2:
        height, width, window, stride = 1, sizes.scaled(rng, 4, 512), (1, kernel), (1, 2)
    elif rng.random() < 0.1:
        stride = (1, 1)
    elif rng.random() < 0.25:  # up by three or four at once
        step = int(rng.choice([3, 4, 4]))
        stride, kernel = (step, step), int(rng.choice([step, 2 * step]))
        height, width, window = min(height, 24), min(width, 24), (kernel, kernel)
    padding = "same" if rng.random() < 0.7 else "valid"
    return transpose_conv(
        height, width, sizes.channels(rng, 512), sizes.channels(rng, 512), window, stride, padding, dtype
    )


def convolution_axes(step: LayerStep) -> None:
    """A dense convolution chooses its output channels; one in groups fixes all."""
    data, weights = operator(step.layer.op).file.data_slot, 1
    if step.inputs <= max(data, weights) or not step.constant(weights):
        return step.freeze_all()
    sizes = step.read(data)
    shape = step.shape(weights)
    places = [step.freeze(s) for s in sizes[:-1]]
    three_d = step.layer.op == "conv_3d"
    inside, outside = (shape[-2], shape[-1]) if three_d else (shape[-1], shape[0])
    if inside != step.measure(sizes[-1]) or len(sizes) != len(shape):
        # A grouped convolution: what may change depends on how the groups are cut.
        return step.freeze_all()
    chosen = step.choose(outside)
    kernel = shape[:-2] if three_d else shape[1:-1]
    step.give(weights, [*kernel, sizes[-1], chosen] if three_d else [chosen, *kernel, sizes[-1]])
    step.give(3 if data == 2 else 2, [chosen])
    step.write([places[0], *step.out_shape()[1:-1], chosen])


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


def _depth_multiplier(
    params: dict[str, Param], inputs: Sequence[Shape | None], outputs: Sequence[Shape]
) -> None:
    """Some old files leave the multiplier out."""
    if params.get("depth_multiplier"):
        return
    data, weights = (*inputs, None, None)[:2]
    params["depth_multiplier"] = weights[-1] // data[-1] if data and weights and data[-1] else 0


def _depthwise_macs(layer: Layer) -> int:
    weights = layer.inputs[1].shape if len(layer.inputs) > 1 else ()
    return layer.outputs[0].size * weights[1] * weights[2] if len(weights) == 4 else 0


def _transpose_conv_macs(layer: Layer) -> int:
    """Every input element meets every weight of its channel."""
    if len(layer.inputs) < 3 or len(layer.inputs[1].shape) != 4:
        return 0
    channels, height, width, _ = layer.inputs[1].shape
    return layer.inputs[2].size * channels * height * width


_KERNEL = ("", "kernel_height", "kernel_width", "")
_BIAS_TYPE = "quantized_bias_type"
_CHANNELS = {
    "out_channels": sizes.REFERENCE_WIDTHS,
    "in_channels": sizes.REFERENCE_WIDTHS,
    "side": sizes.REFERENCE_SIDES,
}
_MAPS = ((8, 128, 128), (14, 96, 96), (16, 64, 64), (28, 48, 64), (32, 32, 32))
_WINDOW = {"stride": (1, 2), "activation": ("none", "relu", "relu6")}

register_operators(
    Operator(
        "conv_2d",
        FileFormat(
            1,
            (*WINDOW, activation(3), *dilations(4), quiet(6, "byte", _BIAS_TYPE)),
            kernel=_KERNEL,
        ),
        Quantization(channel_axis=0),
        drawn(
            _draw_conv, uint8=(20, 1), float32=(740, 0), int8=(540, 0), dynamic_int8=(160, 0), int16=(260, 0)
        ),
        widths=convolution_axes,
        arithmetic=Arithmetic(sizes.dense_macs),
        features="convolution",
        row="convolution",
        # A 1x1 convolution runs as a fully connected layer, one in as many groups as channels as a depthwise one.
        events={"Convolution": 0.0, "Convolution DWConv": 1.5, "Fully Connected": 0.0},
        reference=ReferenceLayers(
            lambda op, dtype, s: conv_2d(**sizes.on_plane(s), dtype=dtype),
            [
                {"side": side, "in_channels": inside, "out_channels": outside, "kernel": 3}
                for side, inside, outside in _MAPS
            ],
            {**_CHANNELS, "kernel": (1, 2, 3, 4, 5, 7), **_WINDOW},
        ),
        output_width=OutputWidth("output channels"),
        words="convolution",
    ),
    Operator(
        "conv_2d:grouped",
        draws=drawn(_draw_grouped, float32=(60, 38), int8=(40, 21), dynamic_int8=(25, 4), int16=(30, 21)),
        features="grouped",
    ),
    # What becomes of depthwise ones of large windows.
    Operator(
        "depthwise_conv_2d:large",
        draws=drawn(_draw_large_depthwise, float32=(40, 68), int8=(40, 49)),
        features="grouped",
    ),
    Operator(
        "depthwise_conv_2d",
        FileFormat(
            2,
            (*WINDOW, *numbers(3, "depth_multiplier"), activation(4), *dilations(5)),
            kernel=_KERNEL,
            complete=_depth_multiplier,
        ),
        Quantization(channel_axis=3),
        drawn(
            draw_depthwise,
            uint8=(16, 2),
            float32=(440, 1),
            int8=(370, 1),
            dynamic_int8=(60, 1),
            int16=(160, 1),
        ),
        widths=_depthwise_axes,
        resized=lambda old, inputs, outputs: {
            **old.params,
            "depth_multiplier": outputs[0].shape[-1] // inputs[0].shape[-1],
        },
        arithmetic=Arithmetic(_depthwise_macs),
        features="depthwise",
        row="depthwise",
        events={"Convolution DWConv": 0.0, "Convolution": 1.0},
        reference=ReferenceLayers(
            lambda op, dtype, s: depthwise_conv_2d(**sizes.on_plane(s), dtype=dtype),
            sizes.reference_maps((8, 128), (14, 96), (16, 64), (28, 64), (32, 32), kernel=3),
            {
                "channels": sizes.REFERENCE_WIDTHS,
                "side": sizes.REFERENCE_SIDES[2:],
                "kernel": (2, 3, 4, 5, 7),
                **_WINDOW,
            },
        ),
        output_width=OutputWidth("channels", follows_input=True),
        words="depthwise convolution",
    ),
    Operator(
        "transpose_conv",
        FileFormat(
            49,
            (*WINDOW, activation(3), quiet(4, "byte", _BIAS_TYPE)),
            computed={0: lambda layer: layer.outputs[0].shape},
            data_slot=2,
            kernel=_KERNEL,
        ),
        Quantization(channel_axis=0),
        drawn(
            _draw_transpose_conv,
            uint8=(8, 24),
            float32=(60, 16),
            int8=(40, 22),
            dynamic_int8=(25, 3),
            int16=(30, 22),
        ),
        widths=convolution_axes,
        arithmetic=Arithmetic(_transpose_conv_macs),
        features="convolution",
        row="transposed",
        events={"Deconvolution": 0.0},
        reference=ReferenceLayers(
            lambda op, dtype, s: transpose_conv(**sizes.on_plane(s), dtype=dtype),
            [
                {"side": side, "in_channels": width, "out_channels": width, "kernel": 3}
                for side, width in ((8, 128), (16, 64), (24, 32))
            ],
            {**_CHANNELS, "kernel": (2, 3, 4)},
        ),
    ),
)
