"""Rules of layers with weights: convolutions, dense layers, embeddings, normalisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compressor.graph.rules.base import (
    Outputs,
    Rule,
    activated,
    by_rank,
    each,
    freezing,
    made,
    normalised_axes,
    require_channels_last,
)
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call


def _matrix(
    call: Call,
    recorder: Recorder,
    source: ChannelIds,
    key: str,
    kernel: str = "kernel",
    read: int = -2,
    written: int = -1,
) -> ChannelIds:
    """New channels, each a sum over all of `source`, by two axes of a kernel."""
    out = recorder.new(call.config[key])
    recorder.axis(call, kernel, read, source, "in")
    recorder.axis(call, kernel, written, out, "out")
    return made(call, recorder, out, key)


def _convolution(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    require_channels_last(call)
    source, groups = inputs[0], call.config.get("groups", 1)
    if groups == 1:
        return _matrix(call, recorder, source, "filters")
    out = recorder.new(call.config["filters"])
    # A group of the convolution goes as a whole, with what it reads and what it makes.
    read, written = source.reshape(groups, -1), out.reshape(groups, -1)
    for column in (*read.T[1:], *written.T):
        recorder.tie(read[:, 0], column)
    recorder.count(call, "groups", read[:, 0])
    recorder.axis(call, "kernel", -1, out, "scale")
    return made(call, recorder, out, "filters")


def _transposed_convolution(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    require_channels_last(call)
    return _matrix(call, recorder, inputs[0], "filters", read=-1, written=-2)


def _depthwise(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    require_channels_last(call)
    out = np.repeat(inputs[0], call.config["depth_multiplier"])
    recorder.axis(call, "kernel", -2, inputs[0], "scale")
    if "bias" in call.variables:
        recorder.axis(call, "bias", 0, out, "scale")
    activated(call, recorder, out)
    return out


def _separable(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    require_channels_last(call)
    recorder.axis(call, "depthwise_kernel", -2, inputs[0], "scale")
    source = np.repeat(inputs[0], call.config["depth_multiplier"])
    return _matrix(call, recorder, source, "filters", kernel="pointwise_kernel")


def _dense(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    return _matrix(call, recorder, inputs[0], "units")


def _einsum_dense(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """The last axis is read and another is made, whatever happens on the axes in front (``abc,cd->abd``)."""
    terms, result = call.config["equation"].replace(" ", "").split("->")
    source, kernel = terms.split(",")
    read, written = source[-1], result[-1]
    if read not in kernel or read in result or written in source:
        raise Frozen("it does more than read and make the last axis")
    out = recorder.new(call.variables["kernel"][kernel.index(written)])
    recorder.axis(call, "kernel", kernel.index(read), inputs[0], "in")
    recorder.axis(call, "kernel", kernel.index(written), out, "out")
    bias = call.config.get("bias_axes") or ""
    if bias and written in bias:
        if bias[-1] != written:
            raise Frozen("the axes of its bias stand in another order")
        recorder.axis(call, "bias", -1, out, "out")
    shape = call.config["output_shape"]
    many = isinstance(shape, (list, tuple))
    recorder.count(call, "output_shape", out, len(shape) - 1 if many else None)
    activated(call, recorder, out)
    return out


def _embedding(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """What it reads are numbers of rows, one at each position: there are no channels in it that could go."""
    recorder.freeze_for(call, inputs[0], "it reads positions")
    out = recorder.new(call.config["output_dim"])
    recorder.axis(call, "embeddings", 1, out, "out")
    recorder.count(call, "output_dim", out)
    return out


def _weights(call: Call, source: ChannelIds, recorder: Recorder) -> None:
    for variable, shape in call.variables.items():
        if shape and shape[-1] == len(source):
            recorder.axis(call, variable, -1, source, "scale")


def _batch_norm(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if normalised_axes(call) != [len(call.input_shapes[0]) - 1]:
        raise Frozen("it normalises another axis than the last")
    _weights(call, inputs[0], recorder)
    return inputs[0]


def _layer_norm(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Channels can go, but the mean and the deviation are then taken over those that are left."""
    if len(call.input_shapes[0]) - 1 not in normalised_axes(call):
        raise Frozen("it normalises another axis than the last")
    if call.config.get("rms_scaling"):
        raise Frozen("it scales in a way that Keras has given up")
    _weights(call, inputs[0], recorder)
    recorder.statistics(call, inputs[0])
    return inputs[0]


def _group_norm(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Channels that share a mean go as a whole, so that other means stay; where all share one, as in a layer normalisation."""
    if normalised_axes(call) != [len(call.input_shapes[0]) - 1]:
        raise Frozen("it normalises another axis than the last")
    source = inputs[0]
    groups = len(source) if call.config["groups"] == -1 else call.config["groups"]
    _weights(call, source, recorder)
    if groups == 1:
        recorder.statistics(call, source)
        return source
    members = source.reshape(groups, -1)
    for column in members.T[1:]:
        recorder.tie(members[:, 0], column)
    recorder.count(call, "groups", members[:, 0])
    return source


def _prelu(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    _weights(call, inputs[0], recorder)
    return inputs[0]


def _layer_scale(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """ConvNeXt's: one factor for each channel."""
    _weights(call, inputs[0], recorder)
    recorder.count(call, "projection_dim", inputs[0])
    return inputs[0]


RULES: Mapping[str, Rule] = {
    **by_rank("Conv", _convolution),
    **each("Conv1DTranspose Conv2DTranspose Conv3DTranspose", _transposed_convolution),
    **by_rank("DepthwiseConv", _depthwise),
    **by_rank("SeparableConv", _separable),
    **each("Dense", _dense),
    **each("EinsumDense", _einsum_dense),
    **each("Embedding", _embedding),
    **each("BatchNormalization", _batch_norm),
    **each("LayerNormalization RMSNormalization", _layer_norm),
    **each("GroupNormalization", _group_norm),
    # Its numbers stand in its configuration as well.
    **each("Normalization", freezing("it scales each channel by a number of its own")),
    **each("UnitNormalization", freezing("it divides by the norm over all channels")),
    **each("PReLU", _prelu),
    **each("applications.LayerScale", _layer_scale),
}
