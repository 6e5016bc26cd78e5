"""One network that stands for all configurations of another: channels and blocks are switched off by numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.graph import (
    ChannelGraph,
    Keep,
    RemovableBlock,
    along,
    inside,
    layers_of,
    normalise_masked,
    weight_names,
    without,
)
from compressor.training.model_io import run, without_dropout


class Supernet:
    """A copy of a model that computes what any configuration of it would, and is traced once for all of them.

    Channels that are switched off are read by no weight; a block that is switched off passes on what it reads. Both are
    numbers beside the rows, so that no network is made anew.

    Parameters
    ----------
    model, graph, blocks
        The network, which is not touched, its groups and what can be removed of it.
    """

    def __init__(self, model: Any, graph: ChannelGraph, blocks: Mapping[str, RemovableBlock]) -> None:
        self._graph, self._blocks = graph, dict(blocks)
        self.model = without_dropout(without(model, ()))
        self._masks: Any = None
        self._gates: Any = None
        self._switch_blocks()
        layers = dict(layers_of(self.model))
        for item in graph.statistics:
            normalise_masked(
                inside(layers[item.layer], item.path), partial(self._counted, graph.positions(item.channels))
            )
        self._read: dict[tuple[str, str], tuple[Any, list[tuple[int, NDArray[np.int64]]]]] = {}
        for axis in graph.readers:
            layer = layers[axis.layer]
            variable = layer.weights[weight_names(layer).index(axis.variable)]
            entry = self._read.setdefault((axis.layer, axis.variable), (variable, []))
            entry[1].append((axis.axis, graph.positions(axis.channels)))

    def switches(self, keep: Keep, removed: Iterable[str] = ()) -> tuple[NDArray[Any], NDArray[Any]]:
        """What to call the network with: 1 for each channel [channels] and each block [blocks] that stays."""
        masks = [
            np.isin(np.arange(group.width), list(keep.get(name, range(group.width))))
            for name, group in self._graph.groups.items()
        ]
        gone = set(removed)
        gates = [name not in gone for name in self._blocks]
        return np.concatenate([np.zeros(0), *masks]).astype(np.float32), np.array(gates, dtype=np.float32)

    def __call__(self, rows: Any, masks: Any, gates: Any, training: bool = True) -> Any:
        """Outputs for rows; with `training` normalisations use the statistics of the batch, and remember none."""
        import keras
        import tensorflow as tf

        self._masks, self._gates = tf.pad(masks, [[0, 1]], constant_values=1.0), gates
        try:
            with keras.StatelessScope(state_mapping=list(self._read_weights())):
                return run(self.model, rows, training=training)
        finally:
            self._masks = self._gates = None

    @contextlib.contextmanager
    def with_weights(self, weights: Mapping[tuple[str, str], NDArray[Any]]) -> Iterator[None]:
        """Compute with these weights, by layer and variable, in place of one's own."""
        layers = dict(layers_of(self.model))
        own = {}
        try:
            for (name, variable), value in weights.items():
                weight = layers[name].weights[weight_names(layers[name]).index(variable)]
                own[name, variable] = weight, np.array(weight)
                weight.assign(value)
            yield
        finally:
            for weight, value in own.values():
                weight.assign(value)

    def _read_weights(self) -> Iterator[tuple[Any, Any]]:
        """Each variable that reads channels, with zeros where they are switched off."""
        import tensorflow as tf

        for variable, axes in self._read.values():
            value = tf.convert_to_tensor(variable.value)
            for axis, numbers in axes:
                shape = along(numbers, axis, len(value.shape)).shape
                value = value * tf.reshape(tf.cast(self._of(numbers), value.dtype), shape)
            yield variable, value

    def _of(self, numbers: NDArray[np.int64]) -> Any:
        """The masks of these channels; those that always stay (-1) have 1."""
        import tensorflow as tf

        return tf.gather(self._masks, np.where(numbers < 0, self._masks.shape[0] - 1, numbers))

    def _counted(self, numbers: NDArray[np.int64], inputs: Any) -> Any:
        """The masks of these channels [1, numbers]; None where nothing is switched."""
        return None if self._masks is None else self._of(numbers)[None]

    def _switch_blocks(self) -> None:
        """Let the layer that ends a block pass on what its reader reads, where the block is switched off."""
        import keras
        import tensorflow as tf

        operations = dict(_operations(self.model, ""))
        found: dict[str, Any] = {}

        def reading(operation: Any, wanted: Sequence[tuple[str, int]]) -> None:
            plain = operation.call

            def call(*values: Any, **options: Any) -> Any:
                tensors = [t for t in keras.tree.flatten((values, options)) if tf.is_tensor(t)]
                found.update({name: tensors[operand] for name, operand in wanted})
                return plain(*values, **options)

            operation.call = call

        def ending(operation: Any, wanted: Sequence[tuple[int, str]]) -> None:
            plain = operation.call

            def call(*values: Any, **options: Any) -> Any:
                result = plain(*values, **options)
                for position, name in wanted:
                    if self._gates is not None:
                        result = tf.where(self._gates[position] > 0, result, found[name])
                return result

            operation.call = call

        readers: dict[str, list[tuple[str, int]]] = {}
        results: dict[str, list[tuple[int, str]]] = {}
        for position, (name, block) in enumerate(self._blocks.items()):
            readers.setdefault(block.reader, []).append((name, block.operand))
            results.setdefault(block.result, []).append((position, name))
        for address, ends in results.items():
            ending(operations[address], ends)
        for address, reads in readers.items():
            reading(operations[address], reads)


def _operations(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every layer and operation of a model by its address."""
    for operation in getattr(model, "operations", None) or model.layers:
        address = f"{prefix}{operation.name}"
        yield address, operation
        if hasattr(operation, "layers"):
            yield from _operations(operation, f"{address}/")
