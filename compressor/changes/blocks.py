"""Whole blocks, as the graph room finds them."""

from __future__ import annotations

from typing import ClassVar

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange
from compressor.graph import Change, find_blocks


class WholeBlocks(Dimension):
    """Branches beside a shortcut, and layers in a row whose input and output agree (`compressor.graph.find_blocks`)."""

    name: ClassVar[str] = "block"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found = find_blocks(network.model)
        changes: list[Change] = list(found.removable.values())
        return changes, [self.refuse(one.layer, one.reason) for one in found.refused]
