"""What rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call

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


def activated(
    call: Call, recorder: Recorder, channels: ChannelIds, keys: Sequence[str] = ("activation",)
) -> None:
    """Freeze channels that an activation does not look at one by one, or that nobody knows about."""
    for key in keys:
        name = activation_name(call.config.get(key))
        if name not in ELEMENTWISE:
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
