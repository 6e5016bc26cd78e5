"""Tables of layer measurements: reading them, and writing predictions beside their rows."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from profiler.errors import DataError, UsageError
from profiler.files import write_bytes
from profiler.network import Layer
from timemodel.fitting.tables.csv_files import Csv, read_csv
from timemodel.fitting.tables.layers import COLUMNS, read_layers
from timemodel.fitting.tables.time_units import Suspicion, suspect

UNITS: Mapping[str, float] = {"ms": 1.0, "us": 1e-3, "s": 1e3}
"""Milliseconds in each unit of time that a table may be in."""

TIME_COLUMNS = tuple(f"time_{unit}" for unit in UNITS)
SPREAD_COLUMNS = tuple(f"time_std_{unit}" for unit in UNITS)
ENERGY_COLUMNS: Mapping[str, float] = {
    "energy_mj": 1.0, "energy_uj": 1e-3, "energy_j": 1e3, "power_w": 1.0, "power_mw": 1e-3,
}  # fmt: skip
"""Columns of energy, and millijoules in their unit; of power, and watts in theirs (a watt for a millisecond is a millijoule)."""
PREDICTED = ("predicted_ms", "low_ms", "high_ms", "predicted_mj")

MIXED = 300.0
"""Times of the same layer that differ by more than this are no two measurements of the same thing."""


@dataclass(frozen=True)
class LayerTable:
    """A table's rows as layers, their times ``[n]`` if it has any, and what was taken for granted, a sentence each.

    `energies_mj` ``[n]`` is NaN where a row has none, None where no row has.
    """

    table: Csv
    layers: tuple[Layer, ...]
    times_ms: np.ndarray | None
    notes: tuple[str, ...]
    energies_mj: np.ndarray | None = None

    @property
    def path(self) -> Path:
        """Where it was read from."""
        return self.table.path

    def suspicion(self) -> Suspicion | None:
        """Why the unit of the times is in doubt, if it is."""
        if self.times_ms is None:
            return None
        found = suspect(self.layers, self.times_ms)
        if found is not None:
            return found
        for members in _same(self.layers).values():
            times = self.times_ms[members]
            if times.max() > MIXED * times.min():
                line, other = (
                    self.table.records[members[at]].line for at in (times.argmax(), times.argmin())
                )
                reason = (
                    f"lines {other} and {line} give the same layer {times.min():.4g} and {times.max():.4g}"
                )
                return Suspicion(reason, None, tuple(members))
        return None

    def doubt(self, suspicion: Suspicion) -> str:
        """`suspicion` as a sentence's beginning, with the first lines that it is about."""
        where = ""
        if suspicion.rows:
            lines = [self.table.records[i].line for i in suspicion.rows[:5]]
            more = ", …" if len(suspicion.rows) > len(lines) else ""
            where = f" (line{'s' if len(suspicion.rows) > 1 else ''} {', '.join(map(str, lines))}{more})"
        unit = time_column(self.table)
        guess = f", as if it were {_WORDS[suspicion.unit]}" if suspicion.unit else ", as if units were mixed"
        return f"{self.path}, column {unit}: {suspicion.reason}{where}{guess}"

    def distinct(self) -> tuple[list[Layer], np.ndarray, np.ndarray, list[str]]:
        """Every layer once with its time and its energy (NaN: none), and what was said more than once.

        A line that repeats another, time and all, counts once. A layer that was measured several times counts once with
        the median of its times.
        """
        assert self.times_ms is not None
        groups = _same(self.layers)
        times, energies = np.empty(len(groups)), np.full(len(groups), np.nan)
        repeated = differing = 0
        widest = 1.0
        for number, members in enumerate(groups.values()):
            own = np.unique(self.times_ms[members])
            repeated += len(members) - len(own)
            differing += len(own) > 1
            widest = max(widest, float(own[-1] / own[0]))
            times[number] = np.median(own)
            if self.energies_mj is not None and np.isfinite(self.energies_mj[members]).any():
                energies[number] = np.nanmedian(self.energies_mj[members])
        notes = []
        if repeated:
            what = "line repeats" if repeated == 1 else "lines repeat"
            notes.append(f"{self.path}: {repeated} {what} an earlier one, time and all: counted once.")
        if differing:
            what = "layer was" if differing == 1 else "layers were"
            notes.append(
                f"{self.path}: {differing} {what} measured more than once, up to "
                f"{widest - 1:.0%} apart: the median of each counts."
            )
        return list(groups), times, energies, notes


_WORDS = {"us": "microseconds", "s": "seconds", "ms": "milliseconds"}


def _same(layers: Sequence[Layer]) -> dict[Layer, list[int]]:
    groups: dict[Layer, list[int]] = {}
    for i, layer in enumerate(layers):
        groups.setdefault(layer, []).append(i)
    return groups


