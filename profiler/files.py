"""Writing files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError, UsageError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure removed.

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
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise cannot_write(target, error) from error
    temporary = Path(name)
    try:
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
    if error.errno == errno.ENOSPC:
        return EdgetimeError(f"No disk space left to write {path}: free some and run the same command again.")
    return EdgetimeError(
        f"Cannot write {path} ({error.strerror or error}): choose a place that you may write to."
    )
