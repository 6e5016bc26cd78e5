"""Work of other people's C++ code in a process of its own: where it crashes, edgetime goes on."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from profiler.errors import EdgetimeError

_LONGEST_S = 600.0
"""Of a copy that takes longer a lock was copied that no thread lets go of any more."""

_LOOK_EVERY_S = 0.02


class CrashedError(EdgetimeError):
    """The process that did the work died; the message says of what."""


def in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` returns, done in a copy of this process; on systems without copies it is done here.

    Raises CrashedError where the copy dies or does not end, RuntimeError with the words of whatever `work` raises.
    """
    if not hasattr(os, "fork"):
        return work()
    with tempfile.TemporaryDirectory(prefix="edgetime-") as folder:
        result, complaint = Path(folder, "result"), Path(folder, "complaint")
        child = os.fork()
        if not child:
            status = 1
            try:
                gc.disable()  # what is freed might wait for threads that were not copied
                result.write_bytes(work())
                status = 0
            except (
                BaseException
            ) as error:  # it is told by the parent; nothing may leave this process otherwise
                complaint.write_text(str(error) or type(error).__name__, "utf-8", "replace")
            finally:
                os._exit(status)
        try:
            ended = _wait(child)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        if ended is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise CrashedError("did not end")
        if os.WIFSIGNALED(ended):
            raise CrashedError(signal.strsignal(os.WTERMSIG(ended)) or "a signal")
        if not result.exists() or os.WEXITSTATUS(ended):
            raise RuntimeError(
                complaint.read_text("utf-8") if complaint.exists() else "it ended without a word"
            )
        return result.read_bytes()


def _wait(child: int) -> int | None:
    """How a process ended; None where it still runs when its time is up."""
    until = time.monotonic() + _LONGEST_S
    while time.monotonic() < until:
        found, ended = os.waitpid(child, os.WNOHANG)
        if found:
            return ended
        time.sleep(_LOOK_EVERY_S)
    return None
