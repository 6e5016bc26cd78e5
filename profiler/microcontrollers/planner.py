"""Where TFLite Micro places buffers that live for a while: the largest first, each into the first gap that fits."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Buffer:
    """Bytes that are needed from step `first` to step `last`, both included; `fixed` is an offset that the file gives."""

    nbytes: int
    first: int
    last: int
    fixed: int | None = None
    offset: int = 0


def plan(buffers: Sequence[Buffer]) -> int:
    """Set the offset of each buffer, and return how many bytes all of them take.

    Source: ``GreedyMemoryPlanner`` of TFLite Micro. Of two buffers of one size the later one is placed first. Unlike LiteRT's
    planner (`profiler.network.plan_arena`) it takes the first gap and not the smallest.
    """
    offline = [buffer for buffer in buffers if buffer.fixed is not None]
    online = [buffer for buffer in reversed(buffers) if buffer.fixed is None]
    placed: list[Buffer] = []
    for buffer in [*offline, *sorted(online, key=lambda one: -one.nbytes)]:
        buffer.offset = _first_gap(buffer, placed) if buffer.fixed is None else buffer.fixed
        insort(placed, buffer, key=lambda one: one.offset)
    return max((buffer.offset + buffer.nbytes for buffer in buffers), default=0)


def _first_gap(buffer: Buffer, placed: Sequence[Buffer]) -> int:
    end = 0
    for other in placed:
        if other.last < buffer.first or other.first > buffer.last:
            continue
        if other.offset - end >= buffer.nbytes:
            break
        end = max(end, other.offset + other.nbytes)
    return end
