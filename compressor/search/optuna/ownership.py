"""Which process works on something, and whether it still lives: for searches that several processes share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes
    ----------
    machine
        Of the machine since it was started, and of the container: process numbers count only there.
    process
        Its number.
    started
        When it began, in the system's own words; numbers are given out again. Empty where that is unknown.
    """

    machine: str
    process: int
    started: str = ""

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(_machine(), os.getpid(), _started(os.getpid()))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Owner:
        """Read what `to_dict` wrote."""
        return cls(str(value["machine"]), int(value["process"]), str(value.get("started", "")))

    def lives(self) -> bool | None:
        """Whether it lives; None where it runs on another machine, so that only its beats can tell."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True  # another user's
        started = _started(self.process)
        return started != "ended" and started == self.started


class Pulse:
    """Tells who has stopped beating, by this machine's clock alone: others' clocks may be wrong.

    Parameters
    ----------
    grace_s
        Seconds without a new beat after which an owner counts as gone.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._seen: dict[int, tuple[Any, float]] = {}

    def gone(self, number: int, owner: Owner | None, beat: Any, now: float | None = None) -> bool:
        """Whether the owner of a piece of work is gone.

        Parameters
        ----------
        number
            Of the piece of work.
        owner
            None where nobody has signed for it yet: then it has as long as any.
        beat
            Changes with every beat.
        now
            In seconds; default: `time.monotonic`.
        """
        lives = None if owner is None else owner.lives()
        if lives is not None:
            return not lives
        now = time.monotonic() if now is None else now
        state = (owner, beat)
        before = self._seen.get(number)
        if before is None or before[0] != state:
            self._seen[number] = state, now
            return False
        return now - before[1] > self._grace_s


def _machine() -> str:
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _started(process: int) -> str:
    """When a process began; ``ended`` for one that waits to be collected by its parent, "" where that is
    unknown."""
    try:
        # The name of the program may hold blanks and brackets; what follows its last bracket does not.
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return "ended" if Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]
