"""What rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.graph.topology import Call

Atoms = NDArray[np.int64]


class Frozen(Exception):  # noqa: N818 - a rule's way to say no; it never leaves the graph
    """A rule cannot tell how a layer passes channels on; the message says why."""


class Recorder(Protocol):
    """What rules write to: see `compressor.graph.builder`."""

    def fresh(self, count: int) -> Atoms:
        """`count` channels that did not exist before."""

    def fixed(self, count: int) -> Atoms:
        """`count` channels that did not exist before and cannot go."""

    def unite(self, first: Atoms, second: Atoms) -> None:
        """Say that position i of both go or stay together."""

    def freeze(self, atoms: Atoms) -> None:
        """Say that none of these can go."""

    def removable(self, atoms: Atoms) -> bool:
        """Whether some of these may go, as far as is known by now."""

    def axis(self, call: Call, variable: str, axis: int, atoms: Atoms, role: str) -> None:
        """Say that an axis of a weight stands for these channels.

        `role` is ``in`` (summed over: without these entries the channel carries nothing), ``out`` (makes the
        channel) or ``scale`` (acts on it alone).
        """

    def count(self, call: Call, key: str, atoms: Atoms, position: int | None = None, label: str = "") -> None:
        """Say that a configuration value (or one position of it) is the number of these channels.

        `label` tells the groups apart that one layer makes: it stands in their ids.
        """

    def rescale(self, call: Call, variable: str, atoms: Atoms, power: float) -> None:
        """Say that where a share of these channels stays, a weight is to be multiplied by ``share **
        power``."""

    def statistics(self, call: Call, atoms: Atoms) -> None:
        """Say that the layer divides by a statistic over all of these: it is then over those that are
        left."""

    def hold(self, call: Call, atoms: Atoms, reason: str) -> None:
        """Say that none of these can go because of what this layer does.

        It is named for it where some of them could go otherwise: what a network puts out stays in any case.
        """

    def remark(self, call: Call, reason: str) -> None:
        """Name a layer that keeps its channels, though others may pass through it."""


Outputs = Atoms | tuple[Atoms, ...]
"""The channels of a result, or of each of several."""

Rule = Callable[[Call, Sequence[Atoms], Recorder], Outputs]
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


def activated(call: Call, recorder: Recorder, atoms: Atoms, keys: Sequence[str] = ("activation",)) -> None:
    """Hold channels that an activation does not look at one by one, or that nobody knows about."""
    for key in keys:
        value = call.config.get(key)
        if not is_elementwise(value):
            name = activation_name(value)
            mixes = name in _OVER_CHANNELS
            recorder.hold(call, atoms, f"a {name} over all channels" if mixes else "an activation of its own")


def require_channels_last(call: Call) -> None:
    """Raise `Frozen` where the layer has its channels in front."""
    if call.config.get("data_format") == "channels_first":
        raise Frozen("channels come first")


def normalised_axes(call: Call) -> list[int]:
    """What stands under ``axis``, as positions from 0, sorted."""
    rank, axes = len(call.input_shapes[0]), call.config["axis"]
    return sorted(a % rank for a in (axes if isinstance(axes, (list, tuple)) else [axes]))


def made(call: Call, recorder: Recorder, out: Atoms, key: str, bias: str = "bias") -> Atoms:
    """Register `out` as made by the layer, whose width stands in its configuration under `key`."""
    recorder.count(call, key, out)
    if bias in call.variables:
        recorder.axis(call, bias, -1, out, "out")
    activated(call, recorder, out)
    return out


def passed(call: Call, inputs: Sequence[Atoms], recorder: Recorder) -> Outputs:
    """Each channel goes through by itself."""
    require_channels_last(call)
    return inputs[0]


def held(reason: str) -> Rule:
    """A rule by which none of what a layer reads can go, and all of it goes on."""

    def rule(call: Call, inputs: Sequence[Atoms], recorder: Recorder) -> Outputs:
        recorder.hold(call, inputs[0], reason)
        return inputs[0]

    return rule


def each(names: str, rule: Rule) -> dict[str, Rule]:
    """The same rule for several kinds, written with spaces between."""
    return dict.fromkeys(names.split(), rule)


def by_rank(names: str, rule: Rule) -> dict[str, Rule]:
    """The same rule for the one-, two- and three-dimensional variants of several kinds."""
    return {f"{name}{rank}D": rule for name in names.split() for rank in (1, 2, 3)}
