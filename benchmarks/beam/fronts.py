"""Draws what ``benchmarks/results/beam.csv`` holds: quality over the decoder's measured time, a panel for each network."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from pathlib import Path

from profiler.files import write_text

WIDTH, HEIGHT, LEFT, TOP = 760, 250, 56, 34
INK, FIXED, POLICY = "#7d8590", "#3b7dd8", "#d9722e"

Point = tuple[str, float, float]
"""Name of a policy, ms of the decoder, quality."""


def draw(table: Path, out: Path) -> None:
    """Write an SVG that reads on white and on black."""
    with open(table, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(networks) + 8}" font-size="12" '
        f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="{INK}">'
    ]
    for index, network in enumerate(networks):
        mine = [row for row in rows if row["network"] == network]
        points = [(row["policy"], float(row["decoder_ms"]), float(row["quality"])) for row in mine]
        parts += [
            f'<g transform="translate(0 {HEIGHT * index})">',
            *_panel(
                f"{network}: {mine[0]['metric']} of {mine[0]['lines']} lines over ms of the decoder, seeds {mine[0]['seeds']}",
                points,
            ),
            "</g>",
        ]
    write_text(out, "\n".join([*parts, "</svg>"]) + "\n")


def digits(span: float) -> int:
    """Decimals that tell four parts of a span apart."""
    return 1 if span >= 1 else 2 if span >= 0.1 else 3


def _panel(title: str, points: Sequence[Point]) -> list[str]:
    longest = 1.12 * max(ms for _, ms, _ in points)
    low, high = min(quality for *_, quality in points), max(quality for *_, quality in points)
    margin = 0.12 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - 16) * ms / longest

    def y(quality: float) -> float:
        return HEIGHT - 34 - (HEIGHT - 34 - TOP) * (quality - low) / (high - low)

    parts = [f'<text x="{LEFT}" y="20" font-weight="600">{html.escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        ms, quality = share * longest, low + share * (high - low)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y(quality):.1f}" y2="{y(quality):.1f}" stroke="{INK}" opacity="0.25"/>'
            f'<text x="{LEFT - 8}" y="{y(quality) + 4:.1f}" text-anchor="end">{quality:.{digits(high - low)}f}</text>'
            f'<text x="{x(ms):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{ms:.{digits(longest)}f}</text>'
        )
    fixed = [point for point in points if point[0].startswith("fixed")]
    line = " ".join(f"{x(ms):.1f},{y(quality):.1f}" for _, ms, quality in fixed)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{FIXED}" opacity="0.5"/>')
    for name, ms, quality in points:
        color = FIXED if name.startswith("fixed") else POLICY
        label = name.removeprefix("fixed ")
        above = 8 if name.startswith("fixed") else -16
        parts.append(
            f'<circle cx="{x(ms):.1f}" cy="{y(quality):.1f}" r="3.5" fill="{color}"/>'
            f'<text x="{x(ms):.1f}" y="{y(quality) - above:.1f}" text-anchor="middle" fill="{color}">{html.escape(label)}</text>'
        )
    return parts
