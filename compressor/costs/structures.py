"""The network without some of its blocks, or changed in other ways: its graph and its lowering, each made when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from compressor.changes import changed
from compressor.costs.configuration import Configuration
from compressor.costs.lowering import (
    Convert,
    ConvertingLowering,
    LearnedLowering,
    LoweringError,
    learn_lowering,
)
from compressor.graph import Change, ChannelGraph, build_graph
from profiler.network import Network

Lowering = LearnedLowering | ConvertingLowering


class Structure:
    """The network without some blocks, as a model of its own, and what any widths of it become.

    At full widths it takes one conversion; its lowering, two more, is learned when other widths are asked for.
    """

    def __init__(
        self, model: Any, graph: ChannelGraph, convert: Convert, base: Network | None, seed: int
    ) -> None:
        self.model, self.graph = model, graph
        self._convert, self._seed = convert, seed
        self._base = base
        self.reason = ""
        """Why every candidate is converted, where it is."""

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network at these widths."""
        if any(configuration.widths[name] != width for name, width in self.graph.widths.items()):
            return self.lowering.network(configuration)
        if self._base is None:
            self._base = self._convert(self.model)
        return self._base

    @cached_property
    def lowering(self) -> Lowering:
        """What any widths become: learned, else by converting."""
        try:
            return learn_lowering(self.model, self.graph, self._convert, self._base, self._seed)
        except LoweringError as reason:
            self.reason = str(reason)
            return ConvertingLowering(self.model, self.graph, self._convert)


class Structures:
    """All structures that a network can take by losing blocks, by `Configuration.removed`.

    Parameters
    ----------
    model, graph
        The network as it is.
    blocks
        What can go besides channels, by id (`compressor.changes`).
    convert
        From a Keras model to the network in the file that it becomes.
    base
        `convert(model)`, where it is at hand.
    """

    def __init__(
        self,
        model: Any,
        graph: ChannelGraph,
        blocks: Mapping[str, Change],
        convert: Convert,
        base: Network | None = None,
        seed: int = 0,
    ) -> None:
        self.blocks = dict(blocks)
        self._convert, self._seed = convert, seed
        self._known = {frozenset[str](): Structure(model, graph, convert, base, seed)}

    @property
    def full(self) -> Structure:
        """The network as it is."""
        return self._known[frozenset()]

    def of(self, configuration: Configuration) -> Structure:
        """The structure of a configuration; a block that the network has not is a `KeyError`."""
        found = self._known.get(configuration.removed)
        if found is None:
            model = self.model_without(configuration)
            fixed = {layer for name in configuration.removed for layer in self.blocks[name].fixed}
            found = Structure(model, build_graph(model, fixed), self._convert, None, self._seed)
            self._known[configuration.removed] = found
        return found

    def model_without(self, configuration: Configuration) -> Any:
        """A model of one's own at full widths without what the configuration takes out."""
        gone = {name: self.blocks[name] for name in configuration.removed}
        return changed(self.full.model, [gone[name] for name in self.blocks if name in gone])
