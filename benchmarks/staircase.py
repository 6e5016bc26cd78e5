"""The picture in the README: time of one convolution over its number of output channels, on this machine.

``make bench NAME=staircase`` measures it and writes ``docs/staircase.svg``; with
``ARGS="--model here.timemodel.json"`` the model's line is drawn through the points.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path

import numpy as np

from profiler.devices import Target, open_target
from profiler.files import write_text
from profiler.network import Layer
from profiler.operators import conv_2d
from profiler.probes import Probe

SIDE, IN_CHANNELS, WIDEST = 32, 32, 96
PASSES = 9
DTYPES = ("float32", "int8")
COLORS = {"float32": "#3b7dd8", "int8": "#d9722e"}


def main() -> None:
    """Measure, then draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="local")
    parser.add_argument("--model", type=Path, help="draw this time model's line as well")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/staircase.svg"))
    options = parser.parse_args()
    widths = list(range(1, WIDEST + 1))
    with open_target(options.target) as target:
        measured = {dtype: measure_ms(target, widths, dtype) for dtype in DTYPES}
        where = f"{target.hello()['cpu']}, {target.setting.key}"
    lines = {dtype: predict_ms(options.model, widths, dtype) for dtype in DTYPES} if options.model else {}
    write_text(options.output, draw(widths, measured, lines, where))
    for width in (16, 17, 31, 32, 33, 64, 65):
        row = ", ".join(f"{dtype} {1000 * measured[dtype][width - 1]:.0f} us" for dtype in DTYPES)
        print(f"{width} output channels: {row}")
    print(options.output)


def measure_ms(target: Target, widths: list[int], dtype: str) -> list[float]:
    """Median over passes in random order; each time divided by how slow the machine then was (canary)."""
    probes = [Probe("layer", (layer(width, dtype),)).build() for width in widths]
    order = random.Random(0)
    raw: list[list[tuple[float, float]]] = [[] for _ in probes]
    for _ in range(PASSES):
        for index in order.sample(range(len(probes)), len(probes)):
            answer = target.time_probe(probes[index])
            raw[index].append((answer["median_us"], max(answer["canaries_us"])))
    usual = statistics.median(canary for pairs in raw for _, canary in pairs)
    return [statistics.median(us * usual / canary for us, canary in pairs) / 1000 for pairs in raw]


def predict_ms(model: Path, widths: list[int], dtype: str) -> list[float]:
    """The time model's times."""
    from timemodel import TimeModel

    layers = [layer(width, dtype) for width in widths]
    return [float(ms) for ms in TimeModel.load(model).predict_layers_ms(layers)]


def layer(width: int, dtype: str) -> Layer:
    """The convolution whose `width` is varied."""
    return conv_2d(SIDE, SIDE, IN_CHANNELS, width, dtype=dtype)


def draw(widths: list[int], measured: dict, lines: dict, where: str) -> str:
    """An SVG that reads on white and on black."""
    width, height, left, bottom, top, right = 760, 400, 56, 46, 64, 16
    most = 1.06 * max(max(times) for times in measured.values())
    middle = (top + height - bottom) / 2
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if most / s <= 7)

    def x(channels: float) -> float:
        return left + (width - left - right) * channels / max(widths)

    def y(ms: float) -> float:
        return height - bottom - (height - bottom - top) * ms / most

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="#7d8590">',
        f'<text x="{left}" y="20" font-size="15" font-weight="600">Time of a 3x3 convolution, '
        f"{SIDE}x{SIDE} pixels, {IN_CHANNELS} input channels</text>",
        f'<text x="{left}" y="39">{where}</text>',
    ]
    for ms in np.arange(0, most, step):
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{y(ms):.1f}" y2="{y(ms):.1f}" stroke="#7d8590" '
            'opacity="0.25"/>'
            f'<text x="{left - 8}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g}</text>'
        )
    for channels in range(0, max(widths) + 1, 16):
        parts.append(
            f'<text x="{x(channels):.1f}" y="{height - bottom + 18}" text-anchor="middle">{channels}</text>'
        )
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">output channels</text>'
        f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})" text-anchor="middle">ms</text>'
    )
    for index, (dtype, times) in enumerate(measured.items()):
        color = COLORS[dtype]
        line = lines.get(dtype)
        if line:
            path = " ".join(f"{x(c):.1f},{y(ms):.1f}" for c, ms in zip(widths, line, strict=True))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        parts += [
            f'<circle cx="{x(c):.1f}" cy="{y(ms):.1f}" r="2.6" fill="{color}"/>'
            for c, ms in zip(widths, times, strict=True)
        ]
        legend = f"{dtype}: measured{' (points), time model (line)' if line else ''}"
        spot = top + 4 + 18 * index
        parts.append(
            f'<circle cx="{left + 14}" cy="{spot - 4}" r="4" fill="{color}"/>'
            f'<text x="{left + 24}" y="{spot}">{legend}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
