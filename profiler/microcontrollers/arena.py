"""The arena of TFLite Micro: what lies in it, and where."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from profiler.microcontrollers.cmsis_nn import cmsis_nn_scratch
from profiler.microcontrollers.kernels import KERNELS, Kernel, Node, tensor_bytes
from profiler.microcontrollers.planner import Buffer, plan
from profiler.network import Tensor
from profiler.operators import operator
from profiler.tflite import Buffer as FileBuffer
from profiler.tflite import FlatbufferError, RawGraph, RawModel, RawOperator, operator_params, read_model

ALIGNMENT = 16
"""Bytes to which TFLite Micro aligns what it places in the arena."""

_SCRATCH_PER_OPERATOR = 12
_PLANNED_BYTES = 40
"""What the planner itself keeps of each buffer while it plans."""
_MOST_STEPS = 1_000_000

_METADATA, _OFFLINE = 6, "OfflineMemoryAllocation"
_TAKES_GRAPHS = ("if", "while", "call_once")
_TAKES_OPTIONS = ("batch_matmul", *_TAKES_GRAPHS)


class MicroFile:
    """A file with what only TFLite Micro looks at: numbers of scales, and offsets that a compiler wrote into it."""

    def __init__(self, data: Any) -> None:
        buffer = FileBuffer(data)
        self.model: RawModel = read_model(buffer)
        root = buffer.root()
        self.scales: list[list[int]] = []
        for graph in root.tables(2):
            rows = [tensor.table(4) for tensor in graph.tables(0)]
            self.scales.append([len(row.numbers(2, "f")) if row is not None else 0 for row in rows])
        self.offsets: tuple[int, ...] = ()
        spans = [table.raw(0) for table in root.tables(4)]
        for metadata in root.tables(_METADATA):
            place = metadata.integer(1, "I")
            if metadata.string(0) == _OFFLINE and place < len(spans):
                start, length = spans[place]
                # Version, graph and count stand before them.
                self.offsets = struct.unpack(
                    f"<{length // 4}i", buffer.span(start, length - length % 4, "a plan")
                )[3:]


class ArenaSizes(NamedTuple):
    """Bytes in the arena.

    `tensors` as they are placed; `planning`: what placing them needs; `kept` stays from before that on, `persistent` in the end.
    `preparing` is the most at once while kernels are prepared.
    """

    tensors: int
    planning: int
    preparing: int
    kept: int
    persistent: int

    @property
    def whole(self) -> int:
        """The least arena that starts."""
        return max(self.tensors + self.persistent, self.planning + self.kept, self.preparing)


class Arena:
    """The arena of a file, for pointers of so many bytes, and `arm` for CMSIS-NN's kernels in place of the reference ones.

    Source: ``MicroAllocator`` and ``AllocationInfoBuilder``.
    """

    def __init__(self, file: MicroFile, pointer_bytes: int, arm: bool) -> None:
        self.file, self.pointer_bytes = file, pointer_bytes
        self.nodes: list[tuple[Node, Kernel]] = []
        self._scratch: dict[tuple[int, int], list[int]] = {}
        for number, graph in enumerate(file.model.graphs):
            for position, stored in enumerate(graph.operators):
                node = self._node(number, graph, stored)
                kernel = KERNELS.get(stored.op, Kernel())
                self.nodes.append((node, kernel))
                if stored.outputs:
                    more = cmsis_nn_scratch(node) if arm else []
                    self._scratch[number, position] = kernel.scratch(node) + more
        self._time = 0
        self._lives: dict[tuple[int, int], list[int]] = {}
        self._kernel_lives: dict[tuple[int, int], list[int]] = {}

    def _node(self, number: int, graph: RawGraph, stored: RawOperator) -> Node:
        tensors = [
            Tensor(raw.shape, raw.dtype, raw.stored)
            for raw in (graph.tensors[i] for i in stored.inputs if i >= 0)
        ]
        known = iter(tensors)
        inputs = [next(known) if i >= 0 else None for i in stored.inputs]
        outputs = [Tensor(graph.tensors[i].shape, graph.tensors[i].dtype) for i in stored.outputs]
        scales = [self.file.scales[number][i] if i >= 0 else 0 for i in stored.inputs]
        params = operator_params(self.file.model, graph, stored) if stored.op in _TAKES_OPTIONS else {}
        return Node(stored.op, inputs, outputs, scales, params, self.pointer_bytes)

    def sizes(self) -> ArenaSizes:
        """Work out what the arena holds."""
        self._live(0, ())
        buffers = self._buffers()
        requests = sum(map(len, self._scratch.values()))
        every = sum(len(graph.tensors) for graph in self.file.model.graphs)
        pointer = self.pointer_bytes
        planning = _up((pointer + 8) * (requests + _SCRATCH_PER_OPERATOR), pointer)
        planning += pointer * len(self.file.model.graphs) + (16 + 2 * pointer) * (every + requests)
        planning = _up(planning, ALIGNMENT) + _PLANNED_BYTES * len(buffers)
        return ArenaSizes(plan(buffers), planning, *self._persistent(requests))

    def _live(self, number: int, callers: tuple[int, ...]) -> None:
        """Note from when to when each tensor of a graph, and of those that it calls, is needed."""
        if number in callers or number >= len(self.file.model.graphs):
            raise FlatbufferError("a subgraph calls itself")
        if self._time > _MOST_STEPS:
            raise FlatbufferError("its subgraphs unroll to too many operators")
        graph = self.file.model.graphs[number]
        self._use(number, graph.inputs)
        for position, stored in enumerate(graph.operators):
            self._time += 1
            start = self._time
            for index in stored.outputs:
                self._lives.setdefault((number, index), [start, start])
            if stored.op in _TAKES_GRAPHS:
                params = operator_params(self.file.model, graph, stored)
                for name in operator(stored.op).file.subgraphs:
                    self._time += 1
                    self._live(int(str(params[name])), (*callers, number))
            self._use(number, [i for i in (*stored.inputs, *stored.outputs) if i >= 0])
            life = self._kernel_lives.setdefault((number, position), [start, start])
            life[1] = self._time
        self._use(number, graph.outputs)

    def _use(self, number: int, tensors: Any) -> None:
        for index in tensors:
            self._lives.setdefault((number, index), [self._time, self._time])[1] = self._time

    def _buffers(self) -> list[Buffer]:
        found: list[Buffer] = []
        nobody = [-1, -1]
        offsets = iter(self.file.offsets)
        for number, graph in enumerate(self.file.model.graphs):
            for index, raw in enumerate(graph.tensors):
                fixed = next(offsets, -1)
                nbytes = _up(tensor_bytes(Tensor(raw.shape, raw.dtype)), ALIGNMENT)
                if raw.data[1] or not nbytes or (raw.variable and fixed < 0):
                    continue
                first, last = self._lives.get((number, index), nobody)
                found.append(Buffer(nbytes, first, last, fixed if fixed >= 0 else None))
        for key, sizes in self._scratch.items():
            first, last = self._kernel_lives.get(key, nobody)
            found += [Buffer(_up(nbytes, ALIGNMENT), first, last) for nbytes in sizes]
        return found

    def _persistent(self, requests: int) -> tuple[int, int, int]:
        """Bytes while kernels are prepared, and at the arena's end while tensors are placed and in the end.

        They grow in the order in which they are asked for.
        """
        pointer, graphs = self.pointer_bytes, self.file.model.graphs
        wide = pointer == 8
        used = _OBJECTS[wide]

        def take(nbytes: int, alignment: int) -> None:
            nonlocal used
            used = _up(used + nbytes, alignment)

        take(3 * pointer * len(graphs), pointer)
        for graph in graphs:
            take(3 * pointer * len(graph.tensors), pointer)
        for graph in graphs:
            take(8 * pointer * len(graph.operators), pointer)
        for node, kernel in self.nodes:
            if kernel.options[0]:
                take(node.size(kernel.options), kernel.options_alignment(pointer))
        for node, kernel in self.nodes:
            if kernel.state[0]:
                take(node.size(kernel.state), ALIGNMENT)
        preparing = asked = 0
        for node, kernel in self.nodes:
            for nbytes in kernel.prepared(node) if node.outputs else ():
                take(nbytes, ALIGNMENT)
            preparing = max(
                preparing, used + (pointer + 8) * (asked + _SCRATCH_PER_OPERATOR) + self._unpacked(node)
            )
            asked += len(kernel.scratch(node)) if node.outputs else 0
        if requests:
            take(pointer * requests, pointer)
        for graph in graphs:
            for raw in graph.tensors:
                if raw.variable and not raw.data[1]:
                    take(tensor_bytes(Tensor(raw.shape, raw.dtype)), ALIGNMENT)
        kept = used
        for ends in (graphs[0].inputs, graphs[0].outputs):
            take(pointer * len(ends), ALIGNMENT)
            for index in ends:
                take(64 if wide else 40, pointer)
                scales = self.file.scales[0][index]
                if scales:
                    take(3 * pointer, pointer)
                    take(4 * (scales + 1), 4)
        return preparing, kept, _up(used, ALIGNMENT)

    def _unpacked(self, node: Node) -> int:
        """Bytes of an operator's tensors as kernels look at them while they are prepared, with their zero points."""
        tensor, scale = (64, 24) if self.pointer_bytes == 8 else (40, 12)
        count = sum(one is not None for one in node.inputs) + len(node.outputs)
        scaled = [scales for scales in node.scales if scales] + [
            1 for one in node.outputs if one.dtype != "float32"
        ]
        return tensor * count + sum(scale + 4 * (scales + 1) for scales in scaled)


_OBJECTS = {True: 464, False: 240}
"""Bytes of the allocator's and the planner's own structures, with pointers of 64 bits and of 32."""


def _up(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment
