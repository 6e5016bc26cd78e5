"""Writing files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NO_SPACE = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors of a full disk, and of a quota that is used up."""

_MARK = ".unfinished-"
"""In the names of files that are being written."""
_SURE_S = 2.0
"""Seconds after which a file that nobody holds is nobody's; a writer holds it a moment after it has made it."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure removed.

    What a process that was killed left there goes as well.

    Raises
    ------
    EdgetimeError
        The disk is full or the folder cannot be written to.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file to write to.")
    if target.exists() and not target.is_file():
        # Renaming over it would put an ordinary file in the place of, say, /dev/null.
        raise UsageError(f"{target} is no ordinary file: name a file to write to.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_unfinished(target.parent)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}{_MARK}", suffix=target.suffix, dir=target.parent
        )
    except OSError as error:
        raise cannot_write(target, error) from error
    temporary = Path(name)
    try:
        _hold(handle)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if fcntl is not None:
            os.close(handle)


def clear_unfinished(folder: str | os.PathLike[str], below: bool = False) -> None:
    """Remove what processes that were killed were writing in a folder (and `below` it).

    Where there are no locks to tell what is still being written (Windows, some network shares), nothing is removed.
    """
    if fcntl is None:
        return
    for left in (Path(folder).rglob if below else Path(folder).glob)(f".*{_MARK}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _SURE_S and not _is_held(left):
                left.unlink()


def _hold(handle: int) -> None:
    """Show others that the file is being written, as long as `handle` is open."""
    if fcntl is None:
        os.close(handle)  # Windows renames no open file
        return
    with contextlib.suppress(OSError):  # a disk without locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """See before long work whether its result can be written to `path`.

    Raises
    ------
    EdgetimeError
        As `replacing` would.
    """
    target = Path(path)
    existed = target.parent.exists()
    with contextlib.suppress(_OnlyAskingError), replacing(target):
        raise _OnlyAskingError
    if not existed:
        with contextlib.suppress(OSError):
            target.parent.rmdir()


class _OnlyAskingError(Exception):
    """Leaves `replacing` without a file."""


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON to `path`, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def cannot_write(path: Path, error: OSError) -> EdgetimeError:
    """The sentence for a file that the operating system does not let one write."""
    if error.errno in NO_SPACE:
        return EdgetimeError(f"No disk space left to write {path}: free some and run the same command again.")
    return EdgetimeError(
        f"Cannot write {path} ({error.strerror or error}): choose a place that you may write to."
    )
