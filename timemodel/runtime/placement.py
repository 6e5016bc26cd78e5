"""Which activations an accelerator keeps in its fast memory, where not all that is alive fits there.

Compilers keep what is read and written most. Layers whose operands do not fit together follow each other in stripes, so that what
flows between them needs little room; what such a row of layers begins with and ends in lies outside.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

import numpy as np

from profiler.network import Network, Tensor

_SAME_BYTES = frozenset({"reshape", "squeeze", "expand_dims"})
_IN_PLACE = frozenset({"add", "mul", "sub", "relu", "relu6", "logistic", "hard_swish", "tanh"})
_STRIPED = frozenset({"conv_2d", "depthwise_conv_2d", "max_pool_2d", "average_pool_2d"})
_BRICK = 16
"""Channels that lie together."""
_WHOLE, _HALVES = 0.42, 1.25
"""Weights of up to this share of fast memory are held there whole, up to that share by halves of it; larger ones pass through."""


def placed_outside(network: Network, left: Collection[int], fast_bytes: float) -> set[int]:
    """Tensors of `network` that lie in external memory: what the caller and the CPU touch always does.

    `left` are the positions of layers that the CPU runs; between these the accelerator is called anew.
    """
    touched = {*network.inputs, *network.outputs, *handed_over(network, left)}
    for position in left:
        touched.update(network.edges[position].inputs, network.edges[position].outputs)
    home = _homes(network, left, touched)
    outside = {home.get(tensor, tensor) for tensor in touched}
    begin, end, size, moved = _lives(network, home)
    striped, beside = _stripes(network, home, size, fast_bytes)
    inside = [root for root in size if root not in outside and root not in striped]
    use = np.array([_buffered(layer.inputs, fast_bytes) for layer in network.layers])
    free = []
    for root in inside:
        alive = slice(begin[root], end[root] + 1)
        if root in beside or (use[alive] + size[root]).max() > fast_bytes:
            outside.add(root)
        else:
            free.append(root)
    for root in sorted(free, key=lambda root: (-moved[root], end[root] - begin[root], root)):
        alive = slice(begin[root], end[root] + 1)
        if (use[alive] + size[root]).max() <= fast_bytes:
            use[alive] += size[root]
        else:
            outside.add(root)
    return {tensor for tensor in range(len(network.tensors)) if home.get(tensor, tensor) in outside}


def _homes(network: Network, left: Collection[int], touched: Collection[int]) -> dict[int, int]:
    """By tensor the one whose place it shares: the same bytes in another form, what it overwrites, or what joins it."""
    readers = Counter(tensor for edge in network.edges for tensor in set(edge.inputs))
    last = {tensor: position for position, edge in enumerate(network.edges) for tensor in edge.inputs}
    shared: dict[int, int] = {}
    for position, (layer, edge) in enumerate(zip(network.layers, network.edges, strict=True)):
        if position in left or not edge.inputs or not edge.outputs:
            continue
        if layer.op in _SAME_BYTES:
            shared[edge.outputs[0]] = edge.inputs[0]
        elif layer.op in _IN_PLACE:
            freed = [
                tensor
                for tensor in edge.inputs
                if last.get(tensor) == position
                and tensor not in shared
                and network.tensors[tensor].shape == network.tensors[edge.outputs[0]].shape
            ]
            if freed and edge.outputs[0] not in touched and freed[0] not in touched:
                shared[edge.outputs[0]] = freed[0]
        elif layer.op == "concatenation":
            shared |= {
                tensor: edge.outputs[0]
                for tensor in edge.inputs
                if readers[tensor] == 1 and tensor not in shared
            }
    found = {}
    for tensor in shared:
        root, steps = tensor, 0
        while root in shared and steps <= len(shared):
            root, steps = shared[root], steps + 1
        found[tensor] = root
    return found


def handed_over(network: Network, left: Collection[int]) -> set[int]:
    """Tensors that one call of the accelerator makes and a later one reads."""
    calls = np.cumsum([position in left for position in range(len(network.layers))])
    made: dict[int, int] = {}
    found = set()
    for position, edge in enumerate(network.edges):
        found |= {tensor for tensor in edge.inputs if made.get(tensor, calls[position]) != calls[position]}
        made |= dict.fromkeys(edge.outputs, calls[position])
    return found


def _lives(
    network: Network, home: dict[int, int]
) -> tuple[dict[int, int], dict[int, int], dict[int, int], Counter[int]]:
    """Of each place the first and the last layer that touches it, its bytes, and how many are read and written in all."""
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    size: dict[int, int] = {}
    moved: Counter[int] = Counter()
    for position, edge in enumerate(network.edges):
        for tensor in (*edge.inputs, *edge.outputs):
            if network.tensors[tensor].constant:
                continue
            root = home.get(tensor, tensor)
            begin.setdefault(root, position)
            end[root] = position
            size[root] = max(size.get(root, 0), _in_bricks(network.tensors[tensor]))
            moved[root] += network.tensors[tensor].nbytes
    return begin, end, size, moved


def _in_bricks(tensor: Tensor) -> int:
    """Bytes with channels filled up."""
    inner = tensor.shape[-1] if tensor.shape else 1
    return tensor.nbytes // max(1, inner) * (-(-inner // _BRICK) * _BRICK)


def _buffered(inputs: Collection[Tensor], fast_bytes: float) -> float:
    """Bytes of fast memory that a layer's weights take."""
    weights = sum(tensor.nbytes for tensor in inputs if tensor.constant)
    if weights <= _WHOLE * fast_bytes:
        return float(weights)
    return fast_bytes / 2 if weights <= _HALVES * fast_bytes else 0.0


def _stripes(
    network: Network, home: dict[int, int], size: dict[int, int], fast_bytes: float
) -> tuple[set[int], set[int]]:
    """Places of what flows in stripes, and of what rows of such layers begin with and end in."""
    readers: dict[int, list[int]] = defaultdict(list)
    maker: dict[int, int] = {}
    for position, edge in enumerate(network.edges):
        for tensor in set(edge.inputs):
            readers[home.get(tensor, tensor)].append(position)
        for tensor in edge.outputs:
            maker.setdefault(home.get(tensor, tensor), position)
    striped = set()
    for root, makes in maker.items():
        reads = readers[root]
        if len(reads) != 1 or root not in size:
            continue
        layers = network.layers[makes], network.layers[reads[0]]
        result = home.get(network.edges[reads[0]].outputs[0], network.edges[reads[0]].outputs[0])
        if all(layer.op in _STRIPED for layer in layers):
            weights = _buffered(layers[1].inputs, fast_bytes)
            if size[root] + size.get(result, 0) + weights > fast_bytes:
                striped.add(root)
    rows = {maker[root] for root in striped} | {readers[root][0] for root in striped}
    beside = {
        root
        for root in size
        if root not in striped
        and (maker.get(root) in rows or any(reader in rows for reader in readers[root]))
    }
    return striped, beside
