"""What differs between the device as it was profiled and as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "machine": "architecture",
    "cpu": "processor",
    "cores": "number of cores",
    "usable_cores": "number of usable cores",
    "governor": "frequency governor",
    "min_mhz": "lowest frequency (MHz)",
    "max_mhz": "highest frequency (MHz)",
    "memory_bytes": "memory (bytes)",
    "system": "system",
    "kernel": "kernel",
    "runtime": "runtime",
    "version": "runtime's version",
    "kernels": "kind of kernels",
    "threads": "number of threads",
}
"""What can change execution times; the agent's Python and numpy do not."""

SAME_MEMORY = 0.05
"""Systems report a little more or less memory from start to start."""


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Every difference that can change execution times, in words, such as ``frequency governor was …``.

    What only one of the two knows is no difference.
    """
    found = []
    for key, name in NAMES.items():
        before, after = then.get(key), now.get(key)
        if before is None or after is None or before == after:
            continue
        if key == "memory_bytes" and abs(before - after) <= SAME_MEMORY * max(before, after):
            continue
        found.append(f"{name} was {before}, is {after}")
    return found
