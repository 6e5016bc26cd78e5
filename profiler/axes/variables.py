"""Sizes of tensors' axes as sums of widths, and what is known of which widths are the same."""

from __future__ import annotations

from typing import NamedTuple

MOST_SEGMENTS = 4096


class Segment(NamedTuple):
    """Consecutive channels: those of variable `variable`, each `multiplier` times in a row."""

    variable: int
    multiplier: int


class WidthAxis(NamedTuple):
    """An axis of changeable size: `segments` one after the other, and all of that `times` over.

    A concatenation gives several segments, flattening a plane times > 1, a depthwise convolution multipliers > 1.
    """

    times: int
    segments: tuple[Segment, ...]


Size = int | WidthAxis
Sizes = tuple[Size, ...]


class Variables:
    """Widths that may change: free, or bound to another one that is the same, or to several parts that they are made of."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._bound: dict[int, tuple[int, ...]] = {}
        self._frozen: dict[int, str] = {}

    def new(self, width: int, frozen: str = "") -> Size:
        """An axis of one fresh variable; `frozen` says why it cannot change. A size of 0 is just that."""
        if width < 1:
            return width
        return WidthAxis(1, (Segment(self._fresh(width, frozen), 1),))

    def _fresh(self, width: int, frozen: str = "") -> int:
        self._widths.append(width)
        variable = len(self._widths) - 1
        if frozen:
            self._frozen[variable] = frozen
        return variable

    def width(self, variable: int) -> int:
        """What the variable measures in the network as it is."""
        return self._widths[variable]

    def frozen(self, variable: int) -> str:
        """Why the variable cannot change; empty where it can."""
        return self._frozen.get(variable, "")

    def leaves(self, variable: int) -> tuple[int, ...]:
        """The unbound variables that `variable` is made of, in order."""
        bound = self._bound.get(variable)
        if bound is None:
            return (variable,)
        return tuple(leaf for part in bound for leaf in self.leaves(part))

    def resolve(self, size: Size) -> Size:
        """The same size in terms of unbound variables."""
        if isinstance(size, int) or not any(s.variable in self._bound for s in size.segments):
            return size
        segments = tuple(
            Segment(leaf, s.multiplier) for s in size.segments for leaf in self.leaves(s.variable)
        )
        return WidthAxis(size.times, segments)

    def measure(self, size: Size) -> int:
        """The size in the network as it is."""
        if isinstance(size, int):
            return size
        return size.times * sum(self._widths[s.variable] * s.multiplier for s in size.segments)

    def freeze(self, size: Size, reason: str) -> int:
        """Let the size never change; returns it."""
        if not isinstance(size, int):
            for segment in size.segments:
                for leaf in self.leaves(segment.variable):
                    self._frozen.setdefault(leaf, reason)
        return self.measure(size)

    def bind(self, variable: int, parts: tuple[int, ...]) -> None:
        """Let an unbound `variable` consist of `parts`; whether it can change goes with it."""
        self._bound[variable] = parts
        reason = self._frozen.pop(variable, "")
        if reason:
            for leaf in self.leaves(variable):
                self._frozen.setdefault(leaf, reason)

    def split_evenly(self, size: Size, parts: int) -> Size | None:
        """One of `parts` equal consecutive parts of a size; None where it cannot be cut so."""
        size = self.resolve(size)
        if isinstance(size, int):
            return size // parts if size % parts == 0 else None
        if size.times % parts == 0:
            return WidthAxis(size.times // parts, size.segments)
        count = len(size.segments)
        if (
            size.times == 1
            and count % parts == 0
            and size.segments == size.segments[: count // parts] * parts
        ):
            return WidthAxis(1, size.segments[: count // parts])
        if size.times != 1 or count != 1 or size.segments[0].multiplier != 1:
            return None
        variable = size.segments[0].variable
        width = self._widths[variable]
        if width % parts or parts > MOST_SEGMENTS:
            return None
        part = self._fresh(width // parts)
        self.bind(variable, (part,) * parts)
        return WidthAxis(1, (Segment(part, 1),))

    def unify(self, first: Size, second: Size, reason: str) -> Size:
        """Make two sizes the same for all widths to come; where that cannot be said, freeze both with `reason`."""
        first, second = self.resolve(first), self.resolve(second)
        if first == second:
            return first
        if isinstance(first, int) or isinstance(second, int) or self.measure(first) != self.measure(second):
            self.freeze(first, reason)
            return self.freeze(second, reason)
        if first.times != second.times:
            if max(axis.times * len(axis.segments) for axis in (first, second)) > MOST_SEGMENTS:
                self.freeze(first, reason)
                return self.freeze(second, reason)
            first, second = (WidthAxis(1, axis.segments * axis.times) for axis in (first, second))
        if not self._match(list(first.segments), list(second.segments)):
            self.freeze(first, reason)
            self.freeze(second, reason)
        return self.resolve(first)

    def _match(self, first: list[Segment], second: list[Segment]) -> bool:
        """Bind two lists of segments to each other from the left, cutting the longer where they differ."""
        first.reverse()
        second.reverse()
        while first and second:
            a, b = self._pop(first), self._pop(second)
            if a == b:
                continue
            if a.multiplier != b.multiplier:
                return False
            longer = self._widths[b.variable] - self._widths[a.variable]
            if longer == 0:
                self.bind(b.variable, (a.variable,))
            elif longer > 0:
                rest = self._fresh(longer)
                self.bind(b.variable, (a.variable, rest))
                second.append(Segment(rest, b.multiplier))
            else:
                rest = self._fresh(-longer)
                self.bind(a.variable, (b.variable, rest))
                first.append(Segment(rest, a.multiplier))
        return not first and not second

    def _pop(self, stack: list[Segment]) -> Segment:
        """Next segment in terms of an unbound variable: an earlier cut may have hit this one too."""
        segment = stack.pop()
        leaves = self.leaves(segment.variable)
        stack.extend(Segment(leaf, segment.multiplier) for leaf in reversed(leaves[1:]))
        return Segment(leaves[0], segment.multiplier)


def scaled(size: Size, outer: int = 1, inner: int = 1) -> Size:
    """`size` repeated `outer` times as a whole, and each of its channels `inner` times in a row."""
    if isinstance(size, int):
        return size * outer * inner
    return WidthAxis(
        size.times * outer, tuple(Segment(s.variable, s.multiplier * inner) for s in size.segments)
    )
