"""Which channels of a Keras model must go or stay together: the idea of DepGraph (Fang et al., CVPR 2023).

Each channel has an *id*: layers that make channels make new ids, layers that tie channels unite theirs, and a *unit* is
what ends up tied. Units that occur at the same places form a *group*, whose width can be chosen freely.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from compressor.graph.channel_graph import ChannelGraph, Group
from compressor.graph.rules import (
    RECURRENT,
    ChannelAxis,
    ChannelIds,
    Count,
    Frozen,
    FrozenLayer,
    Outputs,
    Recorder,
    Rule,
    in_words,
    joined,
    load_rules,
    rule_of,
)
from compressor.graph.topology import Call, TensorKey, Topology, read_topology
from profiler.errors import UsageError


def build_graph(model: Any, fixed: Collection[str] = ()) -> ChannelGraph:
    """Find the groups of channels of a Sequential or Functional Keras 3 model.

    Layers without a rule are frozen whole: nothing that flows into or out of them changes width. The model's
    own inputs and outputs never do. A layer that is used twice has the same channels both times. What the layers `fixed`
    make keeps its width.

    Raises
    ------
    UsageError
        The model is subclassed or was never built.
    """
    load_rules()
    return _Builder(read_topology(model)).build(fixed)


class _Builder(Recorder):
    """Walks a topology once, with the rules writing into it."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.topology = topology
        self.channels: dict[TensorKey, ChannelIds] = {}

    def build(self, fixed: Collection[str]) -> ChannelGraph:
        for call in self.topology.calls:
            self._visit(call)
        for key in self.topology.outputs:
            self.freeze(self._of(key))
        for key, channels in self.channels.items():
            if key.layer in fixed:
                self.freeze(channels)
        roots = self.roots()
        groups, units = find_groups(self.axes, self.counts, roots, self.stays(roots))
        for layer in self.reported(roots):
            self.frozen.setdefault(layer.layer, layer)
        frozen = [self.frozen[name] for name in self.topology.layers if name in self.frozen]
        return ChannelGraph(self, roots, groups, units, frozen, self.topology.layers, self.channels)

    def _visit(self, call: Call) -> None:
        if call.kind == "InputLayer" and not call.inputs:
            self._leave_alone(TensorKey(call.name, call.index))
            return
        records: tuple[list[Any], ...] = (
            self.axes, self.counts, self.rescales, self.statistics_over, self.stay_by_layer,
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
        known = rule_of(call.kind) is not None and not call.weights
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


def find_groups(
    axes: Sequence[ChannelAxis], counts: Sequence[Count], roots: ChannelIds, stays: NDArray[np.bool_]
) -> tuple[list[Group], list[ChannelIds]]:
    """Units that occur equally often at every place form a group; those that nothing counts are not removable.

    `roots` gives each channel its unit (`tied`), `stays` says which units must stay. The groups in the order of their first
    units, and the units of each.
    """
    everywhere = [*(axis.channels for axis in axes), *(count.channels for count in counts)]
    places = np.repeat(np.arange(len(everywhere)), [channels.size for channels in everywhere])
    ones = np.ones(len(places), dtype=np.int64)
    # How often each unit [row] occurs at each place [column].
    times = coo_array(
        (ones, (roots[joined(everywhere)], places)), shape=(len(roots), len(everywhere))
    ).tocsr()
    times.sum_duplicates()
    rows = [slice(*ends) for ends in pairwise(times.indptr.tolist())]
    members: dict[tuple[bytes, bytes], list[int]] = {}
    for root in np.setdiff1d(roots, roots[stays]).tolist():
        found = rows[root]
        members.setdefault((times.indices[found].tobytes(), times.data[found].tobytes()), []).append(root)
    groups, units_of = [], []
    names: dict[str, int] = {}
    for units in members.values():
        found_at = times.indices[rows[units[0]]].tolist()
        making = [counts[place - len(axes)] for place in found_at if place >= len(axes)]
        if not making:
            continue
        name = making[0].layer + (f".{making[0].label}" if making[0].label else "")
        names[name] = names.get(name, 0) + 1
        name = name if names[name] == 1 else f"{name}#{names[name]}"
        touched = dict.fromkeys(axes[place].layer for place in found_at if place < len(axes))
        groups.append(Group(name, len(units), tuple(dict.fromkeys(c.layer for c in making)), tuple(touched)))
        units_of.append(np.array(units, dtype=np.int64))
    return groups, units_of
