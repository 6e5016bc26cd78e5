"""Sweeps: measured layers that differ in their width only, which show the steps of the staircase one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from profiler.widths import width_of, with_width
from timemodel.model.checking import number, whole

MIN_POINTS = 8


@dataclass(frozen=True)
class Sweep:
    """Measured times of `layer` at several output widths."""

    layer: Layer
    widths: tuple[int, ...]
    times_ms: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"layer": self.layer.to_dict(), "widths": list(self.widths), "times_ms": list(self.times_ms)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Sweep:
        """Read what `to_dict` wrote."""
        layer = Layer.from_dict(value["layer"])
        shapes = [tensor.shape for tensor in (*layer.inputs, *layer.outputs)]
        if not layer.outputs or not all(isinstance(n, int) and n > 0 for shape in shapes for n in shape):
            raise ValueError("the layer of a sweep has no sizes")
        widths = tuple(whole(width, "a width of a sweep", least=1) for width in value["widths"])
        times = tuple(number(time, "a time of a sweep", above=True) for time in value["times_ms"])
        if len(widths) != len(times):
            raise ValueError("a sweep has more widths than times, or fewer")
        return cls(layer, widths, times)

    @property
    def layers(self) -> list[Layer]:
        """What was measured."""
        return [with_width(self.layer, width) for width in self.widths]


def find_sweeps(layers: Sequence[Layer], times_ms: np.ndarray) -> list[Sweep]:
    """Groups of at least `MIN_POINTS` layers that differ in width only, the largest group first."""
    groups: dict[str, list[int]] = {}
    for i, layer in enumerate(layers):
        if operator(layer.op).output_width and len(layer.inputs) > 1:
            groups.setdefault(with_width(layer, 1).key, []).append(i)
    found = []
    for members in groups.values():
        by_width = {width_of(layers[i]): i for i in members}
        if len(by_width) >= MIN_POINTS:
            widths = tuple(sorted(by_width))
            times = tuple(float(times_ms[by_width[w]]) for w in widths)
            found.append(Sweep(layers[by_width[widths[0]]], widths, times))
    return sorted(found, key=lambda sweep: -len(sweep.widths))
