"""A study as a file that several processes append to: killing one of them harms neither the file nor the
others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from profiler.locks import AVAILABLE, KernelLock

_LOOK_BACK_BYTES = 1 << 20


class MendingJournal(JournalFileBackend):
    """Optuna's journal file, in which a line that a killed process left unfinished spoils nothing."""

    def __init__(self, path: Path) -> None:
        lock_path = path.with_name(path.name + ".lock")
        # Optuna's own locks are files that a killed holder leaves behind, for half a minute.
        lock = KernelLock(lock_path) if AVAILABLE else JournalFileOpenLock(str(path))
        super().__init__(str(path), cast(Any, _Mended(lock, path)))


class _Mended:
    """A lock after whose taking the file ends with a whole line."""

    def __init__(self, lock: Any, path: Path) -> None:
        self._lock, self._path = lock, path

    def acquire(self) -> bool:
        self._lock.acquire()
        try:
            _cut_torn_line(self._path)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        self._lock.release()


def _cut_torn_line(path: Path) -> None:
    """Remove what follows the last line end: nobody has ever read it."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        size = file.seek(0, 2)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        start = max(0, size - _LOOK_BACK_BYTES)
        file.seek(start)
        file.truncate(start + file.read().rfind(b"\n") + 1)


def open_journal(path: Path) -> JournalStorage:
    """The study file at `path`, made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(MendingJournal(path))
