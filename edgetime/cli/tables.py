"""What ``edgetime fit`` and ``edgetime predict`` do with tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgetime.terminal import Terminal, options, table, views
from profiler.errors import UsageError

if TYPE_CHECKING:
    from timemodel.fitting.tables import LayerTable
    from timemodel.model import TimeModel


class TimeUnit(str, Enum):
    """Units that a table's times may be in."""

    ms = "ms"
    us = "us"
    s = "s"


def _read(path: Path, unit: str | None, device: str | None, out: Terminal) -> LayerTable:
    """Read a table. Where its times are in doubt the user is asked for their unit; if nobody is there it is a DataError."""
    from timemodel.fitting.tables import UNITS, checked, read_table

    read = read_table(path, unit=unit, device=device)
    for note in read.notes:
        out.note(note)
    doubt = None if unit else read.suspicion()
    if doubt is None:
        return read
    if doubt.unit is None or not _asks():
        return checked(read, None)
    out.warn(f"{read.doubt(doubt)}.")
    choices = "/".join(UNITS)
    answer = ""
    while answer not in UNITS:
        answer = typer.prompt(
            f"Which unit are the times in? [{choices}]", default=doubt.unit, err=True
        ).strip()
    return read_table(path, unit=answer, device=device)


def _asks() -> bool:
    """Whether somebody sits at a terminal who can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def fit(
    tables: Sequence[Path],
    output: Path,
    device: str | None,
    unit: str | None,
    like: Path | None,
    out: Terminal,
) -> None:
    """Learn a time model from tables of layers, and show how far it is off."""
    from timemodel.fitting.tables import fit_tables
    from timemodel.model import TimeModel

    structure = TimeModel.load(like).setting() if like is not None else None
    read = [_read(path, unit, device, out) for path in tables]
    # The device that the table names, else the first file's name.
    name = device or read[0].table.records[0].cells.get("device") or _stem(read[0].path)
    with out.progress("Fit") as progress:
        model, notes = fit_tables(read, name, progress, structure=structure)
    model.save(output)
    for note in notes:
        out.note(note)
    show_fitted(model, output, out)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def show_fitted(model: TimeModel, output: Path, out: Terminal, **more: Any) -> None:
    """Show how far a new time model is off; its JSON gets `more` keys."""
    from timemodel.explain import energy_in_words

    errors = [error.to_dict() for error in model.errors]
    settings = list(model.settings)
    conditions = model.setting().conditions
    if conditions is not None:
        more |= {"calm_share": conditions.calm_share, "conditions": conditions.to_dict()}
    out.json(
        {
            "time_model": str(output),
            "device": model.device,
            "settings": settings,
            "errors": errors,
            "has_energy": model.setting().energy is not None,
            **more,
        }
    )
    if conditions is not None:
        out.show(conditions.in_words())
    energy = [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in energy_in_words(model.setting())]
    out.show(views.fit_table(errors), *energy, f"Time model of {model.device}: {output}")


def fit_totals(
    totals: Path, networks: Path, output: Path, device: str | None, unit: str | None, out: Terminal
) -> None:
    """Learn time models from times of whole networks: of one device, or of all into a folder."""
    from timemodel.fitting.totals import fit_totals_table, read_totals

    read = read_totals(totals, networks, unit)
    for note in read.notes:
        out.note(note)
    names = {name: _plain(name, totals) for name in read.devices}
    if device is not None:
        chosen = [column for column, name in names.items() if device in (column, name)]
        if not chosen:
            known = ", ".join(read.devices[:8]) + (", …" if len(read.devices) > 8 else "")
            raise UsageError(f"{totals} has no device {device!r}: choose one of {known}.")
    elif output.is_dir() or len(read.devices) == 1:
        chosen = list(read.devices)
    else:
        raise UsageError(
            f"{totals} has {len(read.devices)} devices: choose one with --device (such as {read.devices[0]}), "
            "or name an existing folder to write them all to."
        )
    with out.progress("Fit") as progress:
        fits = fit_totals_table(read, chosen, f"totals {totals.name}", progress)
    rows = []
    for column, found in fits.items():
        model = found.model
        model.device = names[column]
        path = output / f"{names[column]}.timemodel.json" if output.is_dir() else output
        model.save(path)
        out.json(
            {
                "time_model": str(path), "device": model.device, "networks": found.networks,
                "mean_error": found.mean_error, "within_10": found.within_10,
            }
        )  # fmt: skip
        rows.append(
            [model.device, found.networks, f"{found.mean_error:.1%}", f"{found.within_10:.0%}", str(path)]
        )
    columns = ["device", "networks", "mean error", "within 10%", "time model"]
    out.show(table(columns, rows, "On networks that the model did not learn from"))


def _plain(column: str, totals: Path) -> str:
    """A device's name: its column's, unless that only names the unit."""
    if column.removeprefix("time_") in ("ms", "us", "s"):
        return _stem(totals)
    return column.replace("/", "_").replace("\\", "_")


def predict(
    model: Path, path: Path, output: Path, setting: str | None, device: str | None, out: Terminal
) -> None:
    """Add predictions to the rows of a table, and compare them with its times where it has them."""
    import numpy as np

    from timemodel.fitting.tables import TIME_COLUMNS, read_table, write_predictions
    from timemodel.model import TimeModel

    known = TimeModel.load(model)
    chosen = known.setting(options.find_setting(known.settings, setting) if setting is not None else None)
    read = read_table(path, times=False, device=device)
    for note in read.notes:
        out.note(note)
    times = chosen.layer_times(read.layers)
    energies_mj = chosen.predict_layers_mj(read.layers)
    sure = chosen.known(times)
    if energies_mj is not None:
        energies_mj = np.where(sure, energies_mj, np.nan)
    middle, low, high = (
        np.where(sure, part, np.nan) for part in (times.predicted_ms, times.low_ms, times.high_ms)
    )
    write_predictions(output, read.table, middle, low, high, energies_mj)
    ops = [layer.op for layer in read.layers]
    if not sure.all():
        unknown = sorted({op for op, known_row in zip(ops, sure, strict=True) if not known_row})
        out.warn(
            f"{int(np.sum(~sure))} of {len(ops)} rows are of unknown time and stay empty: {', '.join(unknown)} "
            "was never measured, or only far smaller."
        )
    estimated = sure & ~times.covered
    missing = sorted({op for op, seen in zip(ops, times.covered, strict=True) if not seen})
    if estimated.any():
        rows = int(estimated.sum())
        rough = sorted({op for op, row in zip(ops, estimated, strict=True) if row})
        out.warn(
            f"{rows} of {len(read.layers)} rows are rough estimates: the time model has not measured {', '.join(rough)}."
        )
    result: dict[str, Any] = {
        "table": str(path), "predictions": str(output), "device": known.device, "rows": len(read.layers),
        "unknown_rows": int(np.sum(~sure)),
        "uncovered": missing, "mean_error": None, "median_error": None, "within_10": None, "mean_energy_error": None,
    }  # fmt: skip
    text = f"{len(read.layers)} rows: {output}"
    if sure.any() and any(name in read.table.columns for name in TIME_COLUMNS):
        again = read_table(path, device=device)
        measured = again.times_ms
        assert measured is not None
        off = np.abs(times.predicted_ms / measured - 1.0)[sure]
        mean, median, within = float(off.mean()), float(np.median(off)), float(np.mean(off <= 0.1))
        inside = float(np.mean(((times.low_ms <= measured) & (measured <= times.high_ms))[sure]))
        result |= {"mean_error": mean, "median_error": median, "within_10": within, "inside": inside}
        text += (
            f"\nOff from the measured times by {mean:.1%} (mean), {median:.1%} (median); "
            f"{within:.0%} within 10%, {inside:.0%} inside low_ms to high_ms"
        )
        if energies_mj is not None and again.energies_mj is not None:
            known_mj = np.isfinite(again.energies_mj) & sure
            off_mj = np.abs(energies_mj / again.energies_mj - 1.0)[known_mj]
            result["mean_energy_error"] = float(off_mj.mean())
            text += f"\nOff from the measured energies by {off_mj.mean():.1%} (mean), {np.median(off_mj):.1%} (median)"
    out.json(result)
    out.show(text)
