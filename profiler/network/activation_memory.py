"""How much memory a network's activations need, planned as the runtime plans them."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profiler.network.layer import Layer, Tensor
from profiler.network.network import Network

ALIGNMENT = 64
"""Bytes to which LiteRT aligns every tensor; TFLite Micro takes 16."""

_FOREVER = 1 << 40
_MOVES_NOTHING = frozenset({"reshape", "squeeze", "expand_dims", "bitcast"})
_OVERWRITES = frozenset({"add", "mul", "sub", "div"})
_Step = tuple[Layer, tuple[int, ...], tuple[int, ...]]


@dataclass(slots=True)
class Allocation:
    """One block of the arena: from layer `first` to layer `last`, both included."""

    tensor: int
    nbytes: int
    first: int
    last: int
    offset: int = 0


def peak_memory_bytes(network: Network, alignment: int = ALIGNMENT) -> int:
    """Bytes of the arena that holds the network's activations: inputs, outputs and all that lies between.

    This is the runtime's own plan (`plan_arena`); arenas of subgraphs are added up. Weights and what kernels keep besides are
    not counted. A network without edges is taken as a chain: the largest sum of inputs and outputs of a layer.
    """
    if not network.edges:
        sizes = (
            sum(_aligned(t.nbytes, alignment) for t in (*layer.activations, *layer.outputs))
            for layer in network.layers
        )
        return max(sizes, default=0)
    return arena_bytes(network, alignment=alignment)


def arena_bytes(
    network: Network, scratch: Mapping[int, Sequence[int]] | None = None, alignment: int = ALIGNMENT
) -> int:
    """`peak_memory_bytes` of a network with edges, with the `scratch` of kernels placed in it: see `plan_arena`."""
    graphs = dict.fromkeys(edge.graph for edge in network.edges)
    variables = sum(_aligned(network.tensors[i].nbytes, alignment) for i in network.variables)
    return variables + sum(_extent(plan_arena(network, alignment, graph, scratch)) for graph in graphs)


def workspace_bytes(network: Network) -> int:
    """Bytes of inputs and outputs, and beside them of a workspace for all that lies between: XNNPACK's way."""
    ends = set(network.inputs) | set(network.outputs)
    total = sum(_aligned(network.tensors[i].nbytes, ALIGNMENT) for i in ends)
    for graph in dict.fromkeys(edge.graph for edge in network.edges):
        blocks = _lifetimes(network, _steps(network, graph), graph)
        between = sorted((block for block in blocks if block.tensor not in ends), key=_order)
        total += _extent(_place(between, ALIGNMENT))
    return total


def plan_arena(
    network: Network,
    alignment: int = ALIGNMENT,
    graph: int = 0,
    scratch: Mapping[int, Sequence[int]] | None = None,
) -> list[Allocation]:
    """Where the runtime puts each activation of one graph of `network`.

    A tensor lives from the layer that writes it to the last one that reads it; inputs and outputs of the
    graph live throughout. Operators that change no values share their input's block, elementwise ones
    overwrite an operand that nobody else reads. Blocks are placed in order of size, largest first, each into
    the smallest gap that is free while it lives. `scratch` is what kernels ask for besides, in bytes by `Layer.index`:
    blocks of tensor -1 that live while their layer runs. Variables lie in an arena of their own.

    Source: ``ArenaPlanner`` and ``SimpleMemoryArena`` of TensorFlow Lite, described in Pisarchyk and Lee,
    "Efficient Memory Management for Deep Neural Net Inference" (2020) as "greedy by size".
    """
    steps = _steps(network, graph)
    blocks = _lifetimes(network, steps, graph)
    for step, (layer, _, _) in enumerate(steps):
        blocks += [Allocation(-1, nbytes, step, step) for nbytes in (scratch or {}).get(layer.index, ())]
    return _place(sorted(blocks, key=_order), alignment)


def _extent(plan: list[Allocation]) -> int:
    return max((block.offset + block.nbytes for block in plan), default=0)


def _aligned(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment


def _lifetimes(network: Network, steps: list[_Step], graph: int) -> list[Allocation]:
    """Blocks of one graph, not placed yet."""
    tensors = network.tensors
    inputs, outputs = _ends(network, steps, graph)
    references = Counter((*inputs, *outputs))
    for _, reads, _ in steps:
        references.update(reads)
    owner = _shared(steps, tensors, inputs, outputs, references)
    for index in references:
        if index in owner:
            references[owner[index]] += references[index]
    first = dict.fromkeys(inputs, 0)
    last: dict[int, int] = {}
    for step, (_, reads, writes) in enumerate(steps):
        for index in writes:
            first.setdefault(owner.get(index, index), step)
        for index in reads:
            block = owner.get(index, index)
            references[block] -= 1
            if not references[block]:
                last[block] = step
    return [
        Allocation(i, tensors[i].nbytes, start, last.get(i, _FOREVER))
        for i, start in first.items()
        if not tensors[i].constant
    ]


def _steps(network: Network, graph: int) -> list[_Step]:
    """Layers of one graph with what they read and write; a body that two loops call counts once."""
    steps: list[_Step] = []
    seen: set[int] = set()
    for layer, edge in zip(network.layers, network.edges, strict=True):
        if edge.graph == graph and layer.index not in seen:
            seen.add(layer.index)
            steps.append((layer, edge.inputs, edge.outputs))
    return steps


def _ends(network: Network, steps: list[_Step], graph: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Inputs and outputs of one graph; of a subgraph what it reads but nobody writes, and the reverse."""
    if graph == 0:
        return network.inputs, network.outputs
    read = dict.fromkeys(i for _, reads, _ in steps for i in reads)
    written = dict.fromkeys(i for _, _, writes in steps for i in writes)
    inputs = tuple(i for i in read if i not in written and not network.tensors[i].constant)
    return inputs, tuple(i for i in written if i not in read)


def _shared(
    steps: list[_Step],
    tensors: tuple[Tensor, ...],
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    references: dict[int, int],
) -> dict[int, int]:
    """For each tensor that lies in another's block: whose."""
    owner: dict[int, int] = {}
    for layer, reads, writes in steps:
        if not writes:
            continue
        overwrites = layer.op in _OVERWRITES
        if not overwrites and layer.op not in _MOVES_NOTHING:
            continue
        out = writes[0]
        for index in reads[: 2 if overwrites else 1]:
            if index in inputs or index in outputs or tensors[index].constant or tensors[out].constant:
                continue
            block = owner.get(index, index)
            if overwrites and not (
                tensors[index].nbytes == tensors[out].nbytes > 4
                and references[index] == references[block] == 1
            ):
                continue
            owner[out] = block
            break
    return owner


def _order(block: Allocation) -> tuple[int, int, int, int]:
    if block.first == 0 and block.last == _FOREVER:
        return (0, block.tensor, 0, 0)
    return (1, -block.nbytes, block.first, block.tensor)


def _place(blocks: list[Allocation], alignment: int) -> list[Allocation]:
    """Give each block in turn the smallest gap between the blocks that live at the same time."""
    placed: list[Allocation] = []
    for block in blocks:
        best, best_gap, current = -1, _FOREVER, 0
        for other in placed:
            if other.last < block.first or other.first > block.last:
                continue
            start = _aligned(current, alignment)
            gap = other.offset - start
            if block.nbytes <= gap < best_gap:
                best, best_gap = start, gap
            current = max(current, other.offset + other.nbytes)
        block.offset = best if best >= 0 else _aligned(current, alignment)
        insort(placed, block, key=lambda b: b.offset)
    return placed