def read_table(
    path: str | os.PathLike[str], times: bool = True, unit: str | None = None, device: str | None = None
) -> LayerTable:
    """Read a table of layers, CSV or CSV packed with gzip, in the columns of `COLUMNS`; with `times` each line must have one.

    `unit` (``ms``, ``us`` or ``s``) is that of the times, whatever their column's name says; `device` is whose lines to take.
    """
    table = chosen_device(read_csv(path, "table of layers"), device)
    if "op" not in table.columns:
        raise table.fail("there is no column op", "name TFLite's operator in it, such as conv_2d", 1)
    column = time_column(table, unit) if times else None
    layers, taken = read_layers(table)
    values = None
    if column is not None:
        factor = UNITS[unit or column.removeprefix("time_")]
        values = np.array([table.amount(record, column) for record in table.records]) * factor
    notes = [
        f"{table.path}: where {name} is not given it is taken as {value}." for name, value in taken.items()
    ]
    energies = None if values is None else _energies_mj(table, values)
    known = {*COLUMNS, "time", "device", *TIME_COLUMNS, *SPREAD_COLUMNS, *ENERGY_COLUMNS, *PREDICTED}
    unused = sorted(set(table.columns) - known)
    if unused:
        notes.append(f"{table.path}: not used: column{'s' if len(unused) > 1 else ''} {', '.join(unused)}.")
    return LayerTable(table, layers, values, tuple(notes), energies)


def _energies_mj(table: Csv, times_ms: np.ndarray) -> np.ndarray | None:
    """Energies ``[n]`` in mJ from the column of energy or power, if there is one: NaN where a cell is empty."""
    found = [name for name in ENERGY_COLUMNS if name in table.columns]
    if not found:
        return None
    if len(found) > 1:
        raise table.fail(f"columns {' and '.join(found)} both hold energy", "remove one", 1)
    column = found[0]
    cells = [
        table.amount(record, column, column.partition("_")[0]) if record.cells[column] else np.nan
        for record in table.records
    ]
    energies = np.array(cells) * ENERGY_COLUMNS[column] * (times_ms if column.startswith("power") else 1.0)
    return energies if np.isfinite(energies).any() else None


def chosen_device(table: Csv, device: str | None) -> Csv:
    """The lines of `device` in a table that has a column of that name; `table` itself where it has none."""
    if "device" not in table.columns:
        return table
    names = list(dict.fromkeys(record.cells["device"] for record in table.records))
    if device is None and len(names) > 1:
        raise UsageError(
            f"{table.path} holds {len(names)} devices: choose one with --device ({', '.join(names[:6])}"
            f"{', …' if len(names) > 6 else ''})."
        )
    wanted = device if device is not None else names[0]
    rows = tuple(record for record in table.records if record.cells["device"] == wanted)
    if not rows:
        raise UsageError(f"{table.path} holds no device {wanted!r}: choose one of {', '.join(names[:10])}.")
    return Csv(table.path, table.columns, rows)


def time_column(table: Csv, unit: str | None = None) -> str:
    """The column that holds the times."""
    found = [name for name in (*TIME_COLUMNS, "time") if name in table.columns]
    if not found:
        raise table.fail("there is no column time_ms", "add the measured times", 1)
    if len(found) > 1:
        raise table.fail(f"columns {' and '.join(found)} both hold times", "remove one", 1)
    if found[0] == "time" and unit is None:
        mend = "name it time_ms or give --time-unit ms|us|s"
        raise table.fail("the unit of column time is not said", mend, 1)
    return found[0]


def write_predictions(
    path: str | os.PathLike[str],
    table: Csv,
    predicted_ms: np.ndarray,
    low_ms: np.ndarray,
    high_ms: np.ndarray,
    predicted_mj: np.ndarray | None = None,
) -> None:
    """Write the rows of `table` with `PREDICTED` columns added, whole or not at all; a name in .gz is packed.

    What is no number (NaN) is an empty cell.
    """
    target = Path(path)
    if target.exists() and table.path.exists() and os.path.samefile(target, table.path):
        raise UsageError(f"{target} is the table itself: write the predictions to another file.")
    columns = [name for name in table.columns if name not in PREDICTED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    found = [predicted_ms, low_ms, high_ms, *([] if predicted_mj is None else [predicted_mj])]
    writer.writerow([*columns, *PREDICTED[: len(found)]])
    for record, *values in zip(table.records, *found, strict=True):
        writer.writerow(
            [
                *(record.cells[c] for c in columns),
                *("" if value != value else f"{value:.6g}" for value in values),
            ]
        )
    data = text.getvalue().encode("utf-8")
    write_bytes(target, gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)


def checked(table: LayerTable, unit: str | None) -> LayerTable:
    """`table`, unless its times are in doubt and no `unit` was given."""
    suspicion = table.suspicion() if unit is None else None
    if suspicion is None:
        return table
    raise DataError(f"{table.doubt(suspicion)}: say which it is with --time-unit ms|us|s.")
