"""Locks that the kernel releases when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError
from profiler.values import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
"""Whether this system has such locks."""

OWNER_FILE = ".owner.lock"
"""In a folder that a process works on: who that is."""


class KernelLock:
    """A lock on a file; one process holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; False where another process holds it and `wait` is not set."""
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            file.close()
            if isinstance(error, OSError) and error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Release the lock."""
        file, self._file = self._file, None
        file.close()

    def is_on_file(self) -> bool:
        """Whether the file that is held is still the one of that name: its last holder may have removed it."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        return False

    def write(self, text: str) -> None:
        """Replace what the file holds."""
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()


@contextlib.contextmanager
def owned(folder: str | os.PathLike[str], option: str) -> Iterator[None]:
    """Be the only process that works on a folder, which is made where it is missing and removed where it stays empty.

    Where a folder cannot be made there is nothing to own: what writes to it says why. Systems and disks without
    such locks (Windows, some network shares) have no owners.

    Parameters
    ----------
    option
        Of the command line, by which another folder is named.

    Raises
    ------
    EdgetimeError
        Another process works on it; the message says which.
    """
    folder = Path(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = KernelLock(folder / OWNER_FILE)
    held = False
    try:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held = AVAILABLE and _take(lock, folder, option)
        yield
    finally:
        if held:
            # Before the release: afterwards it may be another's.
            with contextlib.suppress(OSError):
                (folder / OWNER_FILE).unlink()
            lock.release()
        with contextlib.suppress(OSError):
            for place in missing:
                place.rmdir()


def _take(lock: KernelLock, folder: Path, option: str) -> bool:
    """Take the lock of a folder and write down who has it."""
    while True:
        if not lock.acquire(wait=False):
            raise EdgetimeError(
                f"{folder} is in use by {_holder(folder / OWNER_FILE)}: name another folder by {option}, wait until "
                "that process has ended, or stop it."
            )
        if lock.is_on_file():
            break
        lock.release()
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    with contextlib.suppress(OSError):
        lock.write(json.dumps({"process": os.getpid(), "host": platform.node(), "since": since}) + "\n")
    return True


def _holder(path: Path) -> str:
    try:
        owner = read_json(path)
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not written down yet who it is
        return "another process"
