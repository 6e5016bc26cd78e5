"""How each built-in Keras layer passes channels on, and which of its weights stand for them.

A rule gets the channels of its inputs as arrays of *atoms* (numbers, one per position of the last axis) and
returns those of its outputs. Two positions with the same atom go or stay together. What no rule understands
is frozen whole and named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.topology import Node, Shape

Atoms = NDArray[np.int64]


class Frozen(Exception):  # noqa: N818 - a rule's way to say no; it never leaves the graph
    """A rule cannot tell how a layer passes channels on; the message says why."""


class Recorder(Protocol):
    """What rules write to: see `compressor.graph`."""

    def fresh(self, count: int) -> Atoms:
        """`count` channels that did not exist before."""

    def unite(self, first: Atoms, second: Atoms) -> None:
        """Say that position i of both go or stay together."""

    def freeze(self, atoms: Atoms) -> None:
        """Say that none of these can go."""

    def axis(self, node: Node, variable: str, axis: int, atoms: Atoms, role: str) -> None:
        """Say that an axis of a weight stands for these channels.

        `role` is ``in`` (summed over: without these entries the channel carries nothing), ``out`` (makes the
        channel) or ``scale`` (acts on it alone).
        """

    def count(self, node: Node, key: str, atoms: Atoms, position: int | None = None) -> None:
        """Say that a configuration value (or one position of it) is the number of these channels."""


Rule = Callable[[Node, Sequence[Atoms], Sequence[Shape], Recorder], Atoms]
"""(layer, channels of its inputs, shapes of its inputs, where to write) -> channels of its output."""

ELEMENTWISE = frozenset(
    {
        "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "mish", "sigmoid",
        "hard_sigmoid", "silu", "swish", "hard_silu", "hard_swish", "tanh", "hard_tanh", "softplus",
        "softsign", "exponential", "log_sigmoid", "tanh_shrink", "hard_shrink", "soft_shrink",
        "squareplus", "sparse_plus",
    }
)  # fmt: skip
"""Activations that look at one number at a time, so that a channel never sees another."""


def activation_name(value: Any) -> str | None:
    """The built-in name of a serialised activation; None where it is not built in."""
    if value is None:
        return "linear"
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and not value.get("registered_name", "").count(">"):
        inner = value.get("config")
        return inner if isinstance(inner, str) else None
    return None


def _require_last_axis(node: Node) -> None:
    if node.config.get("data_format") == "channels_first":
        raise Frozen("channels come first")


def _made(node: Node, recorder: Recorder, out: Atoms, key: str) -> Atoms:
    """Register `out` as made by `node`, whose width stands in its configuration under `key`."""
    recorder.count(node, key, out)
    if "bias" in dict(node.variables):
        recorder.axis(node, "bias", 0, out, "out")
    if activation_name(node.config.get("activation")) not in ELEMENTWISE:
        recorder.freeze(out)
    return out


def _convolution(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    _require_last_axis(node)
    (source,) = inputs
    filters, groups = node.config["filters"], node.config.get("groups", 1)
    if groups == 1:
        out = recorder.fresh(filters)
        recorder.axis(node, "kernel", -2, source, "in")
    elif groups == len(source):  # a depthwise convolution in other words
        out = np.repeat(source, filters // groups)
        recorder.count(node, "groups", source)
    else:
        raise Frozen(f"a convolution in {groups} groups")
    recorder.axis(node, "kernel", -1, out, "out" if groups == 1 else "scale")
    return _made(node, recorder, out, "filters")


def _transposed_convolution(
    node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder
) -> Atoms:
    _require_last_axis(node)
    out = recorder.fresh(node.config["filters"])
    recorder.axis(node, "kernel", -1, inputs[0], "in")
    recorder.axis(node, "kernel", -2, out, "out")
    return _made(node, recorder, out, "filters")


def _depthwise(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    _require_last_axis(node)
    (source,) = inputs
    out = np.repeat(source, node.config["depth_multiplier"])
    recorder.axis(node, "kernel", -2, source, "scale")
    if "bias" in dict(node.variables):
        recorder.axis(node, "bias", 0, out, "scale")
    if activation_name(node.config.get("activation")) not in ELEMENTWISE:
        recorder.freeze(out)
    return out


def _separable(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    _require_last_axis(node)
    (source,) = inputs
    out = recorder.fresh(node.config["filters"])
    recorder.axis(node, "depthwise_kernel", -2, source, "scale")
    recorder.axis(node, "pointwise_kernel", -2, np.repeat(source, node.config["depth_multiplier"]), "in")
    recorder.axis(node, "pointwise_kernel", -1, out, "out")
    return _made(node, recorder, out, "filters")


def _dense(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    if node.config.get("lora_rank"):
        raise Frozen("low-rank adaptation is switched on")
    out = recorder.fresh(node.config["units"])
    recorder.axis(node, "kernel", 0, inputs[0], "in")
    recorder.axis(node, "kernel", 1, out, "out")
    return _made(node, recorder, out, "units")


def _batch_norm(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    (source,) = inputs
    if node.config["axis"] not in (-1, len(shapes[0]) - 1):
        raise Frozen("it normalises another axis than the last")
    for variable, shape in node.variables:
        if shape == (len(source),):
            recorder.axis(node, variable, 0, source, "scale")
    return source


def _layer_norm(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    """Channels can go, but the mean and the deviation are then taken over those that are left."""
    (source,) = inputs
    rank = len(shapes[0])
    axes = node.config["axis"]
    axes = sorted(a % rank for a in (axes if isinstance(axes, (list, tuple)) else [axes]))
    if rank - 1 not in axes:
        raise Frozen("it normalises another axis than the last")
    for variable, shape in node.variables:
        if shape and shape[-1] == len(source):
            recorder.axis(node, variable, len(shape) - 1, source, "scale")
    return source


def _pass(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    _require_last_axis(node)
    return inputs[0]


def _activation(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    name = activation_name(node.config.get("activation"))
    if name is None:
        raise Frozen("an activation of its own")
    if name not in ELEMENTWISE:
        recorder.freeze(inputs[0])
    return inputs[0]


def _mixing(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    """Each channel's result depends on all of them, so none can go (softmax)."""
    recorder.freeze(inputs[0])
    return inputs[0]


