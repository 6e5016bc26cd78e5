"""Where the command ``edgetime`` starts: it can be stopped, and has its three streams, before anything else is imported."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Entry point of the ``edgetime`` command."""
    _stop_at_once()
    _open_streams()
    from edgetime import cli

    cli.main()


def _stop_at_once() -> None:
    """Let signals end the run with the sentence and the status that they have later; nothing was begun yet."""

    def stop(number: int, frame: Any) -> NoReturn:
        with contextlib.suppress(OSError):
            os.write(2, b"edgetime: Stopped.\n")
        os._exit(1)

    stop.is_early = True  # type: ignore[attr-defined]
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)


def _open_streams() -> None:
    """Put something in the place of standard streams that are closed, or the next file that is opened gets their number.

    Writing to a closed stdout still fails; what goes to a closed stderr is lost.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
