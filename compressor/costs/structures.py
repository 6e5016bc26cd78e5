"""The network without some of its blocks, or changed in other ways: its graph and its lowering, each made when first asked for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from compressor.changes import changed, in_effect
from compressor.costs.configuration import Configuration
from compressor.costs.lowering import (
    Convert,
    ConvertingLowering,
    LearnedLowering,
    LoweringError,
    learn_lowering,
)
from compressor.costs.naming import name_of, names_of, ranks_of
from compressor.graph import Call, Change, ChannelGraph, RemovableBlock, Widths, build_graph, read_topology
from profiler.errors import UsageError
from profiler.network import Layer, Network

_MOST_MODELS = 4
"""So many Keras models are kept beside the whole one; others are made again when they are asked for."""

Lowering = LearnedLowering | ConvertingLowering


class Structure:
    """The network without some blocks, as a model of its own, and what any widths of it become.

    The model is made when it is asked for, again where it was forgotten. At full widths its network takes one conversion; its
    lowering, two more, is learned when other widths are asked for.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        convert: Convert,
        seed: int,
        fixed: Collection[str] = (),
        whole: Widths | None = None,
    ) -> None:
        self._make, self._convert, self._seed, self._fixed = make, convert, seed, fixed
        self._whole = whole
        self.reason = ""
        """Why every candidate is converted, where it is."""

    @cached_property
    def model(self) -> Any:
        """At full widths, with the original's weights."""
        return self._make()

    def forget_model(self) -> None:
        """Keep the model no longer."""
        vars(self).pop("model", None)

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its groups; UsageError where they are none of the whole network's (`whole`), so that no width is theirs."""
        graph = build_graph(self.model, self._fixed)
        for name, width in graph.widths.items():
            if self._whole is not None and self._whole.get(name) != width:
                raise UsageError(f"What is removed together ties parts of groups of channels: see {name!r}.")
        return graph

    @cached_property
    def base(self) -> Network:
        """The converted network at full widths."""
        return self._convert(self.model)

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network at these widths."""
        return self.base if self.is_full(configuration) else self.lowering.network(configuration)

    def is_full(self, configuration: Configuration) -> bool:
        """Whether these are its full widths."""
        return all(configuration.widths[name] == width for name, width in self.graph.widths.items())

    @cached_property
    def lowering(self) -> Lowering:
        """What any widths become: learned, else by converting."""
        try:
            return learn_lowering(self.model, self.graph, self._convert, self.base, self._seed)
        except LoweringError as reason:
            self.reason = str(reason)
            return ConvertingLowering(self.model, self.graph, self._convert)


class _Whole(Structure):
    """The network as it is, of which the model, its graph and perhaps what it becomes are at hand."""

    def __init__(
        self, model: Any, graph: ChannelGraph, convert: Convert, base: Network | None, seed: int
    ) -> None:
        super().__init__(lambda: model, convert, seed)
        self._graph, self._base = graph, base

    @cached_property
    def graph(self) -> ChannelGraph:
        return self._graph

    @cached_property
    def base(self) -> Network:
        return self._convert(self.model) if self._base is None else self._base


class Structures:
    """All structures that a network can take by losing blocks, by `Configuration.removed`.

    What a structure becomes is taken from what the whole network becomes: the operators of the blocks go, and what read
    their results reads what they read; layers of smaller kernels or lower rank stand for others. Of each kind of change
    and of layers that it concerns the first structure whose network is asked for is converted, to see that this is so; where it
    is not, or where the operators of a block cannot be told by their names, structures are converted.

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
        self.full: Structure = _Whole(model, graph, convert, base, seed)
        """The network as it is."""
        self._known: dict[frozenset[str], Structure] = {frozenset(): self.full}
        self._made: deque[frozenset[str]] = deque()
        self._cut: dict[frozenset[str], tuple[LearnedLowering, bool] | None] = {}
        self._holds: dict[frozenset[tuple[Any, ...]], bool] = {}

    def of(self, configuration: Configuration) -> Structure:
        """The structure of a configuration; a block that the network has not is a `KeyError`."""
        found = self._known.get(configuration.removed)
        if found is None:
            fixed = frozenset(layer for name in configuration.removed for layer in self.blocks[name].fixed)
            make = partial(self._remembered, configuration)
            found = Structure(make, self._convert, self._seed, fixed, self.full.graph.widths)
            self._known[configuration.removed] = found
        return found

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network of a configuration."""
        return self._lowering(configuration).network(configuration)

    def counted(self, configuration: Configuration) -> list[tuple[Layer, int]]:
        """The different layers to estimate times by, each with how many there are of it."""
        structure = self.of(configuration)
        if self._without(configuration) is None and structure.is_full(configuration):
            return list(Counter(structure.base.layers).items())  # two conversions less than for the lowering
        return self.estimating(configuration).counted(configuration)

    def estimating(self, configuration: Configuration) -> Lowering:
        """What to estimate times of a configuration's structure by: nothing is converted for it where that can be avoided."""
        cut = self._without(configuration)
        return self.of(configuration).lowering if cut is None else cut[0]

    def groups_in_place(self, configuration: Configuration) -> Mapping[str, str] | None:
        """By groups that a configuration's blocks take away, whose channels are read in their place; None for not known."""
        if not configuration.removed:
            return {}
        cut = self._without(configuration)
        return None if cut is None or not cut[1] else cut[0].same

    def _lowering(self, configuration: Configuration) -> Structure | LearnedLowering:
        cut = self._without(configuration)
        if cut is None or not cut[1]:
            return self.of(configuration)
        kinds = frozenset(kind for name in configuration.removed for kind in self._kinds(self.blocks[name]))
        if kinds not in self._holds:
            found = self.of(configuration).base
            self._holds[kinds] = Counter(cut[0].base.layers) == Counter(found.layers)
        return cut[0] if self._holds[kinds] else self.of(configuration)

    def model_without(self, configuration: Configuration) -> Any:
        """A model of one's own at full widths without what the configuration takes out."""
        gone = {name: self.blocks[name] for name in configuration.removed}
        return changed(self.full.model, [gone[name] for name in self.blocks if name in gone])

    def _remembered(self, configuration: Configuration) -> Any:
        """The model for a structure to keep, in place of the oldest of others where there are many."""
        made = self.model_without(configuration)
        self._made.append(configuration.removed)
        if len(self._made) > _MOST_MODELS:
            self._known[self._made.popleft()].forget_model()
        return made

    def _without(self, configuration: Configuration) -> tuple[LearnedLowering, bool] | None:
        """The whole network's lowering without the operators of the blocks, and whether the rest is a network.

        None where some block's operators are not known, or nothing is removed.
        """
        removed = configuration.removed
        if removed not in self._cut:
            gone = [change for name, change in self.blocks.items() if name in removed]
            blocks = [change for change in gone if isinstance(change, RemovableBlock)]
            others = [change for change in in_effect(gone) if not isinstance(change, RemovableBlock)]
            found = None
            if gone and isinstance(self.full.lowering, LearnedLowering):
                made = _instead(self.full.lowering, self._names, others)
                found = None if made is None else _cut_out(*made, blocks)
            self._cut[removed] = found
        return self._cut[removed]

    def _kinds(self, change: Change) -> Iterator[tuple[Any, ...]]:
        """What the converter may tell apart: the kind of change, and kinds and numbers of axes of its layers with weights."""
        yield (type(change),)
        for call in self._calls:
            if call.weights and call.name in change.layers:
                yield type(change), call.kind, *map(len, call.input_shapes)

    @cached_property
    def _calls(self) -> Sequence[Call]:
        return read_topology(self.full.model).calls

    @cached_property
    def _names(self) -> list[list[str]]:
        """Of each operator of the whole network the layers that it comes from, the first in the network's order first."""
        ranks = ranks_of([call.name for call in self._calls])
        return [[name_of(layer, ranks), *names_of(layer, ranks)] for layer in self.full.base.layers]


