"""How a network on a microcontroller looks in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from edgetime import units
from edgetime.terminal.console import table


def microcontroller(result: Mapping[str, Any]) -> list[RenderableType]:
    """Flash, arena and what is missing; `result` is a line of ``predict --mcu --json``."""
    lines = [f"{result['network']}, {result['dtype']}, on a microcontroller under TFLite Micro"]
    code = f"code about {units.size(result['code_bytes'])}"
    lines.append(
        f"  flash {units.size(result['flash_bytes'])}: model {units.size(result['model_bytes'])}, {code}"
    )
    lines += [f"  {line}" for line in _arena(result)]
    lines += [f"  {line}" for line in lacks(result)]
    lines += [f"  {line}" for line in _order_of_magnitude(result)]
    return [*lines]


def _arena(result: Mapping[str, Any]) -> list[str]:
    parts = result["arena"]
    first = f"tensors {units.size(parts['tensor_bytes'])}"
    if parts["planning_bytes"] > parts["tensor_bytes"]:
        first = (
            f"planning {units.size(parts['planning_bytes'])} (tensors {units.size(parts['tensor_bytes'])})"
        )
    lines = [
        f"arena {units.size(result['arena_bytes'])}: {first}, structures that stay {units.size(parts['persistent_bytes'])}",
        f"arena with 32-bit pointers {units.size(result['arena_32bit_bytes'])}, with CMSIS-NN's buffers "
        f"{units.size(result['arena_cmsis_nn_bytes'])}",
    ]
    if result["measured_arena_bytes"] is not None:
        enough = "is enough" if result["arena_is_enough"] else "is NOT enough"
        off = units.difference(result["arena_bytes"], result["measured_arena_bytes"])
        lines.append(
            f"its interpreter uses {units.size(result['measured_arena_bytes'])} (estimate {off}); the estimate {enough} to start"
        )
    if result["interpreter_problem"]:
        lines.append(f"its interpreter cannot run it: {result['interpreter_problem']}")
    return lines


def lacks(result: Mapping[str, Any]) -> list[str]:
    """What TFLite Micro lacks, in one line; empty where it has everything."""
    missing = [*result["missing_operators"], *result["missing_types"]]
    return [f"cannot run there: {result['tflite_micro']} lacks {', '.join(missing)}"] if missing else []


def _order_of_magnitude(result: Mapping[str, Any]) -> list[str]:
    rows: Sequence[Mapping[str, Any]] = result["order_of_magnitude"]
    if not rows or result["predicted_ms"] is not None:
        return []
    words = []
    for row in rows:
        time = f"{units.ms(row['time_ms'])}, " if row["time_ms"] is not None else ""
        words.append(f"{row['board']} {time}{row['energy_mj']:.2g} mJ")
    return [f"order of magnitude only, by MACs from {rows[0]['source']}: {'; '.join(words)}"]


def microcontroller_batch(results: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """One row per network; then what is missing."""
    measured = any(result["measured_arena_bytes"] is not None for result in results)
    timed = any(result["predicted_ms"] is not None for result in results)
    rows = []
    for result in results:
        row = [
            result["network"],
            result["dtype"],
            units.size(result["flash_bytes"]),
            units.size(result["arena_bytes"]),
        ]
        row += [units.size(result["measured_arena_bytes"])] if measured else []
        row += [units.ms(result["predicted_ms"])] if timed else []
        rows.append([*row, "no" if lacks(result) else "yes"])
    columns = ["network", "dtype", "flash", "arena", *(["interpreter"] if measured else [])]
    columns += [*(["predicted"] if timed else []), "runs"]
    return [table(columns, rows), *(f"{r['network']} {line}" for r in results for line in lacks(r))]
