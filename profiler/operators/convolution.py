"""Layers from the sizes that people think in: constructors that work out shapes, one per operator.

They serve the sampler, tests and tables of measurements; a network's own layers come from its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from profiler.network import (
    Layer,
    Param,
    Tensor,
)

Shape = tuple[int, ...]


def weight_dtype(dtype: str) -> str:
    """Type in which weights are stored where the arithmetic is `dtype`."""
    return {"float32": "float32", "dynamic_int8": "int8", "int8": "int8", "int16": "int8"}[dtype]


def data_dtype(dtype: str) -> str:
    """Type of activations where the arithmetic is `dtype`."""
    return "float32" if dtype == "dynamic_int8" else dtype


def bias_dtype(dtype: str) -> str:
    """Type of the bias where the arithmetic is `dtype`."""
    return {"float32": "float32", "dynamic_int8": "float32", "int8": "int32", "int16": "int64"}[dtype]


def conv_output(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output positions along one axis, as TFLite counts them."""
    if padding == "same":
        return -(-size // stride)
    reach = (kernel - 1) * dilation + 1
    return max(0, -(-(size - reach + 1) // stride))


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
    out = _window_output(height, width, kernel, stride, dilation, padding)
    return Layer(
        "conv_2d",
        (
            Tensor((batch, height, width, in_channels), data),
            Tensor((out_channels, *kernel, in_channels), weight_dtype(dtype), True),
            Tensor((out_channels,), bias_dtype(dtype), True),
        ),
        (Tensor((batch, *out, out_channels), data),),
        _window_params(kernel, stride, dilation, padding, activation),
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
    out = _window_output(height, width, kernel, stride, dilation, padding)
    params = _window_params(kernel, stride, dilation, padding, activation)
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
    params = _window_params(kernel, stride, None, padding, "none")
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


def fully_connected(
    inputs: int,
    outputs: int,
    rows: int = 1,
    activation: str = "none",
    dtype: str = "float32",
    bias: bool = True,
) -> Layer:
    """A fully connected layer over ``[rows, inputs]``."""
    data = data_dtype(dtype)
    operands = [Tensor((rows, inputs), data), Tensor((outputs, inputs), weight_dtype(dtype), True)]
    if bias:
        operands.append(Tensor((outputs,), bias_dtype(dtype), True))
    params: dict[str, Param] = {"activation": activation}
    return Layer("fully_connected", tuple(operands), (Tensor((rows, outputs), data),), params)


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
    out = _window_output(height, width, kernel, stride, (1, 1), padding)
    return Layer(
        op,
        (Tensor((1, height, width, channels), dtype),),
        (Tensor((1, *out, channels), dtype),),
        _window_params(kernel, stride, None, padding, "none"),
    )


def binary(
    op: str,
    left: Shape,
    right: Shape,
    activation: str = "none",
    dtype: str = "float32",
    constant: bool = False,
) -> Layer:
    """An elementwise operator of two operands with broadcasting; `constant` says that the right one is stored."""
    rank = max(len(left), len(right))
    a, b = (1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right
    out = tuple(max(x, y) for x, y in zip(a, b, strict=True))
    params: dict[str, Param] = {} if op in WITHOUT_ACTIVATION else {"activation": activation}
    if dtype == "int16" and op in ("add", "sub"):
        params["pot_scale_int16"] = False
    return Layer(op, (Tensor(left, dtype), Tensor(right, dtype, constant)), (Tensor(out, dtype),), params)


WITHOUT_ACTIVATION = frozenset(
    {"maximum", "minimum", "squared_difference", "pow", "floor_div", "floor_mod", "prelu"}
)


def compare(op: str, left: Shape, right: Shape, dtype: str = "float32", constant: bool = False) -> Layer:
    """A comparison (``less`` …) or, of ``bool``, a logical operator; `right` is shaped like `left` or a single number."""
    return Layer(op, (Tensor(left, dtype), Tensor(right, dtype, constant)), (Tensor(left, "bool"),))


def unary(op: str, shape: Shape, dtype: str = "float32", out_dtype: str | None = None) -> Layer:
    """An elementwise operator of one operand, among them ``quantize``, ``dequantize`` and ``softmax``."""
    params = _UNARY_PARAMS.get(op, {})
    return Layer(op, (Tensor(shape, dtype),), (Tensor(shape, out_dtype or dtype),), params)


_UNARY_PARAMS: dict[str, dict[str, Param]] = {
    "softmax": {"beta": 1.0},
    "leaky_relu": {"alpha": 0.25},
    "gelu": {"approximate": False},
}


def reduce(
    op: str, shape: Shape, axes: Sequence[int], keep_dims: bool = False, dtype: str = "float32"
) -> Layer:
    """A reduction (``mean``, ``sum``, ``reduce_max``) of `shape` over `axes`."""
    wanted = {axis % len(shape) for axis in axes}
    out = tuple(1 if i in wanted else n for i, n in enumerate(shape) if keep_dims or i not in wanted)
    return Layer(
        op,
        (Tensor(shape, dtype), Tensor((len(wanted),), "int32", True)),
        (Tensor(out, dtype),),
        {"axes": tuple(sorted(wanted)), "keep_dims": keep_dims},
    )


def pad(shape: Shape, paddings: Sequence[tuple[int, int]], dtype: str = "float32", op: str = "pad") -> Layer:
    """Padding of `shape` by (before, after) per axis: with zeros (``pad``) or mirrored (``mirror_pad``)."""
    out = tuple(n + a + b for n, (a, b) in zip(shape, paddings, strict=True))
    params: dict[str, Param] = {"paddings": tuple(v for pair in paddings for v in pair)}
    if op == "mirror_pad":
        params["mode"] = 0
    return Layer(
        op,
        (Tensor(shape, dtype), Tensor((len(shape), 2), "int32", True)),
        (Tensor(out, dtype),),
        params,
    )


def concatenation(shapes: Sequence[Shape], axis: int = -1, dtype: str = "float32") -> Layer:
    """Concatenation of `shapes` along `axis`."""
    axis %= len(shapes[0])
    out = tuple(sum(s[i] for s in shapes) if i == axis else n for i, n in enumerate(shapes[0]))
    inputs = tuple(Tensor(s, dtype) for s in shapes)
    return Layer("concatenation", inputs, (Tensor(out, dtype),), {"axis": axis, "activation": "none"})


def reshape(shape: Shape, new_shape: Shape, dtype: str = "float32") -> Layer:
    """The same elements under another shape."""
    return Layer(
        "reshape",
        (Tensor(shape, dtype), Tensor((len(new_shape),), "int32", True)),
        (Tensor(new_shape, dtype),),
        {"new_shape": new_shape},
    )


def transpose(shape: Shape, perm: Sequence[int], dtype: str = "float32") -> Layer:
    """`shape` with its axes in the order of `perm`."""
    return Layer(
        "transpose",
        (Tensor(shape, dtype), Tensor((len(shape),), "int32", True)),
        (Tensor(tuple(shape[i] for i in perm), dtype),),
        {"perm": tuple(perm)},
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


def batch_matmul(
    batch: Shape, rows: int, inner: int, columns: int, adj_y: bool = False, dtype: str = "float32"
) -> Layer:
    """``[*batch, rows, inner] @ [*batch, inner, columns]``; with `adj_y` the right operand is stored transposed."""
    right = (*batch, columns, inner) if adj_y else (*batch, inner, columns)
    return Layer(
        "batch_matmul",
        (Tensor((*batch, rows, inner), dtype), Tensor(right, dtype)),
        (Tensor((*batch, rows, columns), dtype),),
        {"adj_x": False, "adj_y": adj_y},
    )


def lstm(steps: int, features: int, units: int, batch: int = 1, dtype: str = "float32") -> Layer:
    """``unidirectional_sequence_lstm`` without peepholes or projection, over ``[batch, steps, features]``."""
    stored = weight_dtype(dtype)
    gates = tuple(Tensor((units, features), stored, True) for _ in range(4))
    gates += tuple(Tensor((units, units), stored, True) for _ in range(4))
    gates += tuple(Tensor((units,), "float32", True) for _ in range(4))
    # The two states come last; they are variables of the runtime, neither stored nor computed by another layer.
    states = (Tensor((batch, units), "float32", True), Tensor((batch, units), "float32", True))
    return Layer(
        "unidirectional_sequence_lstm",
        (Tensor((batch, steps, features)), *gates, *states),
        (Tensor((batch, steps, units)),),
        {"activation": "tanh", "time_major": False},
    )


def loop(rounds: int, state: Sequence[Shape], dtype: str = "float32") -> Layer:
    """A ``while`` of `rounds` that carries a counter and tensors of the shapes in `state`, which its body hands through."""
    carried = tuple(Tensor(shape, dtype) for shape in state)
    counter = Tensor((), "int32")
    params: dict[str, Param] = {"condition_subgraph": 1, "body_subgraph": 2, "rounds": rounds}
    return Layer("while", (Tensor((), "int32", True), *carried), (counter, *carried), params)


def _window_output(
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: str,
) -> tuple[int, int]:
    return (
        conv_output(height, kernel[0], stride[0], dilation[0], padding),
        conv_output(width, kernel[1], stride[1], dilation[1], padding),
    )


def _window_params(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] | None,
    padding: str,
    activation: str,
) -> dict[str, Param]:
    params: dict[str, Param] = {
        "kernel_height": kernel[0], "kernel_width": kernel[1], "stride_height": stride[0], "stride_width": stride[1],
        "padding": padding, "activation": activation,
    }  # fmt: skip
    if dilation is not None:
        params |= {"dilation_height": dilation[0], "dilation_width": dilation[1]}
    return params
