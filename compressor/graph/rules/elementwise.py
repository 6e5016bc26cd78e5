"""Rules of layers and operations that look at one number, or one of each input, at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compressor.graph.rules.base import Outputs, Rule, activated, activation_name, by_rank, each, passed
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call, find


def _activation(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if activation_name(call.config.get("activation")) is None:
        raise Frozen("an activation of its own")
    activated(call, recorder, inputs[0])
    return inputs[0]


def _softmax(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if len(inputs) > 1:
        recorder.freeze_for(call, inputs[1], "its mask says which positions count")
    axes, rank = call.config.get("axis", -1), len(call.input_shapes[0])
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    if any(axis in (-1, rank - 1) for axis in axes):
        recorder.freeze_for(call, inputs[0], "a softmax over all channels")
    return inputs[0]


def _rescaling(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if any(isinstance(call.config.get(key), (list, tuple, dict)) for key in ("scale", "offset")):
        if recorder.removable(inputs[0]):
            raise Frozen("it scales each channel by a number of its own")
        recorder.freeze(inputs[0])
    return inputs[0]


def _merge(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Element by element: what meets must stay together; an axis of one is broadcast and must stay one."""
    constants = find((call.arguments, call.keywords), _is_constant)
    last = {(1, *np.shape(constant["config"]["value"]))[-1] for constant in constants}
    widest = max(inputs, key=len)
    if last - {1}:
        # An array of numbers for each channel stands in the configuration: none can go.
        if recorder.removable(widest) or last - {1, len(widest)}:
            raise Frozen("it takes a constant array")
        recorder.freeze(widest)
    for channels in inputs:
        if len(channels) == len(widest):
            recorder.tie(widest, channels)
        elif len(channels) == 1:
            recorder.freeze(channels)
        else:
            raise Frozen("its inputs differ in width")
    return widest


def _is_constant(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__")


def _reduced(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """A mean or the like over axes other than that of the channels."""
    axes, rank = call.config.get("axis"), len(call.input_shapes[0])
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    if any(axis is None or axis in (-1, rank - 1) for axis in axes):
        raise Frozen("it takes all channels together")
    return inputs[0]


def _matmul(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Sums over all channels of the first; those of the second pass through."""
    if len(inputs) != 2 or len(call.input_shapes[1]) < 3:
        raise Frozen("it multiplies by a constant")
    if recorder.removable(inputs[0]):
        recorder.report(call, "it sums over all channels of what it reads first")
    recorder.freeze(inputs[0])
    return inputs[1]


_ACTIVATIONS = """
ops.Relu ops.Relu6 ops.Sigmoid ops.SparseSigmoid ops.Softplus ops.Softsign ops.SoftShrink ops.SparsePlus ops.Silu
ops.Squareplus ops.LogSigmoid ops.LeakyRelu ops.HardSigmoid ops.HardSilu ops.Elu ops.Selu ops.Gelu ops.Celu
ops.TanhShrink ops.HardTanh ops.HardShrink ops.Threshold ops.Tanh
"""
_UNARY = """
ops.Absolute ops.Abs ops.Ceil ops.Clip ops.Copy ops.Cos ops.Exp ops.Exp2 ops.Expm1 ops.Floor ops.Log ops.Log10
ops.Log1p ops.Log2 ops.Negative ops.Reciprocal ops.Round ops.Rsqrt ops.Sign ops.Sin ops.Sqrt ops.Square ops.Cast
ops.Erf ops.StopGradient ops.OnesLike ops.ZerosLike ops.NanToNum
"""
_PAIRS = """
ops.Add ops.Subtract ops.Multiply ops.Divide ops.TrueDivide ops.DivideNoNan ops.Maximum ops.Minimum ops.Power
ops.SquaredDifference ops.Greater ops.GreaterEqual ops.Less ops.LessEqual ops.Equal ops.NotEqual ops.Mod ops.Where
"""
_REDUCTIONS = (
    "ops.Mean ops.Sum ops.Max ops.Min ops.Amax ops.Amin ops.Prod ops.Std ops.Var ops.Median ops.Logsumexp"
)

RULES: Mapping[str, Rule] = {
    **by_rank("MaxPooling AveragePooling GlobalMaxPooling GlobalAveragePooling", passed),
    **by_rank("AdaptiveMaxPooling AdaptiveAveragePooling", passed),
    **by_rank("ZeroPadding Cropping UpSampling SpatialDropout", passed),
    **each("ops.MaxPool ops.AveragePool ops.AdaptiveMaxPool ops.AdaptiveAveragePool", passed),
    **each("Dropout AlphaDropout GaussianDropout GaussianNoise ActivityRegularization Identity", passed),
    **each("ReLU LeakyReLU ELU", passed),
    **each("Resizing CenterCrop RandomCrop RandomFlip RandomRotation RandomZoom RandomTranslation", passed),
    **each(_ACTIVATIONS, passed),
    **each(_UNARY, passed),
    **each("Activation", _activation),
    **each("Softmax ops.Softmax ops.LogSoftmax", _softmax),
    **each("Rescaling", _rescaling),
    **each("Add Subtract Multiply Average Maximum Minimum applications.CustomScaleLayer", _merge),
    **each(_PAIRS, _merge),
    **each(_REDUCTIONS, _reduced),
    **each("ops.Matmul", _matmul),
}
