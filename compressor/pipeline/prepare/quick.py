"""What candidates lose before any training, in fractions of a second each: by it they are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compressor.changes import names_in_effect
from compressor.costs import Configuration
from compressor.data import row_count, take
from compressor.graph import Change, RemovableBlock, layers_of, weight_names
from compressor.training import Reconstruction, Supernet, run, strongest, without_dropout

if TYPE_CHECKING:
    from compressor.pipeline.prepare.preparation import Prepared

_ROWS, _BATCH = 512, 256
_SAME = 1e-3
_MOST_SOLVED = 8
"""Sets of blocks for which is remembered what readers of channels see without them: each may take many megabytes."""

_Weights = Mapping[tuple[str, str], NDArray[Any]]
"""By layer and variable."""


class QuickLoss:
    """The loss of a configuration with the original's weights on some validation rows, before any training.

    What is left is first solved again, as what a candidate starts from (`compressor.training.Reconstruction`). Normalisations
    use the statistics of the batch: those that they have are of the network as it is. One network, traced once, stands for all
    configurations; where it cannot (a layer that computes otherwise in it), each is made.
    """

    def __init__(self, prepared: Prepared, reconstructs: bool = True) -> None:
        self._prepared, self._reconstructs = prepared, reconstructs
        x, y = prepared.validation_rows
        rows = np.random.default_rng(0).permutation(row_count(x))[:_ROWS]
        size = min(_BATCH, len(rows))
        starts = range(0, len(rows) - size + 1, size)  # a batch of a few rows has statistics of its own
        self._batches = [
            (take(x, rows[start : start + size]), take(y, rows[start : start + size])) for start in starts
        ]
        self._seen: dict[frozenset[str], Reconstruction] = {}

    def __call__(self, configuration: Configuration) -> float:
        """The mean loss; NaN or infinity where the network gives that."""
        prepared = self._prepared
        blocks = prepared.structures.blocks
        left = [blocks[name] for name in names_in_effect(blocks, configuration.removed)]
        others = [change for change in left if not isinstance(change, RemovableBlock)]
        switched = configuration.without(configuration.removed & self._gates)
        same = prepared.structures.groups_in_place(switched)
        if same is None or not all(change.by_weights for change in others) or not self._stands_for_all:
            return self._made(configuration)
        keep = strongest(prepared.importance, configuration.widths)
        keep |= {name: keep[other] for name, other in same.items()}
        narrowed = any(
            len(keep.get(name, range(width))) < width for name, width in prepared.graph.widths.items()
        )
        weights = self._solved(switched.removed).weights(keep) if self._reconstructs and narrowed else {}
        with self.supernet.with_weights(self._changed(weights, others)):
            return self._loss(*self.supernet.switches(keep, switched.removed))

    def _changed(self, weights: _Weights, changes: Iterable[Change]) -> _Weights:
        """The weights, and those of layers that changes concern, as these make them."""
        found = dict(weights)
        for change in changes:
            for name in change.layers:
                layer = self._layers[name]
                for variable, value in zip(weight_names(layer), layer.get_weights(), strict=True):
                    key = (name, variable)
                    made = change.weight(name, variable, found.get(key, value))
                    if made is not value:
                        found[key] = made
        return found

    @cached_property
    def _layers(self) -> dict[str, Any]:
        return dict(layers_of(self._prepared.model))

    @cached_property
    def _gates(self) -> frozenset[str]:
        """The blocks, which the one network switches off."""
        blocks = self._prepared.structures.blocks
        return frozenset(name for name, change in blocks.items() if isinstance(change, RemovableBlock))

    @cached_property
    def supernet(self) -> Supernet:
        """The network that stands for all."""
        changes = self._prepared.structures.blocks
        blocks = {name: one for name, one in changes.items() if isinstance(one, RemovableBlock)}
        return Supernet(self._prepared.model, self._prepared.graph, blocks)

    def _solved(self, removed: frozenset[str]) -> Reconstruction:
        """What readers of channels see where some blocks are switched off."""
        found = self._seen.pop(removed, None)
        if found is None:
            while len(self._seen) >= _MOST_SOLVED:
                del self._seen[next(iter(self._seen))]
            supernet, switches = self.supernet, self.supernet.switches({}, removed)
            found = Reconstruction(
                supernet.model,
                self._prepared.graph,
                self._prepared.typical_rows,
                lambda _, rows: supernet(rows, *switches, training=False),
            )
        self._seen[removed] = found  # the last one that was asked for is the last one to go
        return found

    @cached_property
    def _stands_for_all(self) -> bool:
        """Whether the network with everything switched on computes what the network does."""
        try:
            mine = self._loss(*self.supernet.switches({}))
        except Exception:  # whatever a layer of somebody's own does not allow
            return False
        return abs(mine - self._made(self._prepared.original.configuration)) <= _SAME * (1 + abs(mine))

    def _loss(self, masks: NDArray[Any], gates: NDArray[Any]) -> float:
        return float(np.mean([float(self._traced(x, y, masks, gates)) for x, y in self._batches]))

    @cached_property
    def _traced(self) -> Any:
        import tensorflow as tf

        task, supernet = self._prepared.task, self.supernet

        @tf.function(reduce_retracing=True, autograph=False)
        def loss(rows: Any, labels: Any, masks: Any, gates: Any) -> Any:
            return task.loss(labels, supernet(rows, masks, gates))

        return loss

    def _made(self, configuration: Configuration) -> float:
        model, task = without_dropout(self._prepared.build(configuration)), self._prepared.task
        return float(np.mean([float(task.loss(y, run(model, x, training=True))) for x, y in self._batches]))