def _prelu(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    for variable, shape in node.variables:
        if shape[-1] == len(inputs[0]):
            recorder.axis(node, variable, len(shape) - 1, inputs[0], "scale")
    return inputs[0]


def _rescaling(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    if any(isinstance(node.config.get(key), (list, tuple, dict)) for key in ("scale", "offset")):
        raise Frozen("it scales each channel by a number of its own")
    return inputs[0]


def _merge(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    """Element by element: what meets must stay together; an axis of one is broadcast and must stay one."""
    if any(not isinstance(value, (int, float)) for value in node.literals):
        raise Frozen("it takes a constant array")
    widest = max(inputs, key=len)
    for atoms in inputs:
        if len(atoms) == len(widest):
            recorder.unite(widest, atoms)
        elif len(atoms) == 1:
            recorder.freeze(atoms)
        else:
            raise Frozen("its inputs differ in width")
    return widest


def _concatenate(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    if node.config["axis"] in (-1, len(shapes[0]) - 1):
        return np.concatenate(inputs)
    for atoms in inputs[1:]:
        recorder.unite(inputs[0], atoms)
    return inputs[0]


def _reshape(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    _require_last_axis(node)
    source, target = tuple(shapes[0][1:]), tuple(node.output_shapes[0][1:])
    if any(n is None for n in (*source, *target)):
        raise Frozen("its shape is not fixed")
    everything = np.broadcast_to(inputs[0], source).reshape(target)  # type: ignore[arg-type]
    out = everything.reshape(-1, target[-1] or 1)
    if not (out == out[0]).all():
        raise Frozen("it moves channels out of the last axis")
    if "target_shape" in node.config:
        recorder.count(node, "target_shape", out[0], position=len(node.config["target_shape"]) - 1)
    return np.array(out[0])


def _permute(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    if tuple(node.config["dims"])[-1] != len(node.config["dims"]):
        raise Frozen("it moves channels out of the last axis")
    return inputs[0]


def _embedding(node: Node, inputs: Sequence[Atoms], shapes: Sequence[Shape], recorder: Recorder) -> Atoms:
    out = recorder.fresh(node.config["output_dim"])
    recorder.axis(node, "embeddings", 1, out, "out")
    recorder.count(node, "output_dim", out)
    return out


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


def _by_rank(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"{name}{rank}D": rule for name in names.split() for rank in (1, 2, 3)}


RULES: Mapping[str, Rule] = {
    **_by_rank("Conv", _convolution),
    **_each("Conv1DTranspose Conv2DTranspose Conv3DTranspose", _transposed_convolution),
    **_by_rank("DepthwiseConv", _depthwise),
    **_by_rank("SeparableConv", _separable),
    **_each("Dense", _dense),
    **_each("BatchNormalization", _batch_norm),
    **_each("LayerNormalization RMSNormalization", _layer_norm),
    **_by_rank("MaxPooling AveragePooling GlobalMaxPooling GlobalAveragePooling", _pass),
    **_by_rank("ZeroPadding Cropping UpSampling SpatialDropout", _pass),
    **_each("Dropout AlphaDropout GaussianDropout GaussianNoise ActivityRegularization Identity", _pass),
    **_each(
        "ReLU LeakyReLU ELU ops.Relu ops.Relu6 ops.Sigmoid ops.HardSigmoid ops.HardSilu ops.Silu ops.Tanh"
        " ops.Gelu",
        _pass,
    ),
    **_each("Activation", _activation),
    **_each("Softmax Normalization UnitNormalization ops.Softmax", _mixing),
    **_each("PReLU", _prelu),
    **_each("Rescaling", _rescaling),
    **_each("Add Subtract Multiply Average Maximum Minimum", _merge),
    **_each("ops.Add ops.Subtract ops.Multiply ops.Divide ops.TrueDivide ops.Maximum ops.Minimum", _merge),
    **_each("Concatenate", _concatenate),
    **_each("Flatten Reshape", _reshape),
    **_each("Permute", _permute),
    **_each("Embedding", _embedding),
}
"""Rules by kind of layer (`Node.kind`). A new kind of layer is one more entry."""
