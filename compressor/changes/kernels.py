"""Smaller kernels: 3 for 5, and 5 or 3 for 7, the middle of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange, settings_of
from compressor.graph import Call, Change, Editing
from profiler.network import Layer

_RANKS = {
    "Conv1D": 1, "Conv2D": 2, "DepthwiseConv1D": 1, "DepthwiseConv2D": 2, "SeparableConv1D": 1, "SeparableConv2D": 2,
}  # fmt: skip
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose")
_SIDES = (5, 3)
"""Sides that larger kernels come down to."""

_LEAST_SAVED = 0.02
"""Share of a layer's predicted time that a smaller kernel must save."""


@dataclass(frozen=True)
class SmallerKernel(Change):
    """The middle of a convolution's kernels; `offsets` is where in them it begins, on each axis."""

    id: str
    layers: tuple[str, ...]
    variable: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    offsets: tuple[int, ...]
    signature: str

    @property
    def words(self) -> str:
        """See `Change.words`."""
        step = "-step" if len(self.after) == 1 else ""
        return f"{_by(self.before)}{step} kernels of {self.layers[0]} became {_by(self.after)}{step}"

    @property
    def place(self) -> str:
        """See `Change.place`."""
        return f"{self.layers[0]}:kernel"

    @property
    def strength(self) -> int:
        """See `Change.strength`."""
        return -int(np.prod(self.after))

    def apply(self, model: Any) -> Any:
        """See `Change.apply`."""
        editing = Editing(model)
        editing.settings(self.layers[0])["kernel_size"] = list(self.after)
        return editing.made(lambda *weight: weight[2][self._middle] if self._is_kernel(weight) else weight[2])

    def twin(self, model: Any) -> Callable[[Any], Any]:
        """The network whose kernels are 0 around the middle."""
        silenced = Editing(model).made(self.weight)
        return lambda rows: silenced(rows, training=False)

    def weight(self, layer: str, variable: str, value: NDArray[Any]) -> NDArray[Any]:
        """See `Change.weight`."""
        if not self._is_kernel((layer, variable)):
            return value
        kept = np.zeros_like(value)
        kept[self._middle] = value[self._middle]
        return kept

    @property
    def by_weights(self) -> bool:
        """See `Change.by_weights`."""
        return True

    def in_file(self, layer: Layer) -> tuple[Layer, ...] | None:
        """See `Change.in_file`."""
        if layer.op not in ("conv_2d", "depthwise_conv_2d"):
            return None
        sides = layer.weights[0].shape[1:3] if layer.weights else ()
        mine = [self.before] if len(self.before) == 2 else [(1, *self.before), (*self.before, 1)]
        if sides not in mine:
            return None
        return (_smaller(layer, self.before, self.after),)

    @property
    def _middle(self) -> tuple[slice, ...]:
        return tuple(slice(start, start + side) for start, side in zip(self.offsets, self.after, strict=True))

    def _is_kernel(self, weight: Sequence[Any]) -> bool:
        return (weight[0], weight[1]) == (self.layers[0], self.variable)


class SmallerKernels(Dimension):
    """Convolutions of padding ``same``: there the middle of a kernel is a kernel with a border of zeros."""

    name: ClassVar[str] = "kernel"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found: list[Change] = []
        refused: list[RefusedChange] = []
        for call in network.topology.calls:
            if call.index or call.kind not in (*_RANKS, *_TRANSPOSED):
                continue
            before = tuple(call.config["kernel_size"])
            smaller = list(dict.fromkeys(tuple(min(side, n) for n in before) for side in _SIDES))
            smaller = [after for after in smaller if after != before]
            reason = _refusal(call) if smaller else ""
            if reason:
                refused.append(self.refuse(call.name, reason))
                continue
            uses = [one for one in network.topology.calls if one.name == call.name]
            for after in smaller:
                offsets = _offsets(uses, before, after)
                if offsets is None:
                    reason = f"with its strides {_by(after)} would not lie in the middle of {_by(before)}"
                else:
                    reason = _unpaid(network, call, before, after)
                if reason or offsets is None:
                    refused.append(self.refuse(call.name, reason))
                    continue
                variable = "depthwise_kernel" if "depthwise_kernel" in call.variables else "kernel"
                signature = repr((self.name, call.kind, settings_of(call.config), call.input_shapes, after))
                name = f"{call.name}:kernel={_by(after)}"
                found.append(SmallerKernel(name, (call.name,), variable, before, after, offsets, signature))
        return found, refused


