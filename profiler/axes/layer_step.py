"""One layer as its operator's rule sees it: its axes, and what the rule may say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from profiler.axes.variables import Size, Sizes, Variables
from profiler.network import Layer, Network


@dataclass
class Analysis:
    """What is known of a network's axes while its layers are walked through in order.

    `sizes` are the axes of each tensor of which some may change, `defining` is the axis whose width a layer is free to choose,
    `reads` its operands, copies included, and `refused` why a layer lets nothing change that reaches it.

    `copies` (original by copy) are made of constants that several layers use with different axes: converters store equal
    vectors, such as biases that are all 0, once, which must not tie the layers together.
    """

    network: Network
    variables: Variables = field(default_factory=Variables)
    sizes: dict[int, Sizes] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    defining: dict[int, Size] = field(default_factory=dict)
    reads: dict[int, list[int]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


class LayerStep:
    """One layer as its rule sees it."""

    def __init__(self, analysis: Analysis, position: int) -> None:
        self._analysis = analysis
        self._variables = analysis.variables
        self._tensors = analysis.network.tensors
        self.position = position
        self.layer: Layer = analysis.network.layers[position]
        edge = analysis.network.edges[position]
        self._reads = list(edge.inputs)
        analysis.reads[position] = self._reads
        self._writes = edge.outputs
        self.reason = f"{self.layer.op} {self.layer.name!r} works on it in a way that fixes its size"

    @property
    def inputs(self) -> int:
        """Number of operands."""
        return len(self._reads)

    @property
    def outputs(self) -> int:
        """Number of results."""
        return len(self._writes)

    def number(self, name: str) -> int:
        """A parameter that is a whole number; 0 where there is none."""
        value = self.layer.params.get(name)
        return value if isinstance(value, int) else 0

    def shape(self, slot: int) -> tuple[int, ...]:
        """Shape of an operand in the network as it is."""
        return self.layer.inputs[slot].shape

    def out_shape(self, slot: int = 0) -> tuple[int, ...]:
        """Shape of a result in the network as it is."""
        return self.layer.outputs[slot].shape

    def constant(self, slot: int) -> bool:
        """Whether an operand comes from the file."""
        return slot < self.inputs and self.layer.inputs[slot].constant

    def read(self, slot: int) -> list[Size]:
        """Axes of an operand."""
        sizes = self._analysis.sizes.get(self._reads[slot])
        if sizes is None:
            return list(self.shape(slot))
        return [self._variables.resolve(s) for s in sizes]

    def write(self, sizes: Sequence[Size], slot: int = 0) -> None:
        """Say what a result's axes are; where that contradicts its shape, everything is frozen instead."""
        shape = self.out_shape(slot)
        if len(sizes) != len(shape) or any(self.measure(s) != n for s, n in zip(sizes, shape, strict=True)):
            for size in sizes:
                self.freeze(size)
            return
        if any(not isinstance(s, int) for s in sizes):
            self._analysis.sizes[self._writes[slot]] = tuple(sizes)

    def give(self, slot: int, sizes: Sequence[Size]) -> None:
        """Say what a constant operand's axes are."""
        if slot >= self.inputs:
            return
        if not self.constant(slot) or tuple(self.measure(s) for s in sizes) != self.shape(slot):
            for size in (*sizes, *self.read(slot)):
                self.freeze(size)
            return
        index = self._reads[slot]
        known = self._analysis.sizes.get(index)
        if known is None:
            self._analysis.sizes[index] = tuple(sizes)
        elif tuple(self._variables.resolve(s) for s in known) != tuple(sizes):
            if len(sizes) < 2:
                index = len(self._tensors) + len(self._analysis.copies)
                self._analysis.copies[index] = self._reads[slot]
                self._reads[slot] = index
                self._analysis.sizes[index] = tuple(sizes)
            else:
                for a, b in zip(known, sizes, strict=True):
                    self.unify(a, b)

    def choose(self, width: int) -> Size:
        """The axis that this layer is free to choose."""
        size = self._variables.new(width)
        self._analysis.defining[self.position] = size
        return size

    def fixed(self, width: int, reason: str = "") -> Size:
        """A part of an axis that cannot change."""
        return self._variables.new(width, reason or self.reason)

    def unowned(self, width: int) -> Size:
        """An axis that no layer chooses yet: it keeps its size unless it is tied to one that does."""
        return self._variables.new(width)

    def freeze(self, size: Size) -> int:
        """Let a size never change, on this layer's account; returns it."""
        return self._variables.freeze(size, self.reason)

    def freeze_all(self) -> None:
        """Let nothing change that reaches this layer."""
        self._analysis.refused[self.position] = self.reason
        for slot in range(self.inputs):
            for size in self.read(slot):
                self.freeze(size)

    def unify(self, a: Size, b: Size) -> Size:
        """Make two sizes the same."""
        joined = f"{self.layer.op} {self.layer.name!r} joins it with channels that cannot follow"
        return self._variables.unify(a, b, joined)

    def measure(self, size: Size) -> int:
        """A size in the network as it is."""
        return self._variables.measure(size)

    def split(self, size: Size, parts: int) -> Size | None:
        """One of equal parts of a size; None where it cannot be cut so."""
        return self._variables.split_evenly(size, parts)


Rule = Callable[[LayerStep], None]
"""What an operator does to axes of changeable size."""
