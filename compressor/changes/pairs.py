"""A dense layer or a convolution by two thin ones, where the time model says that two take less than one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange, settings_of
from compressor.changes.kernels import SmallerKernel
from compressor.graph import Call, Change, Editing, free_name, layers_of, prefix_of, weight_names
from profiler.network import Layer, Tensor

_COUNTS = {"Dense": "units", "Conv1D": "filters", "Conv2D": "filters"}
_SHARES = (0.75, 0.5)
"""Shares of a layer's time that a pair may take at most: one change for each."""

_LEAST_SIZE = 8
"""Matrices that are thinner are left alone."""

_ALL_RANKS, _STEP = 64, 8
"""Up to this rank the time of each is asked for, then in steps: staircases rise at multiples of 8."""


@dataclass(frozen=True)
class ThinPair(Change):
    """A layer whose kernel, as a matrix, is the product of two of a low rank; the first has the layer's shape and strides.

    `kernel` is the shape of the kernel as it is.
    """

    id: str
    layers: tuple[str, ...]
    kind: str
    rank: int
    kernel: tuple[int, ...]
    signature: str

    @property
    def words(self) -> str:
        """See `Change.words`."""
        return f"{self.layers[0]} became two layers of rank {self.rank} of {_full_rank(self.kernel)}"

    @property
    def place(self) -> str:
        """See `Change.place`."""
        return f"{self.layers[0]}:rank"

    @property
    def strength(self) -> int:
        """See `Change.strength`."""
        return -self.rank

    @property
    def fixed(self) -> tuple[str, ...]:
        """See `Change.fixed`."""
        return (f"{self.layers[0]}_thin",)

    def is_excluded_by(self, other: Change) -> bool:
        """See `Change.is_excluded_by`: of a smaller kernel this may be the full rank, or more."""
        if not isinstance(other, SmallerKernel) or other.layers != self.layers:
            return False
        return self.rank >= _full_rank((*other.after, *self.kernel[-2:]))

    def apply(self, model: Any) -> Any:
        """See `Change.apply`: the layer keeps its name, its bias and its activation, the thin one stands before it."""
        import keras

        (name,), (thin,) = self.layers, self.fixed
        layer = dict(layers_of(model))[name]
        kernel = dict(zip(weight_names(layer), layer.get_weights(), strict=True))["kernel"]
        editing = Editing(model)
        if self.rank >= _full_rank(kernel.shape):
            return editing.made()  # branches in front are gone
        first, second = factors(kernel, self.rank)
        settings = editing.settings(name)
        before = {**settings, "name": thin[len(prefix_of(name)) :], _COUNTS[self.kind]: self.rank}
        before |= {"activation": "linear", "use_bias": False}
        if self.kind != "Dense":
            ones = [1] * len(settings["kernel_size"])
            settings |= {"kernel_size": ones, "strides": ones, "dilation_rate": ones}
        editing.insert_before(name, 0, getattr(keras.layers, self.kind).from_config(before))
        made = editing.made(lambda *weight: second if weight[:2] == (name, "kernel") else weight[2])
        dict(layers_of(made))[thin].set_weights([first])
        return made

    def twin(self, model: Any) -> Callable[[Any], Any]:
        """The network with the product in place of the kernel."""
        found = Editing(model).made(self.weight)
        return lambda rows: found(rows, training=False)

    def weight(self, layer: str, variable: str, value: NDArray[Any]) -> NDArray[Any]:
        """See `Change.weight`."""
        if (layer, variable) != (self.layers[0], "kernel"):
            return value
        first, second = factors(value, self.rank)
        product = first.reshape(-1, first.shape[-1]) @ second.reshape(first.shape[-1], -1)
        return product.reshape(value.shape)

    @property
    def by_weights(self) -> bool:
        """See `Change.by_weights`."""
        return True

    def in_file(self, layer: Layer) -> tuple[Layer, ...] | None:
        """See `Change.in_file`."""
        op = "fully_connected" if self.kind == "Dense" else "conv_2d"
        return _thin(layer, self.rank) if layer.op == op and layer.weights else None