def _refusal(call: Call) -> str:
    if call.kind in _TRANSPOSED:
        return "the middle of a transposed convolution's kernels would move what it makes"
    padding = call.config["padding"]
    if padding == "causal":
        return "its padding is causal: its kernels have no middle"
    return "" if padding == "same" else f"its padding is {padding}: smaller kernels would make larger outputs"


def _offsets(uses: Sequence[Call], before: Sequence[int], after: Sequence[int]) -> tuple[int, ...] | None:
    """Where in each kernel the smaller one begins so that both look at the same places; None where nowhere in its middle."""
    config, found = uses[0].config, []
    first = 2 if config.get("data_format") == "channels_first" else 1
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        stride, dilation = config["strides"][axis], config["dilation_rate"][axis]
        offsets = set()
        for use in uses:
            size = use.input_shapes[0][first + axis]
            # Of an unknown size only how far it goes beyond whole strides matters, where it is long enough.
            sizes = [size] if size is not None else range(stride * 32, stride * 33)
            for n in sizes:
                moved = _front(n, old, stride, dilation) - _front(n, new, stride, dilation)
                offsets.add(moved / dilation)
        offset = offsets.pop()
        if offsets or not offset.is_integer() or abs(2 * offset - (old - new)) > 1:
            return None
        found.append(int(offset))
    return tuple(found)


def _front(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Zeros that padding ``same`` puts in front."""
    steps = -(-size // stride)
    return max(0, (steps - 1) * stride + (kernel - 1) * dilation + 1 - size) // 2


def _unpaid(network: ExaminedNetwork, call: Call, before: Sequence[int], after: Sequence[int]) -> str:
    """Why a smaller kernel does not pay on the device; empty where it does, or its time is not known alone."""
    depthwise = not call.kind.startswith("Conv")
    variable = "depthwise_kernel" if "depthwise_kernel" in call.variables else "kernel"
    *sides, read, made = call.variables[variable]
    weight = (*sides, read * made) if depthwise else (made, *sides, read)
    result = list(call.output_shapes.get(0, ()))
    if depthwise and result:
        result[-1] = read * made  # of separable ones, too
    op = "depthwise_conv_2d" if depthwise else "conv_2d"
    layer = network.file_layer([op], weight, result)
    if layer is None:
        return ""
    was, now = network.times_ms([layer, _smaller(layer, before, after)])
    if not was - now < _LEAST_SAVED * was:
        return ""
    return f"{_by(after)} kernels are predicted to take {now:.3g} ms where {_by(before)} take {was:.3g} ms"


def _smaller(layer: Layer, before: Sequence[int], after: Sequence[int]) -> Layer:
    """The file's layer with smaller kernels, whose sides are axes 1 and 2 of its weights."""
    old = layer.weights[0]
    sides = list(after)
    if len(after) == 1:  # of convolutions over time one side is 1
        sides = [after[0] if side == before[0] else side for side in old.shape[1:3]]
    new = replace(old, shape=(old.shape[0], *sides, old.shape[3]))
    inputs = tuple(new if tensor is old else tensor for tensor in layer.inputs)
    return replace(
        layer, inputs=inputs, params={**layer.params, "kernel_height": sides[0], "kernel_width": sides[1]}
    )


def _by(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))
