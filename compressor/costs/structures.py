"""The network without some of its blocks: its graph and its lowering, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compressor.costs.configuration import Configuration
from compressor.costs.lowering import (
    Convert,
    ConvertingLowering,
    LearnedLowering,
    LoweringError,
    learn_lowering,
)
from compressor.graph import Block, ChannelGraph, build_graph, without
from profiler.network import Network

Lowering = LearnedLowering | ConvertingLowering


@dataclass(frozen=True)
class Structure:
    """The network without some blocks, as a model of its own, and what any widths of it become.

    `reason` says why every candidate is converted, where it is.
    """

    model: Any
    graph: ChannelGraph
    lowering: Lowering
    reason: str = ""


class Structures:
    """All structures that a network can take by losing blocks, by `Configuration.removed`.

    Parameters
    ----------
    model, graph
        The network as it is.
    blocks
        What can go, by id.
    convert
        From a Keras model to the network in the file that it becomes.
    base
        `convert(model)`, where it is at hand.
    """

    def __init__(
        self,
        model: Any,
        graph: ChannelGraph,
        blocks: Mapping[str, Block],
        convert: Convert,
        base: Network | None = None,
        seed: int = 0,
    ) -> None:
        self.blocks = dict(blocks)
        self._convert, self._seed = convert, seed
        self._known = {frozenset[str](): self._made(model, graph, base)}

    @property
    def full(self) -> Structure:
        """The network as it is."""
        return self._known[frozenset()]

    def of(self, configuration: Configuration) -> Structure:
        """The structure of a configuration; a block that the network has not is a `KeyError`."""
        found = self._known.get(configuration.removed)
        if found is None:
            model = self.model_without(configuration)
            found = self._known[configuration.removed] = self._made(model, build_graph(model), None)
        return found

    def model_without(self, configuration: Configuration) -> Any:
        """A model of one's own at full widths without the configuration's blocks."""
        return without(self.full.model, [self.blocks[name] for name in sorted(configuration.removed)])

    def _made(self, model: Any, graph: ChannelGraph, base: Network | None) -> Structure:
        try:
            return Structure(model, graph, learn_lowering(model, graph, self._convert, base, self._seed))
        except LoweringError as reason:
            return Structure(model, graph, ConvertingLowering(model, graph, self._convert), str(reason))
