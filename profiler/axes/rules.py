"""What operators of several families do to axes of changeable size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profiler.axes.layer_step import LayerStep
from profiler.axes.variables import MOST_SEGMENTS, Segment, Size, WidthAxis, scaled


def keep_axes(step: LayerStep) -> None:
    """The result has the axes of the first operand."""
    step.write(step.read(0))


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


def reshape_axes(step: LayerStep) -> None:
    """Follow axes through a change of shape: kept, flattened, cut again."""
    before, after = step.read(0), list(step.out_shape())
    if 0 in after or math.prod(after) != math.prod(step.measure(s) for s in before):
        return step.freeze_all()
    result: list[Size] = list(after)
    i = j = 0
    while i < len(before) or j < len(after):
        # The shortest run of axes on both sides that holds the same number of elements.
        first, target = i, j
        left = right = 1
        while True:
            if (left <= right or j >= len(after)) and i < len(before):
                left *= step.measure(before[i])
                i += 1
            elif j < len(after):
                right *= after[j]
                j += 1
            if i >= len(before) and j >= len(after):
                break
            if left == right and (j > target or j >= len(after)) and (i > first or i >= len(before)):
                break
        _regroup(step, before[first:i], result, target, j)
    step.write(result)


def _regroup(step: LayerStep, before: list[Size], result: list[Size], start: int, end: int) -> None:
    """Axes of one run of a reshape: `result[start:end]` holds the same elements as `before`."""
    open_places = [p for p, s in enumerate(before) if not isinstance(s, int)]
    targets = [p for p in range(start, end) if result[p] != 1]
    if not open_places:
        return
    if len(open_places) > 1 or not targets:
        for size in before:
            step.freeze(size)
        return
    place = open_places[0]
    size = before[place]
    outer = math.prod(step.measure(s) for s in before[:place])
    inner = math.prod(step.measure(s) for s in before[place + 1 :])
    whole = scaled(size, outer, inner)
    if len(targets) == 1:
        result[targets[0]] = whole
        return
    found = _unflattened(step, whole, [result[p] for p in targets])  # type: ignore[misc]
    if found is None:
        step.freeze(size)
        return
    result[targets[found[0]]] = found[1]


def _unflattened(step: LayerStep, whole: Size, sizes: list[int]) -> tuple[int, Size] | None:
    """Which of `sizes` an axis that is cut into them goes to, and as what.

    Undoing a flattening gives back what was flattened. A plain width that is cut (into heads, or into an
    image) keeps all but the last of its parts.
    """
    assert isinstance(whole, WidthAxis)
    common = math.gcd(*(s.multiplier for s in whole.segments))
    for place, size in enumerate(sizes):
        outer, inner = math.prod(sizes[:place]), math.prod(sizes[place + 1 :])
        if whole.times != outer or common % inner or (outer == 1 and inner == 1):
            continue
        part = WidthAxis(1, tuple(Segment(s.variable, s.multiplier // inner) for s in whole.segments))
        if step.measure(part) == size:
            return place, part
    cut = step.split(whole, math.prod(sizes[:-1]))
    return None if cut is None else (len(sizes) - 1, cut)
