"""Rules of normalisations and of other layers that act on each channel by a weight of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compressor.graph.rules.base import (
    ChannelIds,
    Frozen,
    Outputs,
    Recorder,
    Rule,
    each,
    freezing,
    normalised_axes,
)
from compressor.graph.topology import Call


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
    **each("BatchNormalization", _batch_norm),
    **each("LayerNormalization RMSNormalization", _layer_norm),
    **each("GroupNormalization", _group_norm),
    # Its numbers stand in its configuration as well.
    **each("Normalization", freezing("it scales each channel by a number of its own")),
    **each("UnitNormalization", freezing("it divides by the norm over all channels")),
    **each("PReLU", _prelu),
    **each("applications.LayerScale", _layer_scale),
}
