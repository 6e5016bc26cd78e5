"""Layers that can go as a whole: what reads their result then reads what they read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compressor.graph.change import Change
from compressor.graph.editing import Editing, prefix_of
from compressor.graph.rules import FrozenLayer, rule_of
from compressor.graph.topology import Call, TensorKey, Topology, read_topology

_ADDITIONS = ("Add", "ops.Add")
_NORMALISATIONS = ("BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization")
_FOLLOWERS = (
    *_NORMALISATIONS,
    "Activation",
    "Dropout",
    "ELU",
    "LeakyReLU",
    "ReLU",
    "SpatialDropout1D",
    "SpatialDropout2D",
)
"""What belongs to the layer before it where nothing else reads that."""


@dataclass(frozen=True)
class RemovableBlock(Change):
    """Layers whose result has the shape of what they read.

    Attributes
    ----------
    id
        Address of the first of them with weights.
    layers
        Addresses, in the order of the network.
    reader, operand
        What takes their place: what this layer of the block reads, counted from 0 among its tensors.
    branch
        Whether it is the branch beside a shortcut; else layers in a row.
    signature
        Equal for blocks of the same layers, settings and shapes: what one of them takes, the others take too.
    """

    id: str
    layers: tuple[str, ...]
    reader: str
    operand: int
    branch: bool
    signature: str = ""

    @property
    def result(self) -> str:
        """The layer whose result is the block's."""
        return self.layers[-1]

    @property
    def removes(self) -> bool:
        """See `Change.removes`."""
        return True

    @property
    def words(self) -> str:
        """See `Change.words`."""
        count = len(self.layers)
        return f"{self.id} removed" + (f" ({count} layers)" if count > 1 else "")

    def apply(self, model: Any) -> Any:
        """See `Change.apply`."""
        return without(model, [self])

    def twin(self, model: Any) -> Callable[[Any], Any]:
        """The network made by Keras' own cloning, in which the block's last layer gives what the block reads."""
        import keras

        read: list[Any] = []

        def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
            if layer.name == self.reader:
                read.append(keras.tree.flatten((arguments, keywords))[self.operand])
            return read[-1] if layer.name == self.result else layer(*arguments, **keywords)

        sources = model.inputs if len(model.inputs) > 1 else model.inputs[0]
        functional = keras.Model(sources, model.outputs)
        found = keras.models.clone_model(functional, call_function=call, clone_function=lambda layer: layer)
        return lambda rows: found(rows, training=False)


@dataclass(frozen=True)
class FoundBlocks:
    """What can go, by id in the order of the network; and additions and layers that looked like it, with the reason."""

    removable: Mapping[str, RemovableBlock]
    refused: tuple[FrozenLayer, ...]


def find_blocks(model: Any) -> FoundBlocks:
    """Find in the graph of a Sequential or Functional model the blocks that can be removed one by one, and together.

    Branches beside a shortcut (residual blocks, the two halves of a transformer block), the longer of two branches that are
    added (a residual block whose shortcut has a convolution), and layers in a row whose input and output agree in shape, each
    with the normalisation and activation behind it.

    Raises
    ------
    UsageError
        The model is subclassed or was never built.
    """
    return _Finder(read_topology(model)).find()


def without(model: Any, blocks: Iterable[RemovableBlock]) -> Any:
    """A new model in which these blocks pass on what they read; the other layers keep their weights.

    Raises
    ------
    UsageError
        A layer of a block is not in the model, or Keras cannot rebuild it.
    """
    blocks, editing = tuple(blocks), Editing(model)
    for prefix in dict.fromkeys(prefix_of(block.id) for block in blocks):
        some, start = [block for block in blocks if prefix_of(block.id) == prefix], len(prefix)
        instead = {block.result[start:]: (block.reader[start:], block.operand) for block in some}
        editing.pass_on(prefix, instead, {layer[start:] for block in some for layer in block.layers})
    return editing.made()


