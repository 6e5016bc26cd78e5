"""What a `.tflite` file needs on a microcontroller that runs it with TFLite Micro: arena, flash, and what is missing there."""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.errors import ModelFileError
from profiler.microcontrollers.cmsis_nn import cmsis_nn_scratch
from profiler.microcontrollers.code_size import code_bytes
from profiler.microcontrollers.kernels import KERNELS, WEIGHTS, Kernel, Node, element_bytes, tensor_bytes
from profiler.microcontrollers.planner import Buffer, plan
from profiler.network import Tensor
from profiler.operators import operator
from profiler.tflite import Buffer as FileBuffer
from profiler.tflite import (
    FlatbufferError,
    RawGraph,
    RawModel,
    RawOperator,
    operator_params,
    read_model,
    read_network,
)

ALIGNMENT = 16
"""Bytes to which TFLite Micro aligns what it places in the arena."""

_SCRATCH_PER_OPERATOR = 12
_PLANNED_BYTES = 40
"""What the planner itself keeps of each buffer while it plans."""

_METADATA, _OFFLINE = 6, "OfflineMemoryAllocation"
_TAKES_GRAPHS = ("if", "while", "call_once")
_TAKES_OPTIONS = ("batch_matmul", *_TAKES_GRAPHS)


@dataclass(frozen=True)
class MicroFootprint:
    """What one network needs under TFLite Micro, with its reference kernels.

    Parameters
    ----------
    arena_bytes
        The least arena that its interpreter on a PC (pointers of 64 bits) starts with: `tensor_bytes` or, where that is more,
        `planning_bytes`, and `persistent_bytes`.
    arena_32bit_bytes
        The same on a microcontroller, whose pointers are half as long.
    arena_cmsis_nn_bytes
        That with the buffers of Arm's CMSIS-NN kernels, on processors with DSP instructions; not checked by an interpreter.
    tensor_bytes
        Activations and what kernels use while they run, as the greedy planner places them.
    planning_bytes
        What placing them needs, before the first run.
    persistent_bytes
        What stays: structures per tensor and operator, state of kernels, variables.
    model_bytes, code_bytes
        The file, and an estimate of the code of interpreter and kernels on a Cortex-M4 (see `code_size`).
    missing_operators
        Operators that TFLite Micro lacks, and how often each stands in the file.
    missing_types
        What it lacks in other words: ``conv_2d of float32 data with int8 weights``, and how often.
    """

    arena_bytes: int
    arena_32bit_bytes: int
    arena_cmsis_nn_bytes: int
    tensor_bytes: int
    planning_bytes: int
    persistent_bytes: int
    model_bytes: int
    code_bytes: int
    missing_operators: dict[str, int] = field(default_factory=dict)
    missing_types: dict[str, int] = field(default_factory=dict)

    @property
    def flash_bytes(self) -> int:
        """Model and code."""
        return self.model_bytes + self.code_bytes

    @property
    def runs(self) -> bool:
        """Whether TFLite Micro has all that the network needs."""
        return not self.missing_operators and not self.missing_types

    def to_dict(self) -> dict[str, Any]:
        """What ``edgetime predict --mcu --json`` adds to a network's line."""
        return {
            "flash_bytes": self.flash_bytes,
            "model_bytes": self.model_bytes,
            "code_bytes": self.code_bytes,
            "arena_bytes": self.arena_bytes,
            "arena_32bit_bytes": self.arena_32bit_bytes,
            "arena_cmsis_nn_bytes": self.arena_cmsis_nn_bytes,
            "arena": {
                "tensor_bytes": self.tensor_bytes,
                "planning_bytes": self.planning_bytes,
                "persistent_bytes": self.persistent_bytes,
            },
            "missing_operators": list(self.missing_operators),
            "missing_types": list(self.missing_types),
        }


def micro_footprint(source: str | os.PathLike[str] | bytes) -> MicroFootprint:
    """Work out what a `.tflite` file needs under TFLite Micro.

    Parameters
    ----------
    source
        The file, or its bytes. Shapes are taken as the file has them, an open batch as 1.

    Raises
    ------
    ModelFileError
        The file is missing, damaged or no TFLite.

    Examples
    --------
    >>> micro_footprint("person_detect.tflite").arena_bytes  # doctest: +SKIP
    85264
    """
    read_network(source)  # says what is wrong with a file, in the words of every other verb
    if isinstance(source, bytes):
        return _footprint(source, "the network")
    with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _footprint(data, str(source))


