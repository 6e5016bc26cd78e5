"""Weights that are stored in fewer bits, and what it costs to decode them: for simulators that are asked per layer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.tflite import Buffer, read_model

LEVELS = 127
_WIDEST = 1000.0
_SAMPLE = 8192
_WEIGHTS_SLOT = {"conv_2d": 1, "depthwise_conv_2d": 1, "fully_connected": 1, "transpose_conv": 1}


@dataclass(frozen=True)
class WeightDecoder:
    """A decoder in front of each multiplier's weight register, which works while the rest does.

    Parameters
    ----------
    cycles
        Of one decoder for each weight. The default is that of LineCompress (Palesi et al., IEEE Internet of Things Journal
        2021): one addition for each weight.
    energy_pj
        For each decoded weight. The default is a multiplication of 8 bits and an addition of 32, 0.2 and 0.1 pJ in 45 nm
        (Horowitz, ISSCC 2014).
    """

    cycles: float = 1.0
    energy_pj: float = 0.3


def stored_in(
    content: bytes, weight_bits: Sequence[float | None], encoded_bits: Callable[[npt.NDArray[np.int8]], float]
) -> bytes:
    """The network with other int8 weights, which a codec stores in so many bits each; an operator of None keeps its own.

    A compiler decides by its codec's bytes how weights are fetched, so it must meet weights that take them: normal ones, as
    wide as `encoded_bits` (bits for each of some weights) asks for.
    """
    changed = bytearray(content)
    graph = read_model(Buffer(content)).graphs[0]
    for number, (operator, bits) in enumerate(zip(graph.operators, weight_bits, strict=False)):
        slot = _WEIGHTS_SLOT.get(operator.op)
        if bits is None or slot is None or len(operator.inputs) <= slot:
            continue
        tensor = graph.tensors[operator.inputs[slot]]
        start, nbytes = tensor.data
        if tensor.dtype != "int8" or not nbytes:
            continue
        weights = _drawn(nbytes, _width(bits, encoded_bits), seed=number)
        changed[start : start + nbytes] = weights.tobytes()
    return bytes(changed)


@functools.lru_cache(maxsize=64)
def _width(bits: float, encoded_bits: Callable[[npt.NDArray[np.int8]], float]) -> float:
    """How wide weights must be spread to take so many bits each: the widest where the codec needs more."""
    low, high = 0.05, _WIDEST
    for _ in range(20):
        middle = (low * high) ** 0.5
        if encoded_bits(_drawn(_SAMPLE, middle, seed=0)) < bits:
            low = middle
        else:
            high = middle
    return high


def _drawn(count: int, width: float, seed: int) -> npt.NDArray[np.int8]:
    """Normal integers; those beyond the largest fold back, so that very wide ones are uniform."""
    values = np.rint(np.random.default_rng(seed).normal(0, width, count)).astype(np.int64)
    return ((values + LEVELS) % (2 * LEVELS + 1) - LEVELS).astype(np.int8)


def with_registers(hardware: dict[str, Any], operand: str, bits: int, usual_bits: int = 8) -> dict[str, Any]:
    """A design of ZigZag whose innermost memory of `operand` holds as many values as of the usual bits.

    There they are decoded: narrower ones are read as if they had the usual bits, wider ones cost in proportion.
    """
    memories = dict(hardware["memories"])
    name = next(name for name, memory in memories.items() if operand in memory["operands"])
    if memories[name]["operands"] != [operand]:
        return hardware  # shared with what keeps its bits
    memory = dict(memories[name])
    memory["size"] = memory["size"] * bits // usual_bits
    for cost in ("r_cost", "w_cost"):
        memory[cost] = memory[cost] * max(1.0, bits / usual_bits)
    memory["ports"] = [
        {**port, **{key: port[key] * bits // usual_bits for key in ("bandwidth_min", "bandwidth_max")}}
        for port in memory["ports"]
    ]
    memories[name] = memory
    return {**hardware, "memories": memories}
