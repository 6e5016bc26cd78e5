"""What rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.graph.topology import Call

ChannelIds = NDArray[np.int64]
"""An id for each channel of a tensor [channels]: positions with the same id are removed together."""


class Frozen(Exception):  # noqa: N818 - a rule's way to say no; it never leaves the graph
    """Raised by a rule that cannot tell how a layer passes channels on: the layer is left whole.

    The message is the reason that the user reads, such as ``its output has several axes``.
    """


class Recorder(Protocol):
    """Where a rule writes down what a layer does to channels.

    Each channel has an id; the channels of a tensor are the ids along its last axis, an int array [channels].
    """

    def new(self, count: int) -> ChannelIds:
        """Ids of `count` channels that the layer makes."""

    def new_frozen(self, count: int) -> ChannelIds:
        """Ids of `count` channels that the layer makes and that must stay."""

    def tie(self, first: ChannelIds, second: ChannelIds) -> None:
        """Position i of both is kept or removed together."""

    def freeze(self, channels: ChannelIds) -> None:
        """All of these must stay."""

    def freeze_for(self, call: Call, channels: ChannelIds, reason: str) -> None:
        """All of these must stay because of what this layer does.

        The user is told the reason where some of them could be removed otherwise (the network's outputs never can).
        """

    def removable(self, channels: ChannelIds) -> bool:
        """Whether some of these may be removed, as far as is known by now."""

    def axis(self, call: Call, variable: str, axis: int, channels: ChannelIds, role: str) -> None:
        """An axis of a weight has one entry for each of these channels.

        `variable` is the weight's name; `role` is ``in`` (summed over: where these entries are zero the channel is
        not read), ``out`` (makes the channel) or ``scale`` (acts on it alone).
        """

    def count(
        self, call: Call, key: str, channels: ChannelIds, position: int | None = None, label: str = ""
    ) -> None:
        """A value of the layer's configuration (or one position of it) is the number of these channels.

        Where a layer makes several groups, `label` tells them apart: it stands in their ids.
        """

    def rescale(self, call: Call, variable: str, channels: ChannelIds, power: float) -> None:
        """Where a share of these channels stays, a weight is to be multiplied by ``share ** power``."""

    def statistics(self, call: Call, channels: ChannelIds) -> None:
        """The layer, one of Keras' own normalisations, divides by a statistic over all of these."""

    def report(self, call: Call, reason: str) -> None:
        """Name a layer that keeps its channels, though others may pass through it."""


Outputs = ChannelIds | tuple[ChannelIds, ...]
"""The channels of a result, or of each of several."""

Rule = Callable[[Call, Sequence[ChannelIds], Recorder], Outputs]
"""(use of a layer, channels of its inputs, where to write) -> channels of its outputs."""

ELEMENTWISE = frozenset(
    {
        "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "mish", "sigmoid",
        "hard_sigmoid", "silu", "swish", "hard_silu", "hard_swish", "tanh", "hard_tanh", "softplus",
        "softsign", "exponential", "log_sigmoid", "tanh_shrink", "hard_shrink", "soft_shrink",
        "squareplus", "sparse_plus", "sparse_sigmoid", "threshold",
    }
)  # fmt: skip
"""Activations that look at one number at a time, so that a channel never sees another."""


_OVER_CHANNELS = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})


_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}
"""Layers without weights that may stand where an activation is asked for, and the function of each."""


def activation_name(value: Any) -> str | None:
    """The built-in name of a serialised activation; None where it is not built in."""
    if value is None:
        return "linear"
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and not str(value.get("registered_name") or "").count(">"):
        inner = value.get("config")
        if value.get("module") == "keras.layers":
            return _LAYERS.get(str(value.get("class_name")))
        return inner if isinstance(inner, str) else None
    return None


def is_elementwise(value: Any) -> bool:
    """Whether a serialised activation looks at one number at a time."""
    return activation_name(value) in ELEMENTWISE


def activated(
    call: Call, recorder: Recorder, channels: ChannelIds, keys: Sequence[str] = ("activation",)
) -> None:
    """Freeze channels that an activation does not look at one by one, or that nobody knows about."""
    for key in keys:
        value = call.config.get(key)
        if not is_elementwise(value):
            name = activation_name(value)
            mixes = name in _OVER_CHANNELS
            recorder.freeze_for(
                call, channels, f"a {name} over all channels" if mixes else "an activation of its own"
            )


def in_words(kind: str, what: str = "layer") -> str:
    """A kind of layer for a message: ``Dense``, ``custom layer Scaled``."""
    return (
        f"custom {what} {kind.split('>')[-1].removeprefix('custom:')}" if kind.startswith("custom:") else kind
    )


def require_channels_last(call: Call) -> None:
    """Raise `Frozen` where the layer has its channels in front."""
    if call.config.get("data_format") == "channels_first":
        raise Frozen("channels come first")


def normalised_axes(call: Call) -> list[int]:
    """What stands under ``axis``, as positions from 0, sorted."""
    rank, axes = len(call.input_shapes[0]), call.config["axis"]
    return sorted(a % rank for a in (axes if isinstance(axes, (list, tuple)) else [axes]))


def made(call: Call, recorder: Recorder, out: ChannelIds, key: str, bias: str = "bias") -> ChannelIds:
    """Register `out` as made by the layer, whose width stands in its configuration under `key`."""
    recorder.count(call, key, out)
    if bias in call.variables:
        recorder.axis(call, bias, -1, out, "out")
    activated(call, recorder, out)
    return out


def passed(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Each channel goes through by itself."""
    require_channels_last(call)
    return inputs[0]


def freezing(reason: str) -> Rule:
    """A rule by which none of what a layer reads can go, and all of it goes on."""

    def rule(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
        recorder.freeze_for(call, inputs[0], reason)
        return inputs[0]

    return rule


def each(names: str, rule: Rule) -> dict[str, Rule]:
    """The same rule for several kinds, written with spaces between."""
    return dict.fromkeys(names.split(), rule)


def by_rank(names: str, rule: Rule) -> dict[str, Rule]:
    """The same rule for the one-, two- and three-dimensional variants of several kinds."""
    return {f"{name}{rank}D": rule for name in names.split() for rank in (1, 2, 3)}
