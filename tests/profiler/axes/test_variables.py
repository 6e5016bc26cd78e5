from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from profiler.axes import Analysis, LayerStep, Size, reshape_axes, scaled
from profiler.axes.variables import Segment, Variables, WidthAxis
from profiler.network import Edge, Layer, Network, Tensor


def _parts(variables: Variables, widths: list[int]) -> WidthAxis:
    """Several fresh widths, one after the other."""
    segments = []
    for width in widths:
        axis = variables.new(width)
        assert isinstance(axis, WidthAxis)
        segments += axis.segments
    return WidthAxis(1, tuple(segments))


def labels(variables: Variables, size: Size) -> list[tuple[int, int]]:
    """Which channel of which width stands at each place of an axis."""
    size = variables.resolve(size)
    if isinstance(size, int):
        return [(-1, 0)] * size
    once = [
        (segment.variable, channel)
        for segment in size.segments
        for channel in range(variables.width(segment.variable))
        for _ in range(segment.multiplier)
    ]
    return once * size.times


def test_equal_widths_become_one():
    variables = Variables()
    a, b = variables.new(8), variables.new(8)
    assert variables.unify(a, b, "") == variables.resolve(a) == variables.resolve(b)


def test_width_that_meets_a_concatenation_is_made_of_its_parts():
    variables = Variables()
    whole, parts = variables.new(10), _parts(variables, [6, 4])
    merged = variables.unify(whole, parts, "")
    assert merged == variables.resolve(whole) == variables.resolve(parts)
    assert [variables.width(s.variable) for s in merged.segments] == [6, 4]


def test_fixed_size_freezes_what_meets_it():
    variables = Variables()
    axis = variables.new(8)
    assert variables.unify(axis, 8, "met a constant") == 8
    assert variables.frozen(axis.segments[0].variable) == "met a constant"


def test_parts_of_a_frozen_width_are_frozen():
    variables = Variables()
    whole, parts = variables.new(10, frozen="because"), _parts(variables, [6, 4])
    variables.unify(whole, parts, "")
    assert [variables.frozen(s.variable) for s in variables.resolve(parts).segments] == ["because"] * 2


def test_even_parts_of_a_width():
    variables = Variables()
    axis = variables.new(12)
    part = variables.split_evenly(axis, 3)
    assert variables.measure(part) == 4
    assert variables.resolve(axis) == WidthAxis(1, part.segments * 3)
    assert variables.split_evenly(axis, 3) == part
    assert variables.split_evenly(axis, 5) is None


def test_width_of_nothing_is_just_that():
    assert Variables().new(0) == 0


cuts = st.lists(st.integers(1, 6), min_size=1, max_size=6)


def partition(total: int, cut: list[float]) -> list[int]:
    """`total` in parts, cut at these shares of it."""
    ends = sorted({0, total, *(round(total * share) for share in cut)})
    return [b - a for a, b in pairwise(ends)]


@given(cuts, st.lists(st.floats(0, 1), max_size=6), st.integers(1, 3))
def test_unified_axes_are_the_same_channel_by_channel(widths, cut, times):
    variables = Variables()
    total = times * sum(widths)
    a, b = scaled(_parts(variables, widths), outer=times), _parts(variables, partition(total, cut))
    merged = variables.unify(a, b, "cannot")
    assert labels(variables, a) == labels(variables, b) == labels(variables, merged)
    assert variables.measure(a) == variables.measure(b) == total


@given(st.lists(cuts, min_size=2, max_size=5))
def test_any_number_of_unifications_stays_consistent(lists):
    total = max(sum(widths) for widths in lists)
    variables = Variables()
    axes = [
        _parts(variables, [*widths, *([total - sum(widths)] if sum(widths) < total else [])])
        for widths in lists
    ]
    for other in axes[1:]:
        variables.unify(axes[0], other, "")
    assert len({tuple(labels(variables, axis)) for axis in axes}) == 1


@st.composite
def reshapes(draw):
    """Two shapes of the same number of elements, and which axis of the first may change."""
    factors = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    places = draw(st.lists(st.integers(0, len(factors)), max_size=5).map(sorted))
    others = draw(st.lists(st.integers(0, len(factors)), max_size=5).map(sorted))

    def shape(cut: list[int]) -> tuple[int, ...]:
        ends = [0, *cut, len(factors)]
        return tuple(math.prod(factors[a:b]) for a, b in pairwise(ends))

    before, after = shape(places), shape(others)
    return before, after, draw(st.integers(0, len(before) - 1))


@given(reshapes())
def test_reshape_says_of_each_element_which_channel_it_belongs_to(case):
    """Label every element by its channel, reshape the labels with numpy, and compare with what the rule says."""
    before, after, place = case
    tensors = (Tensor(before), Tensor(after))
    layer = Layer("reshape", tensors[:1], tensors[1:])
    analysis = Analysis(Network("n", (layer,), (Edge((0,), (1,)),), tensors, (0,), (1,)))
    variables = analysis.variables
    axis = variables.new(before[place])
    analysis.sizes[0] = tuple(axis if i == place else n for i, n in enumerate(before))
    reshape_axes(LayerStep(analysis, 0))

    sizes = [variables.resolve(s) for s in analysis.sizes.get(1, after)]
    assert tuple(variables.measure(s) for s in sizes) == after
    open_places = [i for i, s in enumerate(sizes) if not isinstance(s, int)]
    resolved = variables.resolve(axis)
    assert isinstance(resolved, WidthAxis)
    frozen = all(variables.frozen(s.variable) for s in resolved.segments)
    assert frozen or len(open_places) == 1
    if not open_places:
        return
    names = labels(variables, axis)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    column = np.array([numbers[name] for name in names]).reshape(
        [-1 if i == place else 1 for i in range(len(before))]
    )
    actual = np.broadcast_to(column, before).reshape(after)
    (open_place,) = open_places
    said = np.array([numbers[name] for name in labels(variables, sizes[open_place])])
    said = said.reshape([-1 if i == open_place else 1 for i in range(len(after))])
    assert (np.broadcast_to(said, after) == actual).all()


def test_flattened_image_and_back():
    variables = Variables()
    channels = variables.new(5)
    flat = scaled(channels, outer=12)
    assert variables.measure(flat) == 60
    assert flat == WidthAxis(12, (Segment(0, 1),))
    assert scaled(7, 2, 3) == 42
