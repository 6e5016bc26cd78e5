"""What candidates lose before any training, in fractions of a second each: by it they are ranked."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compressor.costs import Configuration
from compressor.data import row_count, take
from compressor.training import RECONSTRUCTED_FROM, Reconstruction, Supernet, run, strongest, without_dropout

if TYPE_CHECKING:
    from compressor.pipeline.prepare.preparation import Prepared

_ROWS, _BATCH = 512, 256
_SAME = 1e-3


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
        self._rows = take(prepared.task.data.x, slice(RECONSTRUCTED_FROM))
        self._seen: dict[frozenset[str], Reconstruction] = {}

    def __call__(self, configuration: Configuration) -> float:
        """The mean loss; NaN or infinity where the network gives that."""
        prepared = self._prepared
        same = prepared.structures.groups_in_place(configuration)
        if same is None or not self._stands_for_all:
            return self._made(configuration)
        keep = strongest(prepared.importance, configuration.widths)
        keep |= {name: keep[other] for name, other in same.items()}
        weights = self._solved(configuration.removed).weights(keep) if self._reconstructs else {}
        with self.supernet.with_weights(weights):
            return self._loss(*self.supernet.switches(keep, configuration.removed))

    @cached_property
    def supernet(self) -> Supernet:
        """The network that stands for all."""
        return Supernet(self._prepared.model, self._prepared.graph, self._prepared.structures.blocks)

    def _solved(self, removed: frozenset[str]) -> Reconstruction:
        """What readers of channels see where some blocks are switched off."""
        if removed not in self._seen:
            supernet, switches = self.supernet, self.supernet.switches({}, removed)
            self._seen[removed] = Reconstruction(
                supernet.model,
                self._prepared.graph,
                self._rows,
                lambda _, rows: supernet(rows, *switches, training=False),
            )
        return self._seen[removed]

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
