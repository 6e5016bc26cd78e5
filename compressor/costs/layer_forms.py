"""A layer of a file whose sizes follow from the widths of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from profiler.network import Layer, Param, Tensor

Size = int | tuple[int, Fraction]
"""A number, or the number of a form and a factor."""


class LayerForm:
    """One layer whose dimensions are numbers, or ``(form, factor)``."""

    def __init__(self, layer: Layer, shapes: Sequence[Sequence[Size]], params: Mapping[str, Any]) -> None:
        self._layer, self.shapes, self._params = layer, shapes, params
        sizes = [s for shape in shapes for s in shape]
        sizes += [s for value in params.values() for s in value]
        self.used = tuple(sorted({s[0] for s in sizes if isinstance(s, tuple)}))
        self.changing = frozenset(
            i for i, shape in enumerate(shapes) if any(isinstance(s, tuple) for s in shape)
        )
        # What tells layers apart that are not alike at all widths.
        self.identity = (
            layer.key,
            tuple(map(tuple, shapes)),
            tuple((k, tuple(v)) for k, v in params.items()),
        )

    def at(self, sizes: Sequence[int]) -> Layer:
        """The layer where form i has the value ``sizes[i]``."""
        layer = self._layer
        if not self.used:
            return layer
        shapes = [tuple(_value(s, sizes) for s in shape) for shape in self.shapes]
        operands = [
            Tensor(shape, old.dtype, old.constant)
            for shape, old in zip(shapes, (*layer.inputs, *layer.outputs), strict=True)
        ]
        params: dict[str, Param] = dict(layer.params)
        for key, value in self._params.items():
            made = tuple(_value(s, sizes) for s in value)
            params[key] = made if isinstance(layer.params[key], tuple) else made[0]
        split = len(layer.inputs)
        return replace(layer, inputs=tuple(operands[:split]), outputs=tuple(operands[split:]), params=params)

    @property
    def layer_of_forms(self) -> Layer:
        """The layer with its forms in the place of sizes."""
        layer = self._layer
        operands = [
            Tensor(tuple(shape), old.dtype, old.constant)  # type: ignore[arg-type]
            for shape, old in zip(self.shapes, (*layer.inputs, *layer.outputs), strict=True)
        ]
        split = len(layer.inputs)
        return replace(layer, inputs=tuple(operands[:split]), outputs=tuple(operands[split:]))

    def like(self, layer: Layer, shapes: Sequence[Sequence[Size]]) -> LayerForm:
        """Another layer, of other shapes, whose parameters follow from the widths in the same way."""
        return LayerForm(layer, shapes, self._params)


def _value(size: Size, sizes: Sequence[int]) -> int:
    return size if isinstance(size, int) else int(sizes[size[0]] * size[1])
