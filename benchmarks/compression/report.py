"""The tables of the benchmark in Markdown, and as records for CSV files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.compression.sizes import OURS
from benchmarks.compression.table import Comparison, Entry, Part
from benchmarks.compression.tasks import get_task

CONTROL = "uniform-snapped"
GOAL = 0.75
ERROR_GOAL = 0.10
PAIRS = (
    ("fastdeepiot", "deepiot"),
    ("structure", "flops"),
    ("structure", "scratch"),
    ("structure", "optuna"),
    ("structure", "uncut"),
)

LEGEND = (
    "Scores are of test rows that nothing has seen: right answers in %, or the explained share of variance; in brackets are "
    "points against the original, and seeds. 'time' is that of the exported file over the original's in the same rounds, 's' "
    "seconds of a core. 'points' are of score at an equal budget, 'time at equal score' is what the first row takes, read between "
    "its own networks, for the score that the second one has at that budget ('≤': its fastest network has it already), and "
    "'over all scores' what it takes over what the second one takes, in the mean of all scores that both have. Intervals "
    "are 95%, of the test's rows (paired bootstrap) and of training (what seeds leave once means of rows and of seeds are taken "
    "off) together; '?' is no bound. (p): predicted, not measured."
)


def lines(parts: Sequence[Part]) -> list[str]:
    """Everything, as Markdown."""
    told = [LEGEND, ""]
    for part in parts:
        told += [*table_lines(part), ""] if part.original.made else []
    told += ["### Ours against the others", "", *comparison_lines(against_others(parts)), ""]
    told += ["### Pairs", "", *comparison_lines(pairs(parts)), ""]
    told += ["### Predicted against measured time", "", *prediction_lines(parts)]
    return told


def table_lines(part: Part) -> list[str]:
    """The rows of one task and number type of which there is an original."""
    told = [f"### {part.task}, {part.setting}: {get_task(part.task).about}", ""]
    seeds = list(part.original.made)
    ms = [made.measured_ms or made.facts["predicted_ms"] for made in part.original.made.values()]
    told += [
        f"Original: {part.original.score(seeds):.2f} in {np.mean(ms):.4f} ms, {len(seeds)} seeds.",
        "",
        "| row | "
        + " | ".join(f"{share:g}: score | time | steps | tried | s" for share in part.shares)
        + " |",
        "|---|" + "---|" * (5 * len(part.shares)),
    ]
    for name, entries in part.rows.items():
        cells = [cell for share in part.shares for cell in _cells(entries[share], part.original)]
        error = part.errors.get(name)
        reason = f" (failed: {error})" if error else ""
        told.append(f"| {name}{reason} | " + " | ".join(cells) + " |")
    return told


def _cells(entry: Entry, original: Entry) -> list[str]:
    if not entry.made:
        return ["not run", "", "", "", ""]
    seeds = list(entry.made)
    predicted = "" if all(made.measured_ms for made in entry.made.values()) else " (p)"
    numbers = [entry.mean(name) for name in ("steps", "trials", "compress_s")]
    return [
        f"{entry.score(seeds):.2f} ({entry.score(seeds) - original.score(seeds):+.2f}; {len(seeds)})",
        f"{entry.time(seeds):.3f}{predicted}",
        *("-" if number is None else f"{number:,.0f}" for number in numbers),
    ]


def against_others(parts: Sequence[Part]) -> list[Comparison]:
    """Each of ours against the strongest other row and against snapped uniform widths, and the other way round."""
    found = []
    for part in parts:
        rivals = dict.fromkeys(name for name in (part.strongest(), CONTROL) if name)
        found += [
            part.compare(*pair) for one in OURS for other in rivals for pair in ((one, other), (other, one))
        ]
    return [one for one in found if one]


def pairs(parts: Sequence[Part]) -> list[Comparison]:
    """What single questions ask for."""
    found = [part.compare(one, other) for one, other in PAIRS for part in parts]
    return [one for one in found if one]


def comparison_lines(found: Sequence[Comparison]) -> list[str]:
    """A table of comparisons, and how many tasks reach the goal."""
    if not found:
        return ["Not run."]
    every = list(dict.fromkeys(tuple(f"{budget.share:g}" for budget in one.budgets) for one in found))
    heads = (
        every[0] if len(every) == 1 else [f"budget {number + 1}" for number in range(max(map(len, every)))]
    )
    told = [
        "| task | rows | seeds | " + " | ".join(f"{head}: points | time at equal score" for head in heads)
        + " | over all scores |",
        "|---|---|---|" + "---|" * (2 * len(heads) + 1),
    ]  # fmt: skip
    for one in found:
        cells = [
            text
            for budget in one.budgets
            for text in (f"{budget.points:+.2f} ± {_number(budget.half)}", budget.time.text())
        ]
        told.append(
            f"| {one.task}, {one.setting} | {one.one} against {one.other} | {one.seeds} | {' | '.join(cells)} | "
            f"{one.time.text()} |"
        )
    return told


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "?"


def prediction_lines(parts: Sequence[Part]) -> list[str]:
    """How near predicted times of the chosen networks are to measured ones."""
    told = []
    for part in parts:
        errors = np.array(
            [
                made.facts["predicted_ms"] / made.measured_ms - 1
                for entries in part.rows.values() for entry in entries.values()
                for made in entry.made.values() if made.measured_ms
            ]
        )  # fmt: skip
        if errors.size:
            within = np.mean(np.abs(errors) <= ERROR_GOAL)
            told.append(
                f"- {part.task}, {part.setting}: {len(errors)} networks, {within:.0%} within {ERROR_GOAL:.0%}, mean error "
                f"{np.abs(errors).mean():.1%}, bias {np.median(errors):+.1%}"
            )
    return told or ["Not measured."]


def goal_line(parts: Sequence[Part]) -> str:
    """On how many tasks and number types the best of ours takes a quarter less time than the strongest other row."""
    best: dict[tuple[str, str], float] = {}
    for part in parts:
        rival = part.strongest()
        compared = [part.compare(one, rival) for one in OURS] if rival else []
        ratios = [math.inf if one.time.ratio is None else one.time.ratio for one in compared if one]
        if ratios:
            best[part.task, part.setting] = min(ratios)
    quarter = [f"{task} ({setting})" for (task, setting), ratio in best.items() if ratio <= GOAL]
    return (
        f"At least {1 - GOAL:.0%} less time than the strongest other row at equal score: {len(quarter)} of {len(best)} "
        f"({', '.join(quarter) or 'none'})."
    )


def cell_records(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """One record for each finished cell."""
    names = (
        "predicted_ms", "validation", "steps", "rows", "trials", "search_s", "compress_s", "seconds", "wall_s", "file_bytes",
        "macs", "code", "missed", "changes",
    )  # fmt: skip
    return [
        {
            "task": part.task, "setting": part.setting, "row": made.cell.name, "share": made.cell.share,
            "seed": made.cell.seed, "score": made.score, "time": made.time, "measured_ms": made.measured_ms,
            **{name: made.facts.get(name) for name in names},
        }
        for part in parts
        for entry in (part.original, *(e for entries in part.rows.values() for e in entries.values()))
        for made in entry.made.values()
    ]  # fmt: skip


def comparison_records(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """One record for each pair of rows and budget."""
    return [
        {
            "task": one.task, "setting": one.setting, "one": one.one, "other": one.other, "seeds": one.seeds,
            "share": at.share, "points": at.points, "points_half": at.half, "time": at.time.ratio, "least": at.time.least,
            "time_low": at.time.low, "time_high": at.time.high,
        }
        for one in (*against_others(parts), *pairs(parts)) for at in one.budgets
    ]  # fmt: skip
