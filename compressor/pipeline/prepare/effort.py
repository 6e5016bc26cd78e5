"""What a compression spent its time on, as plain values and in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compressor.search import PHASES

SEARCHING, TRAINING = "searching", "training"
"""Phases that contain the others: all of the search, and all full trainings."""


def effort_of(
    rows: Sequence[Mapping[str, Any]],
    finished: Mapping[str, Mapping[str, Any]],
    most_s: float | None = None,
    structures: int = 1,
) -> dict[str, Any]:
    """Where the time went.

    Parameters
    ----------
    rows
        Of `compressor.search.Effort`, of all processes.
    finished
        Full trainings by candidate and seed: ``seconds`` and ``steps``.
    most_s
        The seconds that were given in all; None where there was no limit.
    structures
        Different ones among the candidates that were trained; more may have been ranked.

    Returns
    -------
    dict
        ``phases``: by name (looking, ranking, fine-tuning, finalists, and searching and training, which contain them)
        ``seconds``, ``steps`` and ``count`` (different finalists, whatever seeds and parts they were trained in);
        ``candidates``: each training with its ``phase``, ``candidate``, ``steps`` and ``seconds``; ``structures``; ``most_s``;
        ``summary``: one line.
    """
    trained = [
        {
            "phase": "finalists",
            "candidate": key,
            "steps": int(one["steps"]),
            "seconds": round(float(one["seconds"]), 3),
        }
        for key, one in finished.items()
    ]
    every = [*rows, *trained]
    phases = {}
    for name in (*PHASES, SEARCHING, TRAINING):
        some = [row for row in every if row["phase"] == name]
        phases[name] = {
            "seconds": round(sum(row["seconds"] for row in some), 3),
            "steps": sum(row.get("steps", 0) for row in some),
            "count": sum(row.get("candidates", row.get("blocks", 1)) for row in some),
        }
    # Each seed and each part of a training is a row of its own.
    phases["finalists"]["count"] = len({key.partition("_seed")[0] for key in finished})
    found = {
        "phases": phases,
        "candidates": [dict(row) for row in every if "candidate" in row],
        "structures": max([structures, *(row.get("structures", 1) for row in rows)]),
        "most_s": most_s,
    }
    return {**found, "summary": _summary(found)}


def _summary(effort: Mapping[str, Any]) -> str:
    phases, most_s = effort["phases"], effort["most_s"]
    limit = f" of {most_s:.0f} s" if most_s else ""
    ranked, tuned, finalists = (phases[name] for name in ("ranking", "fine-tuning", "finalists"))
    parts = [_counted(effort["structures"], "structure")]
    if ranked["count"]:
        parts.append(f"{_counted(ranked['count'], 'candidate')} ranked")
    parts.append(f"{tuned['count']:,} fine-tuned ({_counted(tuned['steps'], 'step')})")
    return (
        f"searching {phases[SEARCHING]['seconds']:.0f} s{limit}: {', '.join(parts)}; "
        f"training {phases[TRAINING]['seconds']:.0f} s: {_counted(finalists['count'], 'finalist')}, "
        f"{_counted(finalists['steps'], 'step')}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
