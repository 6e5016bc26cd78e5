"""Whole blocks, as the graph room finds them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange
from compressor.graph import Change, RemovableBlock, TensorKey, find_blocks


class WholeBlocks(Dimension):
    """Branches beside a shortcut, and layers in a row whose input and output agree (`compressor.graph.find_blocks`)."""

    name: ClassVar[str] = "block"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found = find_blocks(network.model)
        refused = [self.refuse(one.layer, one.reason) for one in found.refused]
        changes: list[Change] = []
        for block in found.removable.values():
            if _splits_groups(network, block):
                refused.append(self.refuse(block.id, "what it reads would tie parts of a group of channels"))
            else:
                changes.append(block)
        return changes, refused


def _splits_groups(network: ExaminedNetwork, block: RemovableBlock) -> bool:
    """Whether what the block reads, in the place of what it makes, would tie parts of groups that layers before it make."""
    graph = network.graph
    (reader,) = (call for call in network.topology.calls if call.name == block.reader)
    read, made = (graph.tensors.get(key) for key in (reader.inputs[block.operand], TensorKey(block.result)))
    if read is None or made is None or np.array_equal(graph.positions(read), graph.positions(made)):
        return False
    taken, given = (graph.form(channels) for channels in (made, read))
    if not taken.times or not given.times:
        return False  # what always stays, or then does
    if all(len(form.times) == 1 and not form.constant for form in (taken, given)):
        return graph.widths[taken.times[0][0]] != graph.widths[given.times[0][0]]
    # A group is named by its first layer, and counted by its width: those that are read must keep both.
    order = {call.name: place for place, call in enumerate(network.topology.calls)}
    makers = [[order.get(layer, -1) for layer in graph.groups[name].producers] for name, _ in given.times]
    others = {layer for name, _ in taken.times for layer in graph.groups[name].producers} - set(block.layers)
    return bool(taken.constant) or any(order.get(layer, -1) < max(map(min, makers)) for layer in others)
