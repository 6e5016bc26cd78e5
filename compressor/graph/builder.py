"""Which channels of a Keras model must go or stay together: the idea of DepGraph (Fang et al., CVPR 2023).

Each channel has an *id*: layers that make channels make new ids, layers that tie channels unite theirs, and a *unit* is
what ends up tied. Units that occur at the same places form a *group*, whose width can be chosen freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.graph.channel_graph import ChannelGraph
from compressor.graph.records import ChannelAxis, Count, FrozenLayer, Rescale, Statistics
from compressor.graph.rules import (
    RECURRENT,
    ChannelIds,
    Frozen,
    Outputs,
    Recorder,
    Rule,
    in_words,
    load_rules,
    rule_of,
)
from compressor.graph.topology import Call, TensorKey, Topology, read_topology
from compressor.graph.units import find_groups, joined, tied
from profiler.errors import UsageError


def build_graph(model: Any) -> ChannelGraph:
    """Find the groups of channels of a Sequential or Functional Keras 3 model.

    Layers without a rule are frozen whole: nothing that flows into or out of them changes width. The model's
    own inputs and outputs never do. A layer that is used twice has the same channels both times.

    Raises
    ------
    UsageError
        The model is subclassed or was never built.
    """
    load_rules()
    return _Builder(read_topology(model)).build()


class _Builder:
    """Walks a topology once, with the rules writing into it (`compressor.graph.rules.Recorder`)."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.channels: dict[TensorKey, ChannelIds] = {}
        self.axes: list[ChannelAxis] = []
        self.counts: list[Count] = []
        self.rescales: list[Rescale] = []
        self.statistics_over: list[Statistics] = []
        self.frozen: dict[str, FrozenLayer] = {}
        self.ids = 0
        self.pairs: list[tuple[ChannelIds, ChannelIds]] = []
        self.must_stay = _FrozenChannels()
        # What the first use of each layer wrote down, and how much of it this use has written again.
        self.written: dict[str, list[tuple[tuple[Any, ...], ChannelIds]]] = {}
        self.turn = 0

    # What rules call.

    def new(self, count: int) -> ChannelIds:
        channels = np.arange(self.ids, self.ids + count, dtype=np.int64)
        self.ids += count
        return channels

    def new_frozen(self, count: int) -> ChannelIds:
        channels = self.new(count)
        self.freeze(channels)
        return channels

    def tie(self, first: ChannelIds, second: ChannelIds) -> None:
        if first.shape != second.shape:
            raise Frozen("what meets in it differs in width")
        self.pairs.append((first, second))

    def freeze(self, channels: ChannelIds) -> None:
        self.must_stay.add(channels)

    def freeze_for(self, call: Call, channels: ChannelIds, reason: str) -> None:
        self.must_stay.by_layer.append((FrozenLayer(call.name, reason), channels))

    def removable(self, channels: ChannelIds) -> bool:
        roots = self._roots()
        return not self.must_stay.stays(roots)[roots[channels]].all()

    def axis(self, call: Call, variable: str, axis: int, channels: ChannelIds, role: str) -> None:
        shape = call.variables.get(variable)
        if shape is None or len(shape) < axis + 1 or shape[axis] != len(channels):
            raise Frozen(f"its weight {variable} has another shape than expected")
        name = call.aliases.get(variable, variable)
        axis %= len(shape)
        if self._first_time(call, ("axis", name, axis, role), channels):
            self.axes.append(ChannelAxis(call.name, name, axis, channels, role))

    def count(
        self, call: Call, key: str, channels: ChannelIds, position: int | None = None, label: str = ""
    ) -> None:
        if self._first_time(call, ("count", *call.path, key, position), channels):
            self.counts.append(Count(call.name, key, position, channels, call.path, label))

    def rescale(self, call: Call, variable: str, channels: ChannelIds, power: float) -> None:
        name = call.aliases.get(variable, variable)
        if self._first_time(call, ("rescale", name), channels):
            self.rescales.append(Rescale(call.name, name, channels, power))

    def statistics(self, call: Call, channels: ChannelIds) -> None:
        if call.kind.startswith("custom:"):
            raise Frozen("nobody knows how it would take its statistics over some channels only")
        if self._first_time(call, ("statistics", *call.path), channels):
            self.statistics_over.append(Statistics(call.name, channels, call.path))

    def report(self, call: Call, reason: str) -> None:
        self.frozen.setdefault(call.name, FrozenLayer(call.name, reason))

    def _first_time(self, call: Call, what: tuple[Any, ...], channels: ChannelIds) -> bool:
        """Whether this is the layer's first use; else its channels are those of the first."""
        written = self.written[call.name]
        if not call.index:
            written.append((what, channels))
            return True
        if self.turn >= len(written) or written[self.turn][0] != what:
            raise Frozen("its uses differ")
        self.tie(written[self.turn][1], channels)
        self.turn += 1
        return False

    # The walk.

    def build(self) -> ChannelGraph:
        for call in self.topology.calls:
            self._visit(call)
        for key in self.topology.outputs:
            self.freeze(self._of(key))
        roots = self._roots()
        groups, units = find_groups(self.axes, self.counts, roots, self.must_stay.stays(roots))
        for layer in self.must_stay.reported(roots):
            self.frozen.setdefault(layer.layer, layer)
        return ChannelGraph(
            self.axes,
            self.counts,
            roots,
            groups,
            units,
            [self.frozen[node.name] for node in self.topology.nodes if node.name in self.frozen],
            {node.name: node.variables for node in self.topology.nodes},
            self.channels.values(),
            self.rescales,
            self.statistics_over,
        )

    def _visit(self, call: Call) -> None:
        if call.kind == "InputLayer" and not call.inputs:
            self._leave_alone(TensorKey(call.name, call.index))
            return
        records: tuple[list[Any], ...] = (
            self.axes, self.counts, self.rescales, self.statistics_over, self.must_stay.by_layer,
        )  # fmt: skip
        sizes = [len(record) for record in records]
        self.turn = 0
        self.written.setdefault(call.name, [])
        try:
            outputs = self._passed(call)
        except Frozen as reason:
            for record, size in zip(records, sizes, strict=True):
                del record[size:]
            if not call.index:
                self.written[call.name].clear()
            self._freeze(call, str(reason))
            return
        for index, channels in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            self.channels[TensorKey(call.name, call.index, index)] = channels

    def _passed(self, call: Call) -> Any:
        if call.name in self.frozen and call.index and not self.written[call.name]:
            raise Frozen(self.frozen[call.name].reason)
        rule = rule_of(call.kind)
        if call.kind == "InputLayer":
            rule = _inner_input
        if rule is None:
            raise Frozen(_unknown(call.kind))
        if call.config.get("lora_rank"):
            raise Frozen("low-rank adaptation is switched on")
        if call.config.get("quantization_config") or "Quantized" in str(call.config.get("dtype")):
            raise Frozen("its weights are quantised")
        if not call.inputs:
            raise Frozen("it reads no tensor of the network")
        call = self._without_mask(call)
        # What an embedding reads are positions: how many there are says nothing about its width.
        if call.kind != "Embedding" and any(
            len(shape) < 2 or shape[-1] is None or key not in self.channels
            for key, shape in zip(call.inputs, call.input_shapes, strict=True)
        ):
            raise Frozen("the width of what it reads is not known")
        inputs = [self._of(key) for key in call.inputs]
        return (
            _by_a_registered_rule(rule, call, inputs, self)
            if call.kind.startswith("custom:")
            else rule(call, inputs, self)
        )

    def _without_mask(self, call: Call) -> Call:
        """A recurrent layer without its mask, which has no channels: all of the mask stays."""
        mask = call.keywords.get("mask")
        if call.kind not in RECURRENT or not isinstance(mask, TensorKey):
            return call
        self.freeze(self._of(mask))
        kept = [(k, s) for k, s in zip(call.inputs, call.input_shapes, strict=True) if k != mask]
        return replace(call, inputs=tuple(k for k, _ in kept), input_shapes=tuple(s for _, s in kept))

    def _freeze(self, call: Call, reason: str) -> None:
        """Leave a layer whole, with all that flows into and out of it."""
        inputs = [self._of(key) for key in call.inputs]
        known = rule_of(call.kind) is not None and not call.node.variables
        if not known or any(len(channels) and self.removable(channels) for channels in inputs):
            self.frozen.setdefault(call.name, FrozenLayer(call.name, reason))
        if call.index:
            inputs += [channels for _, channels in self.written[call.name]]
        for channels in inputs:
            self.freeze(channels)
        for index in {*call.output_shapes, 0}:
            self._leave_alone(TensorKey(call.name, call.index, index))

    def _of(self, key: TensorKey) -> ChannelIds:
        return self.channels.get(key, np.empty(0, np.int64))

    def _leave_alone(self, key: TensorKey) -> None:
        """Give a tensor channels that cannot be removed."""
        shape = self.topology.shapes.get(key, ())
        if len(shape) > 1 and shape[-1] is not None and key not in self.channels:
            self.channels[key] = self.new_frozen(shape[-1])

    def _roots(self) -> ChannelIds:
        return tied(self.ids, joined([a for a, _ in self.pairs]), joined([b for _, b in self.pairs]))