def factors(kernel: NDArray[Any], rank: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two kernels of `rank`, or the most there is, whose product comes nearest to a kernel [..., read, made].

    >>> first, second = factors(np.eye(4), 4)
    >>> bool(np.allclose(first @ second, np.eye(4)))
    True
    """
    *sides, read, made = kernel.shape
    left, values, right = np.linalg.svd(kernel.reshape(-1, made).astype(np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    first = (left[:, :rank] * root).reshape(*sides, read, len(root))
    second = (root[:, None] * right[:rank]).reshape(*[1] * len(sides), len(root), made)
    return first.astype(kernel.dtype), second.astype(kernel.dtype)


class ThinPairs(Dimension):
    """Dense layers and convolutions: of each rank that two layers together are predicted to be faster at, the highest."""

    name: ClassVar[str] = "rank"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found: list[Change] = []
        refused: list[RefusedChange] = []
        names = {address for address, _ in layers_of(network.model)}
        uses = [call.name for call in network.topology.calls]
        for call in network.topology.calls:
            if call.index or call.kind not in _COUNTS or "kernel" not in call.variables:
                continue
            shape = call.variables["kernel"]
            full = _full_rank(shape)
            if full < _LEAST_SIZE:
                continue
            reason = _refusal(call, uses, names)
            ranks, more = ([], "") if reason else _ranks_that_pay(network, call, full)
            if reason or more:
                refused.append(self.refuse(call.name, reason or more))
            for rank in ranks:
                signature = repr((self.name, call.kind, settings_of(call.config), call.input_shapes, rank))
                name = f"{call.name}:rank={rank}"
                found.append(ThinPair(name, (call.name,), call.kind, rank, tuple(shape), signature))
        return found, refused


def _full_rank(shape: Sequence[int]) -> int:
    """Of a kernel [..., read, made] as a matrix."""
    return min(int(np.prod(shape[:-1])), shape[-1])


def _refusal(call: Call, uses: Sequence[str], names: set[str]) -> str:
    if uses.count(call.name) > 1:
        return "it is used more than once"
    if call.config.get("groups", 1) > 1:
        return "its channels are in groups"
    if call.config.get("lora_rank") or call.config.get("quantization_config"):
        return "its weights are no plain kernel"
    thin = f"{call.name}_thin"
    return "" if free_name(names, thin) == thin else f"there is a layer {thin} already"


def _ranks_that_pay(network: ExaminedNetwork, call: Call, full: int) -> tuple[list[int], str]:
    """Ranks, and where there are none why not."""
    *sides, read, made = call.variables["kernel"]
    dense = call.kind == "Dense"
    weight, op = ((made, read), "fully_connected") if dense else ((made, *sides, read), "conv_2d")
    layer = network.file_layer([op], weight, call.output_shapes.get(0, (None,)))
    if layer is None:
        return [], "its time on the device is not known alone"
    ranks = [rank for rank in range(1, full) if rank <= _ALL_RANKS or rank % _STEP == 0]
    thin = [one for rank in ranks for one in _thin(layer, rank)]
    was, *rest = network.times_ms([layer, *thin])
    pairs_ms = np.array(rest).reshape(-1, 2).sum(axis=1)
    if not np.isfinite(was):
        return [], "there is no time model that says whether it pays"
    found = {
        max(able)
        for share in _SHARES
        if (able := [rank for rank, ms in zip(ranks, pairs_ms, strict=True) if ms <= share * was])
    }
    if found:
        return sorted(found, reverse=True), ""
    least = f"{pairs_ms.min():.3g} ms or more, which is over {_SHARES[0]:.0%} of its {was:.3g} ms"
    return [], f"two layers are predicted to take {least}"


def _thin(layer: Layer, rank: int) -> tuple[Layer, Layer]:
    """The two layers of the file that take the place of one."""
    kernel, *biases = layer.weights
    made, *rest = kernel.shape
    result = layer.outputs[0]
    between = replace(result, shape=(*result.shape[:-1], rank))
    dense = layer.op == "fully_connected"
    first_weights = [replace(kernel, shape=(rank, *rest))]
    if not dense:  # the converter gives each convolution a bias
        first_weights += [replace(bias, shape=(rank,)) for bias in biases]
    second = replace(kernel, shape=(made, *[1] * (len(rest) - 1), rank))
    ones: dict[str, Any] = {}
    if not dense:
        sides = ("kernel", "stride", "dilation")
        ones = {f"{what}_{axis}": 1 for what in sides for axis in ("height", "width")}
    source: tuple[Tensor, ...] = layer.activations
    return (
        replace(
            layer,
            inputs=(*source, *first_weights),
            outputs=(between,),
            params={**layer.params, "activation": "none"},
        ),
        replace(layer, inputs=(between, second, *biases), params={**layer.params, **ones}),
    )