def _instead(
    whole: LearnedLowering, names: Sequence[Sequence[str]], changes: Iterable[Change]
) -> tuple[LearnedLowering, Sequence[Sequence[str]]] | None:
    """A lowering in which changed layers stand for others, and their names; None where that is not known of a change."""
    for change in changes:
        layers = whole.base.layers
        able = [i for i, found in enumerate(names) if found[0] in change.layers]
        made = {i: found for i in able if (found := change.in_file(layers[i])) is not None}
        if len(made) != 1:
            return None
        ((place, found),) = made.items()
        whole = whole.instead(place, change.in_file)
        names = [*names[:place], *[names[place]] * len(found), *names[place + 1 :]]
    return whole, names


def _cut_out(
    whole: LearnedLowering, names: Sequence[Sequence[str]], blocks: Iterable[RemovableBlock]
) -> tuple[LearnedLowering, bool] | None:
    """A lowering without the operators of blocks, and whether these read and make one tensor each, of one shape."""
    base = whole.base
    gone: set[int] = set()
    instead: dict[int, int] = {}
    same: dict[str, str] = {}
    joined = True
    for block in blocks:
        inside = set(block.layers)
        mine = {i for i, found in enumerate(names) if found[0] in inside}
        if not mine:
            return None
        mine -= gone
        edges = [base.edges[i] for i in sorted(mine)]
        made = {t for edge in edges for t in edge.outputs}
        read = {
            instead.get(t, t)
            for edge in edges
            for t in edge.inputs
            if t not in made and not base.tensors[t].constant
        }
        later = [edge for i, edge in enumerate(base.edges) if i not in gone | mine]
        results = {t for edge in later for t in edge.inputs if t in made}
        gone |= mine
        whole_ones = all(name in inside for i in mine for name in names[i])
        if mine and whole_ones and len(read) == len(results) == 1:
            (source,), (result,) = read, results
            alike = whole.groups_in_place(source, result)
            joined &= base.tensors[source] == base.tensors[result] and alike is not None
            same.update(alike or {})
            instead = {old: source if new == result else new for old, new in instead.items()}
            instead[result] = source
        elif mine:
            joined = False
    return whole.without(gone, instead, same), joined
