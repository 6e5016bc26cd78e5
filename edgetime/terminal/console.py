"""What the verbs show: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json as json_text
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from edgetime import units
from profiler.progress import ProgressCallback

PIPE_WIDTH = 100
"""Columns where the output is no terminal and `COLUMNS` is not set."""
LEAST_WIDTH, MOST_WIDTH = 20, 10_000
"""Widths that `COLUMNS` may ask for; others count as none."""
_BAR_COLUMNS = 41
"""What a bar, its percentage and the time left take."""

PLAIN_EVERY_S = 10.0
"""Seconds between lines of progress where stderr is no terminal."""


class _SafeConsole(Console):
    """Shows what a terminal would obey as what it is: names come from files."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(units.visible(segment.text), segment.style)


class Terminal:
    """One run's output; with `json` results are only printed by `Terminal.json`, and `show` is silent.

    Use it as a context manager: inside, what libraries and child processes print on stdout goes to stderr, so
    that stdout carries only results.
    """

    def __init__(self, json: bool = False) -> None:
        self._as_json = json
        self._errors = _SafeConsole(stderr=True, width=_width(sys.stderr), highlight=False, soft_wrap=False)
        self._results: TextIO = sys.stdout
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Terminal:
        self._results = self._undo.enter_context(_own_stdout())
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()
        self._results = sys.stdout

    @property
    def width(self) -> int | None:
        """Columns of the terminal that results go to; None for a pipe or a file, whose lines are not broken."""
        out = _SafeConsole(file=self._results, width=_width(self._results))
        return out.width if out.is_terminal or os.environ.get("COLUMNS") else None

    def show(self, *results: RenderableType) -> None:
        """Print results, such as text or a `table`, on stdout; with ``--json`` nothing."""
        if self._as_json:
            return
        # Made anew each time: the terminal may have been resized.
        out = _SafeConsole(file=self._results, width=_width(self._results), highlight=False)
        with out.capture() as shown:
            for result in results:
                # In a pipe a sentence stays one line; a terminal gets it wrapped between words.
                out.print(result, markup=False, soft_wrap=isinstance(result, str) and not out.is_terminal)
        # Rich fills lines with blanks up to the width of the table.
        self._results.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))
        self._results.flush()

    def json(self, value: Any) -> None:
        """Print `value` as one line of JSON on stdout; without ``--json`` nothing."""
        if self._as_json:
            self._results.write(json_text.dumps(value, allow_nan=False) + "\n")
            self._results.flush()

    def note(self, text: str) -> None:
        """Print what is being done, on stderr."""
        self._report(Text(text))

    def warn(self, text: str) -> None:
        """Print what the user should know before trusting the result, on stderr."""
        self._report(Text.assemble(("warning: ", "yellow"), text))

    def complain(self, text: str) -> None:
        """Print a failure that does not end the run (one bad file of a batch), on stderr."""
        self._report(Text.assemble(("edgetime: ", "red"), text))

    def _report(self, text: Text) -> None:
        self._errors.print(text, soft_wrap=not self._errors.is_terminal)

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[ProgressCallback]:
        """Show a progress bar with the time left on stderr; yields the callback that long work feeds."""
        show = _bar(self._errors, title) if self._errors.is_terminal else _lines(self._errors, title)
        with show as callback:
            yield callback


@contextlib.contextmanager
def _bar(console: Console, title: str) -> Iterator[ProgressCallback]:
    """A bar that is redrawn in place."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("[dim]{task.fields[note]}", markup=True),
        console=console,
        # The speed of the last half minute says little where stages differ; take all there is.
        speed_estimate_period=3600,
    )
    task = bar.add_task(title, total=1.0, note="")

    def show(fraction: float, note: str) -> None:
        room = max(0, console.width - len(title) - _BAR_COLUMNS)
        short = note if len(note) <= room else note[: max(0, room - 1)] + "…"
        bar.update(task, completed=min(max(fraction, 0.0), 1.0), note=escape(short))

    with bar:
        try:
            yield show
            bar.update(task, completed=1.0)
        finally:
            bar.update(task, note="")


@contextlib.contextmanager
def _lines(console: Console, title: str) -> Iterator[ProgressCallback]:
    """A line every few seconds, for logs."""
    start = last = time.monotonic()

    def show(fraction: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_EVERY_S:
            return
        last = now
        spent = now - start
        left = f", about {clock(spent * (1 - fraction) / fraction)} left" if fraction > 0.01 else ""
        line = f"{title}: {100 * fraction:.0f}%{left}{f' ({note})' if note else ''}"
        console.print(Text(line), soft_wrap=True)

    yield show


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> Table:
    """A table whose columns that hold only numbers stand right; long words are folded, never cut."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = all(units.is_quantity(str(row[index])) for row in rows)
        grid.add_column(
            column,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=numbers,
            header_style="bold",
        )
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    return grid


def clock(seconds: float) -> str:
    """`seconds` as minutes and seconds, such as ``2:05``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _width(stream: TextIO) -> int | None:
    """Columns to print; None is as many as the terminal has just then. Without one Rich would take 80, too few for tables."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and LEAST_WIDTH <= int(asked) <= MOST_WIDTH:
        return int(asked)
    if not _is_terminal(stream):
        return PIPE_WIDTH
    return None if not asked else os.get_terminal_size(stream.fileno()).columns or PIPE_WIDTH


def _is_terminal(stream: TextIO) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


@contextlib.contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Yield a stream to the real stdout while file descriptor 1 and `sys.stdout` lead to stderr."""
    results = sys.stdout
    try:
        real = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        real = -1
    if real != 1:
        # Something in this process, such as a test, captures stdout: nothing to redirect below Python.
        with contextlib.redirect_stdout(sys.stderr):
            yield results
        return
    results.flush()
    kept = os.dup(1)
    own = open(kept, "w", encoding=results.encoding, errors="replace", closefd=True)  # noqa: SIM115
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield own
    finally:
        # What was written was flushed: who wrote it knows of its failure.
        with contextlib.suppress(OSError):
            own.flush()
        os.dup2(kept, 1)
        with contextlib.suppress(OSError):
            own.close()
