"""The page that ``edgetime compare --html`` writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgetime import __version__, differences, units
from edgetime.report.page import Page
from profiler.files import write_text

if TYPE_CHECKING:
    from profiler.measurement import PairMeasurement
    from timemodel.compare import AlignedLayers, FileComparison


def write_comparison(
    comparison: FileComparison, measured: PairMeasurement | None, output: str | os.PathLike[str]
) -> None:
    """Write the page."""
    write_text(output, comparison_page(comparison, measured).render())


def comparison_page(comparison: FileComparison, measured: PairMeasurement | None) -> Page:
    """Put the page together; see `write_comparison`."""
    page = Page(f"{comparison.second.network} against {comparison.first.network}")
    page.text(*differences.verdict(comparison, measured))
    share = differences.explained(comparison, measured)
    page.section("Why")
    if share is not None:
        page.text(f"These explain {share:.0%} of the difference.")
    named, with_measured = differences.named(comparison), measured is not None
    page.table(
        differences.headers(comparison, with_measured),
        [differences.row(one, with_measured) for one in named],
    )
    rest = [one for one in comparison.differences if one not in named]
    if rest:
        page.table(
            differences.headers(comparison, with_measured),
            [differences.row(one, with_measured) for one in rest],
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


def _layer(comparison: FileComparison, layers: AlignedLayers) -> list[str]:
    ops = [
        " + ".join(prediction.layers[i].op for i in positions) or "-"
        for prediction, positions in ((comparison.first, layers.first), (comparison.second, layers.second))
    ]
    times = [units.ms(layers.first_ms), units.ms(layers.second_ms), differences.signed(layers.difference_ms)]
    return [_short(layers.name), *ops, *times, layers.reason.text]


def _short(name: str) -> str:
    return name.split(";")[0]
