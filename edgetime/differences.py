"""What ``edgetime compare`` found, in words: the verdict, and the operators that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetime import units

if TYPE_CHECKING:
    from profiler.measurement import PairMeasurement
    from timemodel.compare import AlignedLayers, Difference, FileComparison

_COUNTS = 0.01
"""Share of the slower file's time that a difference must make up to be named."""
_MOST = 8


def named(comparison: FileComparison) -> list[Difference]:
    """The differences that explain why one file takes longer: those that count, largest first."""
    slower = max(comparison.first.predicted_ms, comparison.second.predicted_ms)
    return [one for one in comparison.differences if abs(one.difference_ms) >= _COUNTS * slower][:_MOST]


def explained(comparison: FileComparison, measured: PairMeasurement | None) -> float | None:
    """Which share of the (measured) difference of both files the named operators make up; None where there is no difference."""
    rows = named(comparison)
    if measured is None or not measured.first.layer_ms or not measured.second.layer_ms:
        whole = comparison.difference_ms
        parts = [row.difference_ms for row in rows]
    else:
        whole = measured.second.measured_ms - measured.first.measured_ms
        parts = [row.measured_difference_ms or 0.0 for row in rows]
    return sum(parts) / whole if whole else None


def verdict(comparison: FileComparison, measured: PairMeasurement | None) -> list[str]:
    """Which file takes longer, by how much, and how sure that is."""
    one, other = comparison.first, comparison.second
    times = f"{units.ms(other.predicted_ms)} against {units.ms(one.predicted_ms)}"
    off = f"{signed(comparison.difference_ms)}, ± {units.ms(comparison.error_ms)} (90%)"
    if comparison.sure:
        how = _times(other.predicted_ms / one.predicted_ms) if one.predicted_ms > 0 else "longer"
        lines = [f"Predicted: {other.network} takes {how} as {one.network}: {times}, {off}."]
    else:
        lines = [f"Predicted: no sure difference between {one.network} and {other.network}: {times}, {off}."]
    if comparison.first.energy_mj is not None and comparison.second.energy_mj is not None:
        lines.append(f"Energy: {other.energy_mj:.3g} mJ against {one.energy_mj:.3g} mJ.")
    if any(prediction.at_least for prediction in (one, other)):
        lines.append("At least: an operator without a known time is left out.")
    return lines + ([measured_verdict(measured)] if measured is not None else [])


def measured_verdict(measured: PairMeasurement) -> str:
    """The same as measured."""
    low, high = measured.ratio_interval
    times = f"{units.ms(measured.second.measured_ms)} against {units.ms(measured.first.measured_ms)}"
    between = f"{measured.ratio:.3f} times, {low:.3f} to {high:.3f} in {len(measured.ratios)} rounds in turns"
    calm = "" if measured.calm else "; the device was not calm, so measure again"
    if low <= 1.0 <= high:
        return f"Measured: no sure difference: {times} ({between}{calm})."
    return f"Measured: {times} ({between}{calm})."


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times as long" if ratio >= 1 else f"{ratio:.0%} as long"


def signed(value: float) -> str:
    """A difference of times with its sign."""
    return f"{'+' if value >= 0 else '-'}{units.ms(abs(value))}"


COLUMNS = ("first", "second", "difference")


def row(difference: Difference, measured: bool) -> list[str]:
    """A difference as cells of a table: what, both times, how much and its error, and what was measured."""
    cells = [
        difference.text,
        units.ms(difference.first_ms),
        units.ms(difference.second_ms),
        f"{signed(difference.difference_ms)} ± {units.ms(difference.error_ms)}",
    ]
    if measured:
        known = difference.measured_difference_ms
        cells.append("-" if known is None else signed(known))
    return cells


def headers(comparison: FileComparison, measured: bool) -> list[str]:
    """Names of the columns of `row`."""
    return ["operators", *COLUMNS, *(["measured"] if measured else [])]


def rows(comparison: FileComparison) -> Sequence[AlignedLayers]:
    """Aligned layers, those that differ most first."""
    return sorted(comparison.layers, key=lambda one: -abs(one.difference_ms))
