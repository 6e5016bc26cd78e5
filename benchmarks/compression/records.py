"""The tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.compression.pooled import Table
from benchmarks.compression.report import (
    Comparison,
    against_deepiot,
    against_strongest,
    prediction_error,
    worth_of_time,
)
from profiler.files import replacing


def cell_records(table: Table) -> list[dict[str, Any]]:
    """One record for each cell, those that were not run included."""
    records = []
    for task in table.tasks:
        for setting in table.settings:
            for row in table.rows(task, setting):
                made = {item.cell.seed: item for item in row.made}
                for seed in range(table.seeds):
                    record: dict[str, Any] = {"task": task, "setting": setting, "row": row.name, "seed": seed}
                    item = made.get(seed)
                    if item is None:
                        records.append({**record, "state": "failed" if row.errors else "not run"})
                        continue
                    facts = item.facts
                    records.append(
                        {
                            **record,
                            "state": "kept" if facts.get("met") else "missed",
                            "accuracy": item.answers.accuracy,
                            "macro_f1": item.answers.macro_f1,
                            "validation": facts.get("validation"),
                            "measured_ms": item.measured_ms,
                            "rounds": len(item.relative),
                            "predicted_ms": facts["predicted_ms"],
                            "error": prediction_error(item),
                            "file_bytes": facts["file_bytes"],
                            "macs": facts["macs"],
                            "parameters": facts.get("parameters"),
                            "search_s": facts.get("seconds"),
                            "cpu_s": facts.get("cpu_seconds"),
                            "trials": facts.get("trials"),
                            "code": " ".join(facts.get("code") or ["unknown"]),
                            "widths": " ".join(f"{k}={v}" for k, v in (facts.get("widths") or {}).items()),
                        }
                    )
    return records


def row_records(table: Table) -> list[dict[str, Any]]:
    """One record for each row: its accuracy against the original."""
    records = []
    for task in table.tasks:
        for setting in table.settings:
            for row in table.rows(task, setting):
                found = row.against_original
                records.append(
                    {
                        "task": task, "setting": setting, "row": row.name, "seeds": len(row.made),
                        "accuracy": row.mean(lambda made: made.answers.accuracy), "measured_ms": row.measured_ms,
                        "points": found.points if found else None, "low": found.low if found else None,
                        "high": found.high if found else None, "verdict": row.verdict if row.ran else "not run",
                    }
                )  # fmt: skip
    return records


def comparison_records(table: Table) -> list[dict[str, Any]]:
    """One record for each pair of rows that is compared."""
    groups: dict[str, list[Comparison]] = {
        "FastDeepIoT against DeepIoT": against_deepiot(table),
        "against the strongest baseline": against_strongest(table),
        "time against FLOPs": worth_of_time(table),
    }
    return [
        {
            "question": question, "task": item.task, "setting": item.setting, "one": item.one, "other": item.other,
            **({"ratio": item.time.ratio, "low": item.time.low, "high": item.time.high, "seeds": item.time.seeds}
               if item.time else {}),
            **({"points": item.accuracy.points, "points_low": item.accuracy.low, "points_high": item.accuracy.high,
                "accuracy": item.verdict} if item.accuracy else {}),
        }
        for question, items in groups.items() for item in items
    ]  # fmt: skip


def turn_records(table: Table) -> list[dict[str, Any]]:
    """One record for each measured round."""
    return [asdict(turn) for turn in table.turns.rows]


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records; numbers with five digits."""
    if not records:
        return
    names = list(dict.fromkeys(name for record in records for name in record))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for record in records:
            writer.writerow([_text(record.get(name)) for name in names])


def _text(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else value
