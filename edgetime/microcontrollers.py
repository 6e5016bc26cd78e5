"""Networks on microcontrollers: what ``edgetime predict --mcu`` adds to a prediction, or says without one."""

from __future__ import annotations

from typing import Any

from edgetime.networks import ReadNetwork
from profiler.microcontrollers import (
    VERSION,
    MicroFootprint,
    installed,
    measure_arena,
    micro_footprint,
    order_of_magnitude,
)
from profiler.network import Network

_MOST_MACS = 20_000_000
"""A network of more is not run to see that its types are known: reference kernels on a PC are slow."""


def micro_result(read: ReadNetwork) -> dict[str, Any]:
    """Flash, arena and what TFLite Micro lacks of a network, and what its interpreter says where it is installed.

    Raises ModelFileError where the file cannot be read.
    """
    footprint = micro_footprint(read.tflite)
    result = {
        **footprint.to_dict(),
        "tflite_micro": VERSION,
        "measured_arena_bytes": None,
        "arena_is_enough": None,
        "interpreter_problem": None,
        "order_of_magnitude": order_of_magnitude(read.network),
    }
    return {**result, **_measured(read, footprint)} if installed() and footprint.runs else result


def _measured(read: ReadNetwork, footprint: MicroFootprint) -> dict[str, Any]:
    found = measure_arena(read.tflite, footprint.arena_bytes, run=read.network.macs <= _MOST_MACS)
    return {
        "measured_arena_bytes": found.used_bytes,
        "arena_is_enough": found.enough if found.used_bytes is not None else None,
        "interpreter_problem": found.problem or None,
    }


def without_time(network: Network, signature: str | None) -> dict[str, Any]:
    """A line of ``predict --json`` where no time model is known: all that takes a time model is null."""
    unknown = (
        "device", "threads", "predicted_ms", "low_ms", "high_ms", "coverage", "peak_memory_bytes", "memory", "energy_mj",
        "calm_share", "measured_ms", "measured_p90_ms", "load_ms", "first_ms", "measured_calm_share", "setting",
    )  # fmt: skip
    null = ("predicted_ms", "low_ms", "high_ms", "measured_ms", "energy_mj")
    layers = [
        {
            "index": layer.index,
            "op": layer.op,
            "name": layer.name,
            "macs": layer.macs * layer.repeat,
            **dict.fromkeys(null),
            "covered": False,
        }
        for layer in network.layers
    ]
    return {
        "network": network.name,
        "dtype": network.dtype,
        **dict.fromkeys(unknown),
        "uncovered": sorted({layer.op for layer in network.layers}),
        "widened": False,
        "at_least": False,
        "unknown": {},
        "signature": signature,
        "layers": layers,
    }