class _Finder:
    """Looks at each addition and each layer once."""

    def __init__(self, topology: Topology) -> None:
        self._calls = topology.calls
        self._shapes = topology.shapes
        self._uses = Counter(call.name for call in topology.calls)
        self._maker = {(call.name, call.index): call for call in topology.calls}
        self._order = {call.name: position for position, call in enumerate(topology.calls)}
        self._readers: dict[tuple[str, int], list[Call]] = defaultdict(list)
        for call in topology.calls:
            for key in call.inputs:
                self._readers[key.layer, key.call].append(call)
        self._outputs = {(key.layer, key.call) for key in topology.outputs}
        # What an inner model puts out is written in that model's own configuration, too.
        self._outputs |= {
            made
            for made, readers in self._readers.items()
            if any(not reader.name.startswith(prefix_of(made[0])) for reader in readers)
        }
        self._refused: list[FrozenLayer] = []

    def find(self) -> FoundBlocks:
        found = []
        for call in self._calls:
            made = self._branch(call) if call.kind in _ADDITIONS else self._row(call)
            if made is not None:
                found.append(made)
        found.sort(key=lambda block: (self._order[block.id], -len(block.layers)))
        removable: dict[str, RemovableBlock] = {}
        for block in found:
            # A branch of which every layer stands in a row is named by its first layer, as that row is.
            name = block.id if block.id not in removable else f"{block.id}#{block.result}"
            removable[name] = block
        return FoundBlocks(removable, tuple(self._refused))

    def _refuse(self, call: Call, reason: str) -> None:
        self._refused.append(FrozenLayer(call.name, reason))

    def _branch(self, call: Call) -> RemovableBlock | None:
        """The block that ends in an addition."""
        if len(call.inputs) != 2 or len(set(call.inputs)) != 2:
            return None
        for operand, shortcut in enumerate(call.inputs):
            layers = self._between(shortcut, call.inputs[1 - operand])
            if layers is None:
                continue
            if self._shapes.get(shortcut) != call.output_shapes.get(0):
                self._refuse(call, "its shortcut has another shape")
                return None
            return self._block(call, [*layers, call, *self._again(shortcut, call)], call, operand, True)
        return self._longer(call)

    def _longer(self, call: Call) -> RemovableBlock | None:
        """Of two branches that are added and both have layers of their own, the one with more weights; ties: the second."""
        every = [self._behind(key) for key in call.inputs]
        own = [[one for made, one in every[side].items() if made not in every[1 - side]] for side in (0, 1)]
        weights = [sum(bool(one.weights) for one in layers) for layers in own]
        side = int(weights[1] >= weights[0])
        layers, shortcut, end = own[side], call.inputs[1 - side], call.inputs[side]
        inside = {(one.name, one.index) for one in layers}
        if any(not one.inputs or one.kind == "InputLayer" for one in layers):
            self._refuse(call, "its longer branch begins at an input of its own")
        elif any(
            {(reader.name, reader.index) for reader in self._readers[made]} - inside
            for made in inside - {(end.layer, end.call)}
        ) or len(self._readers[end.layer, end.call]) > 1:  # fmt: skip
            self._refuse(call, "its longer branch is read elsewhere, too")
        elif self._shapes.get(shortcut) != call.output_shapes.get(0):
            self._refuse(call, "its shorter branch has another shape")
        else:
            return self._block(call, [*layers, call, *self._again(shortcut, call)], call, 1 - side, True)
        return None

    def _behind(self, end: TensorKey) -> dict[tuple[str, int], Call]:
        """The calls that a tensor comes from, its own among them."""
        found: dict[tuple[str, int], Call] = {}
        waiting = [end]
        while waiting:
            key = waiting.pop()
            if (key.layer, key.call) not in found:
                found[key.layer, key.call] = call = self._maker[key.layer, key.call]
                waiting += call.inputs
        return found

    def _between(self, source: TensorKey, end: TensorKey) -> list[Call] | None:
        """The calls that lead from one tensor to another and nowhere else; None where others come in or go out."""
        found: dict[tuple[str, int], Call] = {}
        waiting = [end]
        while waiting:
            key = waiting.pop()
            if key == source or (key.layer, key.call) in found:
                continue
            call = self._maker[key.layer, key.call]
            if not call.inputs or call.kind == "InputLayer":
                return None
            found[key.layer, key.call] = call
            waiting += call.inputs
        inside = set(found)
        for made in found:
            outer = [r for r in self._readers[made] if (r.name, r.index) not in inside]
            if (made == (end.layer, end.call)) != (len(outer) == 1) or len(outer) > 1:
                return None
        return list(found.values())

    def _again(self, shortcut: TensorKey, call: Call) -> list[Call]:
        """The activation behind an addition, where what the shortcut brings went through the same."""
        before = self._maker[shortcut.layer, shortcut.call]
        readers = self._readers[call.name, call.index]
        if len(readers) != 1 or (call.name, call.index) in self._outputs:
            return []
        same = readers[0].kind == before.kind and _settings(readers[0]) == _settings(before)
        return readers if same and _is_rectifier(before) else []

    def _row(self, call: Call) -> RemovableBlock | None:
        """A layer with weights that gives what has the shape of what it reads, and what belongs to it."""
        if not call.weights or call.kind in _NORMALISATIONS or rule_of(call.kind) is None:
            return None
        shape = self._shapes.get(call.inputs[0]) if len(call.inputs) == 1 else None
        if shape is None or dict(call.output_shapes) != {0: shape}:
            return None
        row = [call]
        while (row[-1].name, row[-1].index) not in self._outputs:
            readers = self._readers[row[-1].name, row[-1].index]
            if len(readers) != 1 or readers[0].kind not in _FOLLOWERS or len(readers[0].inputs) != 1:
                break
            row.append(readers[0])
        return self._block(call, row, call, 0, False)

    def _block(
        self, call: Call, calls: Sequence[Call], reader: Call, operand: int, branch: bool
    ) -> RemovableBlock | None:
        calls = sorted(calls, key=lambda one: self._order[one.name])
        if any(self._uses[one.name] > 1 for one in calls):
            self._refuse(call, "a layer of its is used elsewhere too")
            return None
        if len({prefix_of(one.name) for one in calls}) > 1:
            self._refuse(call, "it reaches into a model inside the model")
            return None
        if any((one.name, one.index) in self._outputs for one in calls):
            self._refuse(call, "what it makes is an output")
            return None
        first = next((one.name for one in calls if one.weights), None)
        if first is None:
            return None
        signature = repr([(one.kind, _settings(one), one.input_shapes) for one in calls])
        return RemovableBlock(
            first, tuple(one.name for one in calls), reader.name, operand, branch, signature
        )


def _settings(call: Call) -> dict[str, Any]:
    return {key: value for key, value in call.config.items() if key not in ("name", "dtype", "trainable")}


def _is_rectifier(call: Call) -> bool:
    """Whether doing it twice is the same as once."""
    if call.kind == "ReLU":
        return not call.config.get("negative_slope") and not call.config.get("threshold")
    return call.kind == "Activation" and call.config.get("activation") in ("relu", "relu6")
