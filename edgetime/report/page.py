"""A self-contained HTML page of tables and plots: no network, light and dark, phone and desktop."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgetime import units

if TYPE_CHECKING:
    from timemodel.explain import Branch

_MARKS = ("{{title}}", "{{body}}", "{{figures}}", "{{plotly}}")


@dataclass
class Page:
    """A page that is put together from top to bottom under its title; all text is escaped."""

    title: str
    _parts: list[str] = field(default_factory=list)
    _figures: list[dict[str, Any]] = field(default_factory=list)

    def section(self, title: str, *paragraphs: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{_escape(title)}</h2>")
        self.text(*paragraphs)

    def text(self, *paragraphs: str, soft: bool = False) -> None:
        """Add paragraphs; `soft` ones stand back."""
        style = ' class="soft"' if soft else ""
        self._parts.extend(f"<p{style}>{_escape(paragraph)}</p>" for paragraph in paragraphs)

    def tiles(self, tiles: Sequence[tuple[str, str]]) -> None:
        """Add the figures to remember: pairs of a number and what it says."""
        cells = "".join(
            f'<div class="tile"><b>{_escape(number)}</b><span>{_escape(label)}</span></div>'
            for number, label in tiles
        )
        self._parts.append(f'<div class="tiles">{cells}</div>')

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        strong: int | None = None,
        folded: str = "",
    ) -> None:
        """Add a table; columns of quantities stand right, the row `strong` counts most, `folded` are words that open it."""
        right = [all(units.is_quantity(str(row[index])) for row in rows) for index in range(len(columns))]
        head = "".join(_cell("th", column, right[index]) for index, column in enumerate(columns))
        body = "".join(
            f"<tr{' class=strong' if number == strong else ''}>"
            + "".join(_cell("td", cell, right[index]) for index, cell in enumerate(row))
            + "</tr>"
            for number, row in enumerate(rows)
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        block = f'<div class="scroll">{table}</div>'
        if folded:
            block = f"<details><summary>{_escape(folded)}</summary>{block}</details>"
        self._parts.append(block)

    def folded(self, summary: str, text: str) -> None:
        """Add preformatted text that opens with a click."""
        self._parts.append(
            f"<details><summary>{_escape(summary)}</summary><pre>{_escape(text)}</pre></details>"
        )

    def open(self, summary: str, unfolded: bool = False) -> None:
        """Begin a part that opens with a click on `summary`, up to `close`."""
        self._parts.append(
            f'<details class="part"{" open" if unfolded else ""}><summary>{_escape(summary)}</summary>'
        )

    def close(self) -> None:
        """End what `open` began."""
        self._parts.append("</details>")

    def heading(self, title: str) -> None:
        """A small heading within a section."""
        self._parts.append(f"<h3>{_escape(title)}</h3>")

    def points(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Add a list; each row is a kind (``likes``, ``avoid``), a sentence and what backs it."""
        cells = "".join(
            f'<li class="{_escape(kind)}"><b>{_escape(kind)}</b> {_escape(text)} '
            f'<span class="soft">{_escape(backing)}</span></li>'
            for kind, text, backing in rows
        )
        self._parts.append(f'<ul class="points">{cells}</ul>')

    def tree(self, root: Branch) -> None:
        """Draw a tree, the root on top, children further in."""
        self._parts.append(f'<div class="scroll"><ul class="tree">{_branch(root)}</ul></div>')

    def figures(self, figures: Sequence[Mapping[str, Any]], small: bool = False) -> None:
        """Add plots side by side, as `edgetime.report.charts` makes them; `small` ones closer together."""
        blocks = []
        for figure in figures:
            json.dumps(figure, allow_nan=False)  # fails here and not when the page is written
            identity = f"figure-{len(self._figures)}"
            style = f' style="height: {int(figure["height"])}px"' if "height" in figure else ""
            self._figures.append({**figure, "id": identity})
            blocks.append(
                f"<figure><h3>{_escape(figure['title'])}</h3>"
                f"<figcaption>{_escape(figure.get('caption', ''))}</figcaption>"
                f'<div class="plot" id="{identity}"{style}></div></figure>'
            )
        self._parts.append(f'<div class="figures{" small" if small else ""}">{"".join(blocks)}</div>')

    def pictures(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Add small pictures side by side; each is a ``data:`` URI and what stands below it."""
        cells = "".join(
            f'<div class="picture"><img src="{_escape(uri)}" alt="{_escape(text)}"><span>{_escape(text)}</span></div>'
            for uri, text in pictures
        )
        self._parts.append(f'<div class="pictures">{cells}</div>')

    def footer(self, text: str) -> None:
        """Add the last line."""
        self._parts.append(f"<footer>{_escape(text)}</footer>")

    def render(self) -> str:
        """The whole page as HTML."""
        # Characters that could end the script element are escaped: names come from files.
        figures = json.dumps(self._figures, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
        heading = f"<h1>{_escape(self.title)}</h1>"
        plotly = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text("utf-8")
        values = (_escape(self.title), heading + "\n".join(self._parts), figures, plotly)
        rest = resources.files("edgetime.report").joinpath("page.html").read_text("utf-8")
        pieces = []
        # In one pass from left to right, so that nothing in a value is taken for a mark.
        for mark, value in zip(_MARKS, values, strict=True):
            before, rest = rest.split(mark, 1)
            pieces += [before, value]
        return "".join([*pieces, rest])


def _escape(text: str) -> str:
    return html.escape(units.visible(text))


def _branch(node: Branch) -> str:
    condition = f'<span class="condition">{_escape(node.condition)}</span> ' if node.condition else ""
    count = f'<span class="soft">{node.layers:,} layers</span>'
    if not node.children:
        return f'<li>{condition}{count}<div class="leaf">leaf {node.node}: {_escape(node.formula)}</div></li>'
    children = "".join(map(_branch, node.children))
    return f"<li>{condition}<code>{_escape(node.question)}</code> {count}<ul>{children}</ul></li>"


def _cell(tag: str, text: str, right: bool) -> str:
    return f"<{tag}{' class=number' if right else ''}>{_escape(str(text))}</{tag}>"