def _by_a_registered_rule(rule: Rule, call: Call, inputs: list[ChannelIds], recorder: Recorder) -> Outputs:
    """What a user's rule says, checked: its faults are named as such."""
    layer = f"layer {call.name!r} ({in_words(call.kind)})"
    try:
        outputs = rule(call, inputs, recorder)
    except Frozen:
        raise
    except Exception as error:  # a user's code raises whatever it likes
        raise UsageError(
            f"The registered rule of {layer} failed with {type(error).__name__}: {error}. Mend that rule."
        ) from error
    for index, channels in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
        shape = call.output_shapes.get(index, ())
        if np.ndim(channels) != 1 or (shape and shape[-1] is not None and len(channels) != shape[-1]):
            raise UsageError(
                f"The registered rule of {layer} returns {np.size(channels)} channels for an output of shape "
                f"{tuple(shape)}: return one id for each position of its last axis."
            )
    return outputs


def _inner_input(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Where a model inside the model begins: it says how many channels it expects."""
    shape = call.config.get("batch_shape")
    if isinstance(shape, (list, tuple)):
        recorder.count(call, "batch_shape", inputs[0], position=len(shape) - 1)
    return inputs[0]


def _unknown(kind: str) -> str:
    if kind.startswith("custom:"):
        return in_words(kind)
    if kind in ("Functional", "Sequential", "Model"):
        return "a model inside the model"
    return f"no rule for {kind.replace('ops.', 'operation ')}"


class _FrozenChannels:
    """Channels that must stay; `by_layer` are those that one layer freezes, with its name and why."""

    def __init__(self) -> None:
        self._always: list[ChannelIds] = []
        self.by_layer: list[tuple[FrozenLayer, ChannelIds]] = []

    def add(self, channels: ChannelIds) -> None:
        """These must stay, whatever layers do."""
        self._always.append(channels)

    def stays(self, roots: ChannelIds) -> NDArray[np.bool_]:
        """Whether each unit must stay, by the number of its root (see `tied`)."""
        return _marked(roots, [*self._always, *(channels for _, channels in self.by_layer)])

    def reported(self, roots: ChannelIds) -> list[FrozenLayer]:
        """The layers without which some of what they freeze could go; a softmax at a network's end is none."""
        anyhow = _marked(roots, self._always)
        return [layer for layer, channels in self.by_layer if not anyhow[roots[channels]].all()]


def _marked(roots: ChannelIds, parts: list[ChannelIds]) -> NDArray[np.bool_]:
    marks = np.zeros(len(roots), dtype=bool)
    marks[roots[joined(parts)]] = True
    return marks