def _footprint(data: Any, shown: str) -> MicroFootprint:
    try:
        file = _File(data)
        here, there, arm = (_Arena(file, *kind) for kind in ((8, False), (4, False), (4, True)))
        tensors, planning, persistent = here.sizes()
        arenas = [max(one, other) + kept for one, other, kept in (there.sizes(), arm.sizes())]
    except FlatbufferError as error:
        raise ModelFileError(f"{shown} is damaged ({error}): export or copy it again.") from None
    operators = Counter(node.op for node, _ in here.nodes)
    return MicroFootprint(
        arena_bytes=max(tensors, planning) + persistent,
        arena_32bit_bytes=arenas[0],
        arena_cmsis_nn_bytes=arenas[1],
        tensor_bytes=tensors,
        planning_bytes=planning,
        persistent_bytes=persistent,
        model_bytes=len(data),
        code_bytes=code_bytes(operators),
        missing_operators={op: count for op, count in operators.items() if op not in KERNELS},
        missing_types=_missing_types(here),
    )


def _missing_types(arena: _Arena) -> dict[str, int]:
    found: Counter[str] = Counter()
    for node, kernel in arena.nodes:
        data = node.data.dtype
        if kernel.types and data not in kernel.types:
            found[f"{node.op} of {data}"] += 1
        elif kernel.weights and node.operand(1).dtype not in WEIGHTS[data]:
            found[f"{node.op} of {data} data with {node.operand(1).dtype} weights"] += 1
    for graph in arena.file.model.graphs:
        for tensor in graph.tensors:
            if not element_bytes(tensor.dtype):
                found[f"tensors of {tensor.dtype}"] += 1
    return dict(found)


class _File:
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


class _Arena:
    """The arena of a file, for pointers of so many bytes, and `arm` for CMSIS-NN's kernels in place of the reference ones.

    Source: ``MicroAllocator`` and ``AllocationInfoBuilder``.
    """

    def __init__(self, file: _File, pointer_bytes: int, arm: bool) -> None:
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

    def sizes(self) -> tuple[int, int, int]:
        """Bytes of tensors, of planning, and of what stays."""
        self._live(0, ())
        buffers = self._buffers()
        requests = sum(map(len, self._scratch.values()))
        every = sum(len(graph.tensors) for graph in self.file.model.graphs)
        pointer = self.pointer_bytes
        planning = _up((pointer + 8) * (requests + _SCRATCH_PER_OPERATOR), pointer)
        planning += pointer * len(self.file.model.graphs) + (16 + 2 * pointer) * (every + requests)
        planning = _up(planning, ALIGNMENT) + _PLANNED_BYTES * len(buffers)
        return plan(buffers), planning, self._persistent(requests)

    def _live(self, number: int, callers: tuple[int, ...]) -> None:
        """Note from when to when each tensor of a graph, and of those that it calls, is needed."""
        if number in callers or number >= len(self.file.model.graphs):
            raise FlatbufferError("a subgraph calls itself")
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

    def _persistent(self, requests: int) -> int:
        """Bytes at the arena's end, which grows with every piece in the order in which they are asked for."""
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
        for node, kernel in self.nodes:
            for nbytes in kernel.prepared(node) if node.outputs else ():
                take(nbytes, ALIGNMENT)
        if requests:
            take(pointer * requests, pointer)
        for graph in graphs:
            for raw in graph.tensors:
                if raw.variable and not raw.data[1]:
                    take(tensor_bytes(Tensor(raw.shape, raw.dtype)), ALIGNMENT)
        for ends in (graphs[0].inputs, graphs[0].outputs):
            take(pointer * len(ends), ALIGNMENT)
            for index in ends:
                take(64 if wide else 40, pointer)
                scales = self.file.scales[0][index]
                if scales:
                    take(3 * pointer, pointer)
                    take(4 * (scales + 1), 4)
        return _up(used, ALIGNMENT)


_OBJECTS = {True: 464, False: 240}
"""Bytes of the allocator's and the planner's own structures, with pointers of 64 bits and of 32."""


def _up(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment
