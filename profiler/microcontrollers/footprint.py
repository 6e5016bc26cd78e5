"""What a `.tflite` file needs on a microcontroller that runs it with TFLite Micro: arena, flash, and what is missing there."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.errors import ModelFileError
from profiler.microcontrollers.arena import Arena, MicroFile
from profiler.microcontrollers.code_size import code_bytes
from profiler.microcontrollers.kernels import KERNELS, element_bytes
from profiler.tflite import FlatbufferError, read_network


@dataclass(frozen=True)
class MicroFootprint:
    """What one network needs under TFLite Micro, with its reference kernels.

    Parameters
    ----------
    arena_bytes
        The least arena that its interpreter on a PC (pointers of 64 bits) starts with: `tensor_bytes` and `persistent_bytes` or,
        where that is more, what it needs while it plans.
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
        file = MicroFile(data)
        here, there, arm = (Arena(file, *kind) for kind in ((8, False), (4, False), (4, True)))
        sizes, small, with_arm = here.sizes(), there.sizes(), arm.sizes()
    except FlatbufferError as error:
        raise ModelFileError(f"{shown} is damaged ({error}): export or copy it again.") from None
    operators = Counter(node.op for node, _ in here.nodes)
    return MicroFootprint(
        arena_bytes=sizes.whole,
        arena_32bit_bytes=small.whole,
        arena_cmsis_nn_bytes=with_arm.whole,
        tensor_bytes=sizes.tensors,
        planning_bytes=sizes.planning,
        persistent_bytes=sizes.persistent,
        model_bytes=len(data),
        code_bytes=code_bytes(operators),
        missing_operators={op: count for op, count in operators.items() if op not in KERNELS},
        missing_types=_missing_types(here),
    )


def _missing_types(arena: Arena) -> dict[str, int]:
    found: Counter[str] = Counter()
    for node, kernel in arena.nodes:
        lacks = kernel.lacks(node)
        if lacks:
            found[lacks] += 1
    for graph in arena.file.model.graphs:
        for tensor in graph.tensors:
            if not element_bytes(tensor.dtype):
                found[f"tensors of {tensor.dtype}"] += 1
    return dict(found)
