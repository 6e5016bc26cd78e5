"""How the command line fails: one sentence on stderr, exit status 1 (work failed) or 2 (bad arguments)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

import typer

from edgetime import units
from profiler.errors import EdgetimeError, EdgetimeWarning
from profiler.files import NO_SPACE

EXTRA_MODULES = frozenset({"tensorflow", "keras", "optuna", "ai_edge_quantizer"})
"""What ``pip install "edgetime[compress]"`` adds."""


_STOPPED = "Stopped."


class StoppedError(EdgetimeError):
    """The user pressed Ctrl-C."""


@contextlib.contextmanager
def keeping(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say on Ctrl-C that what was finished is kept in `path`."""
    try:
        yield
    except KeyboardInterrupt as stop:
        where = Path(path)
        if not where.exists():
            raise StoppedError("Stopped; nothing was finished yet.") from stop
        raise StoppedError(
            f"Stopped; what was finished is kept in {where}; run the same command again to go on."
        ) from stop


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn any failure inside into one sentence on stderr and `typer.Exit` with its status."""
    try:
        yield
    except typer.Exit:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("EDGETIME_DEBUG"):
            traceback.print_exc()
        if isinstance(error, OSError) and not error.filename:
            # Else the interpreter complains at its exit about a stdout that it cannot write to.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                _flushed_or_dropped(sys.stdout)
        if isinstance(error, BrokenPipeError):  # a reader that went away, as in ``| head``
            raise typer.Exit(1) from error
        sentence, status = describe(error)
        if sentence:
            print(f"edgetime: {units.visible(sentence)}", file=sys.stderr)
        raise typer.Exit(status) from error


def _flushed_or_dropped(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Show edgetime's own warnings as sentences on stderr, without the place in the code that they come from."""
    show = warnings.showwarning

    def show_plainly(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, EdgetimeWarning):
            show(message, category, *place, **more)
            return
        for sentence in str(message).split("\n"):
            print(f"warning: {units.visible(sentence)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show_plainly
        yield


def say_stopped() -> None:
    """Say that a run ended by Ctrl-C or a signal before it began."""
    print(f"edgetime: {_STOPPED}", file=sys.stderr)


def describe(error: BaseException) -> tuple[str, int]:
    """The sentence and the exit status for `error`."""
    if isinstance(error, EdgetimeError):
        return str(error), error.exit_code
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _STOPPED, 1
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _usage(error), error.exit_code
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in EXTRA_MODULES:
        return f'This needs {error.name}, which is not installed: pip install "edgetime[compress]".', 1
    if isinstance(error, MemoryError):
        return "Out of memory: close other programs, or try a smaller network or less data.", 1
    if isinstance(error, OSError):
        return _system(error), 1
    kind = type(error).__name__
    detail = " ".join(str(error).split())
    detail = detail if len(detail) <= 300 else f"{detail[:300]}…"
    return (
        f"Unexpected {kind}{f' ({detail})' if detail else ''}: this is a bug in edgetime; "
        "run again with EDGETIME_DEBUG=1 to see where it happened.",
        1,
    )


def _usage(error: Any) -> str:
    """Typer's own complaint about arguments, on one line, with the place to look."""
    # Checks of values say so; the sentence is better without.
    message = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
    context = getattr(error, "ctx", None)
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        # The help text itself is the message.
        print(error.format_message(), file=sys.stderr)
        return ""
    where = context.command_path if context is not None else "edgetime"
    return f"{message.rstrip('.')} (see '{where} --help')."


def _system(error: OSError) -> str:
    name = f" ({error.filename})" if error.filename else ""
    if error.errno in NO_SPACE:
        return f"No disk space left{name}: free some and run the same command again."
    if error.errno == errno.EBADF and not error.filename:
        return "Standard output is closed, so nothing can be shown: let it lead somewhere, such as > out.txt."
    reason = error.strerror or str(error)
    return f"{reason}{name}: check the name and that you may use it."


def stop_on_terminate() -> None:
    """Let ``kill`` and a closed terminal end a run as Ctrl-C does, so that what is finished is kept."""

    def stop(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        known = None if number is None else signal.getsignal(number)
        # In the place of the handlers of `edgetime.entry`, too.
        if number is not None and (known == signal.SIG_DFL or getattr(known, "is_early", False)):
            signal.signal(number, stop)
