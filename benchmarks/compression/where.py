"""Where the time of the networks of a table goes, by operator, and what no width can take away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression.cells import ORIGINAL
from benchmarks.compression.pooled import Row, Table
from benchmarks.compression.report import strongest
from benchmarks.compression.settings import SETTINGS, model_path
from benchmarks.compression.tasks import get_task
from profiler.files import replacing
from profiler.tflite import read_network
from timemodel.model import TimeModel

NARROWEST = "4 channels"
RUNTIME = "runtime itself"
OTHERS = "other operators"
_LEAST_SHARE = 0.05
"""Operators below that share of every network are shown together."""

Times = dict[str, tuple[float, float]]
"""By operator: how many there are and what they take together, in ms; means over networks."""


def narrowest_file(work: Path, task: str, setting: str) -> Path:
    """The task's network with four channels in every layer, as the setting exports it."""
    return work / "originals" / task / "narrowest" / f"{SETTINGS[setting].quantize}.tflite"


def make_narrowest(work: Path, task: str, setting: str) -> None:
    """Export it, untrained, where it is not there yet: its weights change nothing of its time."""
    path = narrowest_file(work, task, setting)
    if path.exists():
        return
    from compressor.export import to_tflite_bytes

    model, mode = get_task(task).network(0.0), SETTINGS[setting].quantize
    rows = np.random.default_rng(0).normal(size=(16, *model.input_shape[1:])).astype(np.float32)
    content = to_tflite_bytes(model, mode, None if mode == "none" else rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def by_operator(predictions: Sequence[Any]) -> Times:
    """Times of several predicted networks, by operator; what no operator accounts for is the runtime's own."""
    found: dict[str, list[tuple[int, float]]] = {}
    for prediction in predictions:
        whole: dict[str, list[float]] = {}
        for layer in prediction.layers:
            whole.setdefault(layer.op, []).append(layer.predicted_ms)
        whole[RUNTIME] = [prediction.predicted_ms - sum(sum(times) for times in whole.values())]
        for name, times in whole.items():
            found.setdefault(name, []).append((0 if name == RUNTIME else len(times), sum(times)))
    networks = len(predictions)
    return {name: (sum(n for n, _ in some) / networks, sum(ms for _, ms in some) / networks)
            for name, some in found.items()}  # fmt: skip


def columns(table: Table, task: str, setting: str) -> dict[str, Times]:
    """The original, the strongest baseline, the fastest of ours and the narrowest network; those that are there."""
    work = table.store.work
    path = model_path(work, setting)
    if not path.exists():
        return {}
    model = TimeModel.load(path)
    found: dict[str, Times] = {}
    rows: list[Row | None] = [
        table.row(task, setting, ORIGINAL),
        strongest(table, task, setting, False),
        strongest(table, task, setting, True),
    ]
    for row in rows:
        if row is not None and row.ran:
            files = [table.store.file(made.cell) for made in row.made]
            found[row.name] = by_operator([model.predict(read_network(file)) for file in files])
    narrowest = narrowest_file(work, task, setting)
    if narrowest.exists():
        found[NARROWEST] = by_operator([model.predict(read_network(narrowest))])
    return found


def gathered(found: dict[str, Times]) -> dict[str, Times]:
    """The same with operators that take little in every network put together."""
    totals = {name: sum(ms for _, ms in times.values()) for name, times in found.items()}
    large = {op for name, times in found.items() for op, (_, ms) in times.items()
             if op == RUNTIME or ms >= _LEAST_SHARE * totals[name]}  # fmt: skip
    merged: dict[str, Times] = {}
    for name, times in found.items():
        rest = [value for op, value in times.items() if op not in large]
        merged[name] = {op: value for op, value in times.items() if op in large}
        if rest:
            merged[name][OTHERS] = sum(n for n, _ in rest), sum(ms for _, ms in rest)
    return merged


def lines(table: Table) -> list[str]:
    """One table for each task and setting."""
    told = [
        "== Where the time goes, predicted, mean over seeds: the original, the strongest baseline, the fastest of ours,",
        f"   and '{NARROWEST}': the network with that many in every layer, below which widths hardly matter",
    ]
    for task in table.tasks:
        for setting in table.settings:
            found = gathered(columns(table, task, setting))
            told += [f"{task}, {setting}", *(_lines(found) if found else ["  not run"])]
    return told


def _lines(found: dict[str, Times]) -> list[str]:
    order = {op: ms for times in reversed(found.values()) for op, (_, ms) in times.items()}
    operators = sorted(order, key=lambda op: (op in (OTHERS, RUNTIME), op == RUNTIME, -order[op]))
    told = [f"  {'':26s}" + "".join(f"{name:>24s}" for name in found)]
    for op in operators:
        told.append(f"  {op:26s}" + "".join(f"{_cell(times.get(op)):>24s}" for times in found.values()))
    wholes = (sum(ms for _, ms in times.values()) for times in found.values())
    return [*told, f"  {'in all':26s}" + "".join(f"{whole:>21.4f} ms" for whole in wholes)]


def _cell(value: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    count, ms = value
    return f"{f'{count:.0f}x' if count else ''} {ms:.4f} ms"


def records(table: Table) -> list[dict[str, Any]]:
    """One record for each operator of each column."""
    return [
        {"task": task, "setting": setting, "row": name, "operator": op, "count": count, "predicted_ms": ms}
        for task in table.tasks
        for setting in table.settings
        for name, times in columns(table, task, setting).items()
        for op, (count, ms) in times.items()
    ]
