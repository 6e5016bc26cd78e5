"""Which widths a decoder is compiled for: where its time rises by stairs, only the widest of each stair."""

from __future__ import annotations

from collections.abc import Mapping

from profiler.errors import UsageError


def choose_palette(times_ms: Mapping[int, float], gain: float = 0.07) -> tuple[int, ...]:
    """The widths worth having, rising: each is cheaper than the next by more than `gain`, and as wide as its price allows.

    Parameters
    ----------
    times_ms
        Time of one step of the decoder by its width.
    gain
        Share of the next width's time that a narrower one has to save.

    Examples
    --------
    >>> choose_palette({1: 40.0, 2: 60.0, 3: 61.0, 4: 62.0, 7: 106.0, 8: 178.0})
    (1, 4, 7, 8)
    """
    if not times_ms or min(times_ms) < 1 or min(times_ms.values()) <= 0:
        raise UsageError("A palette is chosen from the times, above 0, of widths from 1.")
    kept = [max(times_ms)]
    for width in sorted(times_ms, reverse=True):
        if width < kept[-1] and times_ms[width] < (1 - gain) * times_ms[kept[-1]]:
            kept.append(width)
    return tuple(reversed(kept))
