"""The tables of the benchmark, from what is in the work folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.compression.cells import FLOPS, ORIGINAL, OURS, QUANTIZED, SCRATCH
from benchmarks.compression.pooled import Made, Row, Table, compare, ratio
from benchmarks.compression.schedules import DROP_POINTS
from benchmarks.compression.settings import SETTINGS
from benchmarks.compression.statistics import SAME, WORSE, Difference, Ratio
from benchmarks.compression.tasks import get_task

PAPER = "paper: -48% to -78% on two phones"
GOAL = -0.25
ERROR_GOAL = 0.10
NOT_RUN = "not run"


def number(value: float | None, form: str) -> str:
    """A number, or a dash."""
    return "-" if value is None else format(value, form)


def table_lines(table: Table, task: str, setting: str) -> list[str]:
    """The table of one task and setting."""
    lines = [
        f"== {task}, {setting} ({SETTINGS[setting].about}): {get_task(task).about}",
        f"{'':19s}{'seeds':>6s}{'accuracy':>10s}{'macro-F1':>10s}{'points against the original':>33s}"
        f"{'measured':>11s}{'of original':>25s}{'predicted':>11s}{'error':>7s}{'file':>10s}{'search':>8s}{'kept':>6s}",
    ]
    rows = table.rows(task, setting)
    original = table.row(task, setting, ORIGINAL)
    return lines + [row_line(row, original, table.seeds) for row in rows]


def row_line(row: Row, original: Row, seeds: int) -> str:
    """One line of it."""
    if not row.ran:
        reason = f"failed: {row.errors[0]}" if row.errors else NOT_RUN
        return f"{row.name:19s}{reason}"
    kept = sum(bool(made.facts.get("met")) for made in row.made)
    relative = ratio(row, original) if row.name != ORIGINAL else None
    errors = [abs(error) for made in row.made if (error := prediction_error(made)) is not None]
    return (
        f"{row.name:19s}{len(row.made):>4d}/{seeds}"
        f"{number(row.mean(lambda made: made.answers.accuracy), '10.2%'):>10s}"
        f"{number(row.mean(lambda made: made.answers.macro_f1), '10.3f'):>10s}"
        f"{points(row.against_original):>33s}"
        f"{number(row.measured_ms, '8.4f') + ' ms' if row.measured_ms else '-':>11s}"
        f"{relative.text() if relative else '':>25s}"
        f"{number(row.mean(lambda made: made.facts['predicted_ms']), '8.4f'):>8s} ms"
        f"{number(float(np.mean(errors)) if errors else None, '6.1%'):>7s}"
        f"{number(row.mean(lambda made: made.facts['file_bytes'] / 1e3), '7.1f'):>7s} kB"
        f"{number(row.mean(lambda made: made.facts.get('seconds')), '6.0f'):>6s} s"
        f"{f'{kept}/{len(row.made)}':>6s}"
    )


def points(found: Difference | None) -> str:
    """A difference with its interval and what it means."""
    if found is None:
        return ""
    return f"{found.points:+.2f} [{found.low:+.2f}, {found.high:+.2f}] {found.verdict(DROP_POINTS)}"


def prediction_error(made: Made) -> float | None:
    """Predicted over measured time, minus 1."""
    return None if made.measured_ms is None else float(made.facts["predicted_ms"]) / made.measured_ms - 1


@dataclass(frozen=True)
class Comparison:
    """Two rows of one table: times and accuracies."""

    task: str
    setting: str
    one: str
    other: str
    time: Ratio | None
    accuracy: Difference | None

    @property
    def verdict(self) -> str:
        """Whether the first is as accurate as the other, as rows are judged against the original."""
        return "" if self.accuracy is None else self.accuracy.verdict(DROP_POINTS)

    def line(self) -> str:
        """As text; with what is known of their accuracies."""
        start = f"{self.task:16s}{self.setting:16s}{self.one:18s} against {self.other:19s}"
        if self.time is None or self.accuracy is None:
            return start + NOT_RUN
        told = f"{self.time.text():>25s}  {self.time.seeds} seeds; accuracy {points_apart(self.accuracy)}"
        return f"{start}{told} {self.verdict}"


def points_apart(found: Difference) -> str:
    """A difference with its interval."""
    return f"{found.points:+.2f} points [{found.low:+.2f}, {found.high:+.2f}]"


def comparison(table: Table, task: str, setting: str, one: str, other: str) -> Comparison:
    """Two rows of a table."""
    first, second = (table.row(task, setting, name) for name in (one, other))
    return Comparison(task, setting, one, other, ratio(first, second), compare(first, second))


def against_deepiot(table: Table) -> list[Comparison]:
    """FastDeepIoT against DeepIoT in every table."""
    return [comparison(table, t, s, "fastdeepiot", "deepiot") for t in table.tasks for s in table.settings]


def strongest(table: Table, task: str, setting: str, ours: bool) -> Row | None:
    """Of our rows or of the baselines the fastest whose accuracy is not surely worse than the original's.

    Rows that are surely the same come first where there are any; steered by FLOPs, each method is a baseline. Only rows
    that have as many seeds as the fullest one are looked at.
    """
    rows = [
        row for row in table.rows(task, setting)
        if row.name not in (ORIGINAL, QUANTIZED, SCRATCH) and (row.name in OURS) == ours
        and row.measured_ms is not None and row.verdict != WORSE
    ]  # fmt: skip
    most = max((len(row.made) for row in rows), default=0)
    rows = [row for row in rows if len(row.made) == most]
    return min(rows, key=lambda row: row.measured_ms or np.inf) if rows else None


def against_strongest(table: Table) -> list[Comparison]:
    """FastDeepIoT, and the fastest of ours, against the strongest baseline of every table."""
    found = []
    for task in table.tasks:
        for setting in table.settings:
            rival, best = strongest(table, task, setting, False), strongest(table, task, setting, True)
            if rival is None:
                continue
            for name in dict.fromkeys(["fastdeepiot", *([best.name] if best else [])]):
                found.append(comparison(table, task, setting, name, rival.name))
    return found


def worth_of_time(table: Table) -> list[Comparison]:
    """Each method steered by predicted time against itself steered by FLOPs."""
    names = [name.removesuffix(FLOPS) for name in table.names if name.endswith(FLOPS)]
    return [
        comparison(table, task, setting, name, name + FLOPS)
        for name in names if name in table.names
        for task in table.tasks for setting in table.settings
    ]  # fmt: skip


def prediction_lines(table: Table) -> list[str]:
    """How near predicted times of the chosen networks are to measured ones."""
    lines = []
    for task in table.tasks:
        for setting in table.settings:
            errors = np.array(
                [
                    error
                    for row in table.rows(task, setting) if row.name not in (ORIGINAL, QUANTIZED)
                    for made in row.made if (error := prediction_error(made)) is not None
                ]
            )  # fmt: skip
            if not errors.size:
                lines.append(f"{task:16s}{setting:16s}{NOT_RUN}")
                continue
            within = np.mean(np.abs(errors) <= ERROR_GOAL)
            lines.append(
                f"{task:16s}{setting:16s}{len(errors):3d} networks: {within:.0%} within {ERROR_GOAL:.0%}, mean error "
                f"{np.abs(errors).mean():.1%}, bias {np.median(errors):+.1%}, worst {np.abs(errors).max():.1%}"
            )
    return lines


def goal_line(found: Sequence[Comparison]) -> str:
    """Whether the strongest baseline is beaten on every task, and by a quarter on two."""
    best: dict[tuple[str, str], Comparison] = {}
    for item in found:
        key = item.task, item.setting
        if item.time is not None and (key not in best or item.time.ratio < best[key].time.ratio):  # type: ignore[union-attr]
            best[key] = item
    beaten = sorted({task for task, _ in best if all(
        c.time is not None and c.time.ratio < 1 for (t, _), c in best.items() if t == task)})  # fmt: skip
    quarter = sorted({t for (t, _), c in best.items() if c.time is not None and c.time.ratio <= 1 + GOAL})
    tasks = len({task for task, _ in best})
    return (
        f"The strongest baseline is beaten in every setting on {len(beaten)} of {tasks} tasks "
        f"({', '.join(beaten) or 'none'}); by {-GOAL:.0%} or more in at least one setting on {len(quarter)} "
        f"({', '.join(quarter) or 'none'})."
    )


def report_lines(table: Table) -> list[str]:
    """Everything but the sweep and the costs."""
    lines: list[str] = []
    rivals = against_strongest(table)
    for task in table.tasks:
        for setting in table.settings:
            lines += [*table_lines(table, task, setting), ""]
    lines += [
        "'same': not worse than the original by more than "
        f"{DROP_POINTS:g} point (5th percentile of a paired bootstrap over test rows, by subject, speaker or image, seeds "
        "pooled); 'worse': surely worse by more (95th percentile); else undecided; intervals of points are those two "
        "percentiles, 90%. 'of original': measured time of the file over that of "
        "the float32 original in the same round, less 1, with 95% interval over seeds and rounds. 'kept': seeds in which "
        "the accuracy was kept on validation.",
        "",
        f"== FastDeepIoT against DeepIoT: measured time ({PAPER})",
        *(item.line() for item in against_deepiot(table)),
        "",
        f"== Against the strongest baseline (fastest row not {WORSE}; {', '.join(OURS)} count as ours)",
        *(item.line() for item in rivals),
        goal_line(rivals) if rivals else NOT_RUN,
        "",
        "== What the model of time is worth: steered by predicted time against steered by FLOPs",
        *(item.line() for item in worth_of_time(table)),
        "",
        "== Predicted against measured time of the chosen networks",
        *prediction_lines(table),
    ]
    return lines


__all__ = ["SAME", "Comparison", "report_lines", "table_lines"]
