"""What operators of several families do to axes of changeable size."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.axes.layer_step import LayerStep
from profiler.axes.variables import MOST_SEGMENTS, Segment, Size, WidthAxis


def keep_axes(step: LayerStep) -> None:
    """The result has the axes of the first operand."""
    step.write(step.read(0))


def no_axes(step: LayerStep) -> None:
    """The result's shape does not depend on the operands' (shape, rank)."""


def keep_channels(step: LayerStep) -> None:
    """Channels stay, places are worked on: pooling, resizing, space to batch and back."""
    sizes = step.read(0)
    for size in sizes[:-1]:
        step.freeze(size)
    step.write([*step.out_shape()[:-1], sizes[-1]])


def joined(step: LayerStep, parts: Sequence[Size]) -> Size:
    """Sizes one after the other."""
    if all(isinstance(part, int) for part in parts):
        return sum(step.measure(part) for part in parts)
    segments: list[Segment] = []
    for part in parts:
        if isinstance(part, int):
            part = step.fixed(part, "it comes from outside or was fixed before")
            if isinstance(part, int):
                continue
        if part.times * len(part.segments) > MOST_SEGMENTS:
            step.freeze(part)
            part = step.fixed(step.measure(part))
            assert isinstance(part, WidthAxis)
        segments.extend(part.segments * part.times)
    return WidthAxis(1, tuple(segments))
