"""How long ago, and how many bytes ago, a network last touched what each of its layers reads and writes.

What lies in between decides how far away the bytes are; a layer that is timed alone finds all where the last call left it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from profiler.network import Layer, Network, plan_arena
from timemodel.features import LARGE, kernel_of

VECTOR, MATRIX, WINDOW, DATA = 0, 1, 2, 3
"""Classes of access: weights that meet few rows of input, weights that meet many, weights of windows, activations.

The more is computed with a weight, the more of its way is hidden: a 3x3 convolution waits less per byte than a 1x1.
"""
CLASSES = ("vector weights", "matrix weights", "window weights", "activations")

_FEW_ROWS = 4
_TILE = 16
"""Output channels that convolutions keep together: of most vector units a few registers."""


@dataclass(frozen=True)
class Accesses:
    """All accesses to memory of one inference in steady state, as arrays ``[accesses]``."""

    layer: np.ndarray  # its position
    kind: np.ndarray  # `VECTOR`, `MATRIX`, `WINDOW` or `DATA`
    nbytes: np.ndarray
    distance_bytes: np.ndarray  # of other things touched since these were touched last
    alone_bytes: np.ndarray  # the same where the layer is timed alone: all that it touches
    touched_by: (
        np.ndarray
    )  # layer that touched them last; below 0 in the inference before (-1 is its last layer)


class _Arena:
    """Who touched which part of the arena last: disjoint segments (begin, end, who) in order."""

    def __init__(self) -> None:
        self.segments: list[tuple[int, int, int]] = []

    def _under(self, begin: int, end: int) -> slice:
        """The segments that may reach into ``[begin, end)``."""
        return slice(max(0, bisect_left(self.segments, (begin + 1,)) - 1), bisect_left(self.segments, (end,)))

    def last(self, begin: int, end: int) -> list[tuple[int, int]]:
        """(who, bytes) of the segments under ``[begin, end)``."""
        under = self.segments[self._under(begin, end)]
        shared = [(who, min(end, stop) - max(begin, start)) for start, stop, who in under]
        return [(who, nbytes) for who, nbytes in shared if nbytes > 0]

    def touch(self, begin: int, end: int, who: int) -> None:
        """Mark ``[begin, end)``; what it covers is cut away from others."""
        under = self._under(begin, end)
        pieces = [(begin, end, who)]
        for start, stop, owner in self.segments[under]:
            if start < begin:
                pieces.append((start, min(stop, begin), owner))
            if stop > end:
                pieces.append((max(start, end), stop, owner))
        self.segments[under] = sorted(pieces)


def kept_weight_bytes(layer: Layer) -> float:
    """Bytes of the weights as kernels keep them: where each output channel is a group, with a tile of its own.

    So large windows, which run as convolutions in groups, have many times the weights that the file holds.
    """
    nbytes = layer.weight_bytes
    # Asked first, for it is quick and hardly ever so.
    if nbytes and layer.params.get("kernel_height", 1) != 1 and kernel_of(layer) == LARGE:
        nbytes *= _TILE
    return float(nbytes)


def find_accesses(network: Network) -> Accesses | None:
    """The accesses of `network`; None where it is a bag of layers (a table), which says nothing of reuse.

    Layers of loops and branches are left out: what runs many times finds its data where the last round left it.
    """
    if not network.layers or not network.edges:
        return None
    tensors, count = network.tensors, len(network.layers)
    place = {block.tensor: (block.offset, block.offset + block.nbytes) for block in plan_arena(network)}
    arena_bytes = max((end for _, end in place.values()), default=0)
    # XNNPACK keeps a copy of the weights for each operator: what several share in the file, they do not share in the cache.
    weights = [0.0] * count
    # What each layer touches for the first time in a while: its weights and outputs.
    steps: list[tuple[int, list[tuple[int, int]], list[tuple[int, int]], float]] = []
    touched = np.zeros(count + 1)
    for position, (layer, edge) in enumerate(zip(network.layers, network.edges, strict=True)):
        computed = [i for i in edge.inputs if i >= 0 and not tensors[i].constant]
        fresh = 0.0
        kept = weights[position] = kept_weight_bytes(layer) if computed else 0.0
        if computed and edge.graph == 0 and layer.repeat == 1:
            reads = [place[i] for i in computed if i in place]
            writes = [place[i] for i in edge.outputs if i in place]
            own = sum(tensors[i].nbytes for i in (*computed, *edge.outputs)) + kept
            steps.append((position, reads, writes, own))
            fresh = sum(tensors[i].nbytes for i in edge.outputs) + kept
        touched[position + 1] = touched[position] + fresh
    whole = sum(weights) + arena_bytes
    rows: list[tuple[int, int, float, float, float, int]] = []
    arena = _Arena()
    for inference in (0, 1):
        for position, reads, writes, own in steps:
            layer = network.layers[position]
            if inference and weights[position]:
                out = layer.outputs[0]
                few = out.size <= _FEW_ROWS * (out.shape[-1] if out.shape else 1)
                window = any(layer.params.get(name, 1) != 1 for name in ("kernel_height", "kernel_width"))
                kind = VECTOR if few else WINDOW if window else MATRIX
                rows.append((position, kind, weights[position], whole, own, position - count))
            for begin, end in (*reads, *writes):
                if inference:
                    for who, shared in arena.last(begin, end):
                        last = who - count
                        before = touched[last] if last >= 0 else touched[who] - touched[count]
                        distance = min(float(touched[position] - before) + shared, whole)
                        rows.append((position, DATA, float(shared), distance, own, last))
            for begin, end in (*reads, *writes):
                if end > begin:
                    arena.touch(begin, end, position + inference * count)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    indices = columns.astype(np.intp)
    return Accesses(indices[0], indices[1], columns[2], columns[3], columns[4], indices[5])


def elapsed_ms(accesses: Accesses, layers_ms: np.ndarray) -> np.ndarray:
    """Time ``[accesses]`` from the end of the layer that touched the bytes last to the beginning of this one."""
    clock = np.concatenate([[0.0], np.cumsum(layers_ms)])
    last = accesses.touched_by
    after = clock[last % len(layers_ms) + 1] - np.where(last >= 0, 0.0, clock[-1])
    return np.maximum(clock[accesses.layer] - after, 0.0)
