"""Callbacks by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[float, str], None]
"""Called with the share of the work that is done (0 to 1) and a short note of what is being done now."""


def silent(fraction: float, note: str) -> None:
    """Report nothing."""


def sub_progress(progress: ProgressCallback, start: float, end: float) -> ProgressCallback:
    """A callback for a part of the work: its 0 to 1 become `start` to `end` of `progress`."""
    return lambda fraction, note: progress(start + (end - start) * min(max(fraction, 0.0), 1.0), note)
