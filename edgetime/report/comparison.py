"""What ``edgetime compare`` says: the verdict in words, and its page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetime import __version__, units
from edgetime.report.page import Page
from profiler.files import write_text

if TYPE_CHECKING:
    from profiler.measurement import PairMeasurement
    from timemodel.compare import AlignedLayers, Comparison, Difference

_COUNTS = 0.01
"""Share of the slower file's time that a difference must make up to be named."""
_MOST = 8


def named(comparison: Comparison) -> list[Difference]:
    """The differences that explain why one file takes longer: those that count, largest first."""
    slower = max(comparison.first.predicted_ms, comparison.second.predicted_ms)
    return [one for one in comparison.differences if abs(one.difference_ms) >= _COUNTS * slower][:_MOST]


def explained(comparison: Comparison, measured: PairMeasurement | None) -> float | None:
    """Which share of the (measured) difference of both files the named operators make up; None where there is no difference."""
    rows = named(comparison)
    if measured is None or not measured.first.layer_ms or not measured.second.layer_ms:
        whole = comparison.difference_ms
        parts = [row.difference_ms for row in rows]
    else:
        whole = measured.second.measured_ms - measured.first.measured_ms
        parts = [row.measured_difference_ms or 0.0 for row in rows]
    return sum(parts) / whole if whole else None


def verdict(comparison: Comparison, measured: PairMeasurement | None) -> list[str]:
    """Which file takes longer, by how much, and how sure that is."""
    one, other = comparison.first, comparison.second
    times = f"{units.ms(other.predicted_ms)} against {units.ms(one.predicted_ms)}"
    off = f"{_signed(comparison.difference_ms)}, ± {units.ms(comparison.error_ms)} (90%)"
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


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{units.ms(abs(value))}"


COLUMNS = ("first", "second", "difference")


def row(difference: Difference, measured: bool) -> list[str]:
    """A difference as cells of a table: what, both times, how much and its error, and what was measured."""
    cells = [
        difference.text,
        units.ms(difference.first_ms),
        units.ms(difference.second_ms),
        f"{_signed(difference.difference_ms)} ± {units.ms(difference.error_ms)}",
    ]
    if measured:
        known = difference.measured_difference_ms
        cells.append("-" if known is None else _signed(known))
    return cells


def headers(comparison: Comparison, measured: bool) -> list[str]:
    """Names of the columns of `row`."""
    return ["operators", *COLUMNS, *(["measured"] if measured else [])]


def write_comparison(
    comparison: Comparison, measured: PairMeasurement | None, output: str | os.PathLike[str]
) -> None:
    """Write the page."""
    write_text(output, comparison_page(comparison, measured).render())


def comparison_page(comparison: Comparison, measured: PairMeasurement | None) -> Page:
    """Put the page together; see `write_comparison`."""
    page = Page(f"{comparison.second.network} against {comparison.first.network}")
    page.text(*verdict(comparison, measured))
    share = explained(comparison, measured)
    page.section("Why")
    if share is not None:
        page.text(f"These explain {share:.0%} of the difference.")
    with_measured = measured is not None
    page.table(headers(comparison, with_measured), [row(one, with_measured) for one in named(comparison)])
    rest = [one for one in comparison.differences if one not in named(comparison)]
    if rest:
        page.table(
            headers(comparison, with_measured),
            [row(one, with_measured) for one in rest],
            folded="Everything else",
        )
    page.section("Layer by layer", "Aligned by the graph, in the order of the second file.")
    page.table(
        ["layer", "first file", "second file", "first", "second", "difference", "why"],
        [_layer(comparison, layers) for layers in comparison.layers],
        folded=f"{len(comparison.layers)} rows",
    )
    page.footer(f"Made by edgetime {__version__} for {comparison.first.device}.")
    return page


def _layer(comparison: Comparison, layers: AlignedLayers) -> list[str]:
    ops = [
        " + ".join(prediction.layers[i].op for i in positions) or "-"
        for prediction, positions in ((comparison.first, layers.first), (comparison.second, layers.second))
    ]
    times = [units.ms(layers.first_ms), units.ms(layers.second_ms), _signed(layers.difference_ms)]
    return [_short(layers.name), *ops, *times, layers.reason.text]


def _short(name: str) -> str:
    return name.split(";")[0]


def rows(comparison: Comparison) -> Sequence[AlignedLayers]:
    """Aligned layers, those that differ most first."""
    return sorted(comparison.layers, key=lambda one: -abs(one.difference_ms))
