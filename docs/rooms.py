"""Draw docs/rooms.svg, the map of packages and rooms, from import-linter's layers and the rooms' own docstrings."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).parent / "rooms.svg"

_WIDTH, _HEAD, _ROW, _GAP, _PAD = 1180, 30, 58, 8, 12

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .name { font-weight: 600; font-size: 13px }
.package { fill: #f6f8fa; stroke: #8c959f } .room { fill: #ffffff; stroke: #54aeff } .file { fill: #ffffff; stroke: #d0d7de }
.title { font-weight: 700; font-size: 15px }
"""


def layers_of(package: str) -> list[list[str]]:
    """The rooms and files of a package, what imports most first, those that do not import each other side by side."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    found = next(c for c in contracts if c.get("containers") == [package])
    return [[name.strip() for name in layer.split("|")] for layer in found["layers"]]


def purpose(package: str, name: str) -> str:
    """The first sentence of what a room or file says of itself."""
    folder = ROOT / package / name
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split("\n")[0]
    return text.replace("`", "").rstrip(".")


def _wrapped(text: str, width_px: float, rows: int = 2) -> list[str]:
    """`text` in at most `rows` lines of about `width_px`."""
    most, lines = int(width_px / 6.3), [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > most and lines[-1]:
            if len(lines) == rows:
                return [*lines[:-1], lines[-1].rstrip(",;:") + " …"]
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _box(kind: str, x: float, y: float, width: float, height: float, name: str, text: str) -> list[str]:
    label = [f'<text class="name" x="{x + 8:.0f}" y="{y + 17:.0f}">{escape(name)}</text>']
    label += [
        f'<text x="{x + 8:.0f}" y="{y + 32 + 14 * row:.0f}">{escape(line)}</text>'
        for row, line in enumerate(_wrapped(text, width - 16))
    ]
    box = f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="4"/>'
    return [box, *label]


def picture() -> str:
    """The map as SVG."""
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = config["tool"]["importlinter"]["contracts"][0]["layers"]
    parts, y = [], _PAD
    for package in packages:
        rows = layers_of(package)
        height = _HEAD + len(rows) * (_ROW + _GAP)
        parts.append(
            f'<rect class="package" x="{_PAD}" y="{y}" width="{_WIDTH - 2 * _PAD}" height="{height}" rx="6"/>'
        )
        head = f"{package}: {purpose(package, '')}"
        parts.append(f'<text class="title" x="{2 * _PAD}" y="{y + 21}">{escape(head)}</text>')
        at = y + _HEAD
        for row in rows:
            width = (_WIDTH - 4 * _PAD - _GAP * (len(row) - 1)) / len(row)
            for column, name in enumerate(row):
                kind = "room" if (ROOT / package / name).is_dir() else "file"
                x = 2 * _PAD + column * (width + _GAP)
                parts += _box(kind, x, at, width, _ROW, name, purpose(package, name))
            at += _ROW + _GAP
        y += height + _PAD
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
    print(PICTURE)
