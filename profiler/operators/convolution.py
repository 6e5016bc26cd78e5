"""Convolutions: dense, in groups, depthwise and transposed."""

from __future__ import annotations

from dataclasses import replace

from profiler.axes import LayerStep
from profiler.network import Layer, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import bias_dtype, data_dtype, weight_dtype
from profiler.operators.registry import (
    PADDING,
    FileFormat,
    Operator,
    OptionField,
    OutputWidth,
    Quantization,
    ReferenceLayers,
    Rng,
    Sizes,
    activation,
    dilations,
    drawn,
    number,
    operator,
    quiet,
    register_operators,
    strides,
)
from profiler.operators.sizes import (
    REFERENCE_SIDES,
    REFERENCE_WIDTHS,
    both_ways,
    window_output,
    window_params,
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
    data = data_dtype(dtype)
    out = window_output(height, width, kernel, stride, dilation, padding)
    return Layer(
        "conv_2d",
        (
            Tensor((batch, height, width, in_channels), data),
            Tensor((out_channels, *kernel, in_channels), weight_dtype(dtype), True),
            Tensor((out_channels,), bias_dtype(dtype), True),
        ),
        (Tensor((batch, *out, out_channels), data),),
        window_params(kernel, stride, dilation, padding, activation),
    )


def grouped_conv_2d(
    height: int,
    width: int,
    groups: int,
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: str = "same",
    activation: str = "none",
    dtype: str = "float32",
) -> Layer:
    """A convolution in `groups`, each of which sees ``in_channels / groups`` channels."""
    dense = conv_2d(
        height, width, in_channels // groups, out_channels, kernel, stride, (1, 1), padding, activation, dtype
    )
    data = Tensor((1, height, width, in_channels), data_dtype(dtype))
    return replace(dense, inputs=(data, *dense.inputs[1:]))


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
    data = data_dtype(dtype)
    if padding == "same":
        out = (height * stride[0], width * stride[1])
    else:
        out = (
            height * stride[0] + max(kernel[0] - stride[0], 0),
            width * stride[1] + max(kernel[1] - stride[1], 0),
        )
    params = window_params(kernel, stride, None, padding, "none")
    return Layer(
        "transpose_conv",
        (
            Tensor((4,), "int32", True),
            Tensor((out_channels, *kernel, in_channels), weight_dtype(dtype), True),
            Tensor((1, height, width, in_channels), data),
            Tensor((out_channels,), bias_dtype(dtype), True),
        ),
        (Tensor((1, *out, out_channels), data),),
        params,
    )


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
    activation = str(rng.choice(sizes.ACTIVATIONS))
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
    activation = str(rng.choice(sizes.ACTIVATIONS))
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
    activation = str(rng.choice(sizes.ACTIVATIONS))
    return grouped_conv_2d(
        height, width, groups, groups * per_group, groups * out_per_group, kernel, stride, activation=activation, dtype=dtype
    )  # fmt: skip


def _draw_transpose_conv(op: str, rng: Rng, dtype: str) -> Layer:
    """A transposed convolution, as decoders have it: stride as wide as the kernel or half of it."""
    height, width = sizes.plane(rng, 64)
    kernel = int(rng.choice([2, 3, 4]))
    window, stride = (kernel, kernel), (2, 2)
    if rng.random() < 0.2:
        height, width, window, stride = 1, sizes.scaled(rng, 4, 512), (1, kernel), (1, 2)
    elif rng.random() < 0.1:
        stride = (1, 1)
    padding = "same" if rng.random() < 0.7 else "valid"
    return transpose_conv(
        height, width, sizes.channels(rng, 512), sizes.channels(rng, 512), window, stride, padding, dtype
    )


def _convolution_axes(step: LayerStep) -> None:
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


def _reference_conv(op: str, dtype: str, s: Sizes) -> Layer:
    step, spread = (s.get("stride", 1),) * 2, (s.get("dilation", 1),) * 2
    return conv_2d(
        s["side"], s["side"], s["in_channels"], s["out_channels"], both_ways(s.get("kernel", 3)), step, spread,
        activation=s.get("activation", "none"), dtype=dtype,
    )  # fmt: skip


def _reference_transpose_conv(op: str, dtype: str, s: Sizes) -> Layer:
    return transpose_conv(
        s["side"], s["side"], s["in_channels"], s["out_channels"], both_ways(s["kernel"]), dtype=dtype
    )


_KERNEL = ("", "kernel_height", "kernel_width", "")
_KERNEL_3D = ("kernel_depth", "kernel_height", "kernel_width", "", "")
_OPTIONS_3D = (
    PADDING,
    number(1, "stride_depth"),
    *strides(2),
    activation(4),
    OptionField(5, "int", "dilation_depth", 1),
    *dilations(6),
)
_WINDOW = {"kernel": (1, 2, 3, 4, 5, 7), "stride": (1, 2), "activation": ("none", "relu", "relu6")}

register_operators(
    Operator(
        "conv_2d",
        FileFormat(
            1,
            (PADDING, *strides(1), activation(3), *dilations(4), quiet(6, "byte", "quantized_bias_type")),
            kernel=_KERNEL,
        ),
        Quantization(channel_axis=0),
        drawn(_draw_conv, float32=(740, 0), int8=(540, 0), dynamic_int8=(160, 0), int16=(260, 0)),
        widths=_convolution_axes,
        features="convolution",
        row="convolution",
        # A 1x1 convolution runs as a fully connected layer, one in as many groups as channels as a depthwise one.
        events={"Convolution": 0.0, "Convolution DWConv": 1.5, "Fully Connected": 0.0},
        reference=ReferenceLayers(
            _reference_conv,
            [
                {"side": side, "in_channels": inside, "out_channels": outside, "kernel": 3}
                for side, inside, outside in (
                    (8, 128, 128),
                    (14, 96, 96),
                    (16, 64, 64),
                    (28, 48, 64),
                    (32, 32, 32),
                )
            ],
            {
                "out_channels": REFERENCE_WIDTHS,
                "in_channels": REFERENCE_WIDTHS,
                "side": REFERENCE_SIDES,
                **_WINDOW,
            },
        ),
        output_width=OutputWidth("output channels"),
        words="convolution",
    ),
    Operator(
        "conv_2d:grouped",
        draws=drawn(_draw_grouped, float32=(60, 38), int8=(40, 21), dynamic_int8=(25, 4), int16=(30, 21)),
        features="grouped",
    ),
    Operator(
        "transpose_conv",
        FileFormat(
            49,
            (PADDING, *strides(1), activation(3), quiet(4, "byte", "quantized_bias_type")),
            computed={0: lambda layer: layer.outputs[0].shape},
            data_slot=2,
            kernel=_KERNEL,
        ),
        Quantization(channel_axis=0),
        drawn(_draw_transpose_conv, float32=(60, 16), int8=(40, 22), dynamic_int8=(25, 3), int16=(30, 22)),
        widths=_convolution_axes,
        features="convolution",
        row="transposed",
        events={"Deconvolution": 0.0},
        reference=ReferenceLayers(
            _reference_transpose_conv,
            [
                {"side": side, "in_channels": width, "out_channels": width, "kernel": 3}
                for side, width in ((8, 128), (16, 64), (24, 32))
            ],
            {
                "out_channels": REFERENCE_WIDTHS,
                "in_channels": REFERENCE_WIDTHS,
                "side": REFERENCE_SIDES,
                "kernel": (2, 3, 4),
            },
        ),
    ),
    Operator("conv_3d", FileFormat(106, _OPTIONS_3D, kernel=_KERNEL_3D), widths=_convolution_axes),
    Operator("conv_3d_transpose", FileFormat(106, _OPTIONS_3D, data_slot=2, kernel=_KERNEL_3D)),
)
