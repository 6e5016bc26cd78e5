"""Parallel branches: one of several that a concatenation joins goes, with what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange, settings_of
from compressor.graph import (
    Call,
    Change,
    ChannelGraph,
    Editing,
    TensorKey,
    build_graph,
    inherited,
    prefix_of,
    recount,
    silenced,
)

_JOINS = ("Concatenate", "ops.Concatenate")


@dataclass(frozen=True)
class ParallelBranch(Change):
    """Layers that lead to a concatenation (`join`, of `joined` tensors) and nowhere else; `result` is the last of them.

    `readers` are the layers whose weights read its channels: where one of them goes as a block, what the block read takes the place
    of what it made, and the branch's channels are no longer its own.
    """

    id: str
    layers: tuple[str, ...]
    join: str
    joined: int
    result: str
    signature: str
    readers: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """See `Change.words`."""
        return f"the branch of {self.layers[0]} removed ({len(self.layers)} layers)"

    @property
    def removes(self) -> bool:
        """See `Change.removes`."""
        return True

    @property
    def strength(self) -> int:
        """See `Change.strength`: more than of a block of the same layers."""
        return 1

    @property
    def limit(self) -> tuple[str, int] | None:
        """See `Change.limit`: something must be left to join."""
        return self.join, self.joined - 1

    def is_excluded_by(self, other: Change) -> bool:
        """See `Change.is_excluded_by`; another branch that goes passes on nothing that it reads."""
        takes = other.removes and not isinstance(other, ParallelBranch)
        return takes and not set(self.readers).isdisjoint(other.layers)

    def apply(self, model: Any) -> Any:
        """See `Change.apply`: whatever reads the concatenation loses the branch's channels."""
        graph = build_graph(model)
        stays = ~self._goes(graph)
        editing, prefix = Editing(model), prefix_of(self.join)
        start = len(prefix)
        recount(editing.config, graph, lambda count: int(stays[count.channels].sum()))
        joined = editing.entry(self.join)["inbound_nodes"][0]["args"][0]
        read = [tensor["config"]["keras_history"][0] for tensor in joined]
        del joined[read.index(self.result[start:])]
        gone, instead = {layer[start:] for layer in self.layers}, {}
        if len(joined) == 1:
            instead[self.join[start:]] = (self.join[start:], 0)
            gone.add(self.join[start:])
        editing.pass_on(prefix, instead, gone)
        return editing.made(inherited(graph, stays))

    def twin(self, model: Any) -> Callable[[Any], Any]:
        """The network in which nothing reads the branch's channels."""
        graph = build_graph(model)
        found = silenced(model, graph, ~self._goes(graph))
        return lambda rows: found(rows, training=False)

    def _goes(self, graph: ChannelGraph) -> NDArray[np.bool_]:
        """For each channel whether it goes."""
        return np.isin(graph.roots, graph.roots[graph.tensors[TensorKey(self.result)]])


class ParallelBranches(Dimension):
    """Branches whose channels nothing but weights behind the concatenation reads."""

    name: ClassVar[str] = "branch"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found: list[Change] = []
        refused: list[RefusedChange] = []
        readers: dict[tuple[str, int], list[Call]] = {}
        for call in network.topology.calls:
            for key in dict.fromkeys(call.inputs):
                readers.setdefault((key.layer, key.call), []).append(call)
        for call in network.topology.calls:
            if call.kind not in _JOINS or len(call.inputs) < 2:
                continue
            for key in dict.fromkeys(call.inputs):
                branch = _Branch(network, call, key, readers)
                if not any(one.weights for one in branch.calls):
                    continue
                first = next(one.name for one in branch.calls if one.weights)
                if branch.reason:
                    refused.append(self.refuse(first, branch.reason))
                    continue
                layers, joined = tuple(one.name for one in branch.calls), len(call.inputs)
                signature = repr(
                    [(one.kind, settings_of(one.config), one.input_shapes) for one in (*branch.calls, call)]
                )
                found.append(
                    ParallelBranch(
                        f"{first}:branch", layers, call.name, joined, key.layer, signature, branch.outer
                    )
                )
        return found, refused


class _Branch:
    """What leads to one place of a concatenation and nowhere else."""

    def __init__(
        self,
        network: ExaminedNetwork,
        join: Call,
        end: TensorKey,
        readers: Mapping[tuple[str, int], list[Call]],
    ) -> None:
        self._network, self._join, self._end, self._readers = network, join, end, readers
        self._outputs = {(key.layer, key.call) for key in network.topology.outputs}

    @cached_property
    def calls(self) -> list[Call]:
        """In the order of the network."""
        inside: dict[tuple[str, int], Call] = {}
        for call in reversed(self._network.topology.calls):
            made = call.name, call.index
            behind = {(one.name, one.index) for one in self._readers.get(made, ())}
            if made == (self._end.layer, self._end.call):
                own = behind == {(self._join.name, self._join.index)}
            else:
                own = bool(behind) and behind <= inside.keys()
            if own and made not in self._outputs and call.kind != "InputLayer":
                inside[made] = call
        return list(reversed(inside.values()))

    @cached_property
    def reason(self) -> str:
        """Why it cannot go; empty where it can."""
        join, graph, calls = self._join, self._network.graph, self.calls
        names = [call.name for call in self._network.topology.calls]
        if any(names.count(one.name) > 1 for one in (*calls, join)):
            return "one of its layers is used elsewhere, too"
        if len({prefix_of(one.name) for one in (*calls, join)}) > 1:
            return "it reaches into a model inside the model"
        if join.inputs.count(self._end) > 1:
            return "it is joined more than once"
        rank = len(join.output_shapes.get(0, ()))
        axis = join.config.get("axis", -1)
        if axis not in (-1, rank - 1) or self._end not in graph.tensors:
            return "it is not joined along the channels"
        if any(not call.inputs or call.kind == "InputLayer" for call in calls):
            return "it is an input of its own"
        own = graph.roots[graph.tensors[self._end]]
        if (graph.positions(graph.tensors[self._end]) < 0).any():
            return "its channels always stay"
        others = [graph.roots[graph.tensors[key]] for key in join.inputs if key != self._end]
        layers = {call.name for call in calls}
        outside = [
            count.channels for count in graph.counts if count.layer not in layers and not _sums(count.key)
        ]
        outside += [axis.channels for axis in graph.axes if axis.layer not in layers and axis.role == "out"]
        if any(np.isin(own, graph.roots[channels]).any() for channels in outside) or any(
            np.isin(own, one).any() for one in others
        ):
            return "its channels are tied to those of layers outside"
        return ""

    @cached_property
    def outer(self) -> tuple[str, ...]:
        """The layers behind the concatenation whose weights read its channels."""
        graph = self._network.graph
        own, inner = graph.roots[graph.tensors[self._end]], {call.name for call in self.calls}
        return tuple(
            dict.fromkeys(
                axis.layer
                for axis in graph.axes
                if axis.role == "in"
                and axis.layer not in inner
                and np.isin(own, graph.roots[axis.channels]).any()
            )
        )


def _sums(key: str) -> bool:
    """Whether a count only says how wide something is that is made elsewhere."""
    return key in ("target_shape", "newshape", "shape", "batch_shape")
