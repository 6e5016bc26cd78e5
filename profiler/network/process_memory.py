"""Memory that a process needs to run a network: the arena of activations, and what kernels allocate besides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from profiler.network.activation_memory import arena_bytes, peak_memory_bytes, workspace_bytes
from profiler.network.layer import QUANTIZED, Layer
from profiler.network.network import Network

_POINTER_BYTES = 8
_COLUMNS = 32
"""Output channels that XNNPACK packs together in float on wide x86; on others 8 or 16, which pads less."""
_INTEGER_COLUMNS = 16
_BOOKKEEPING_BYTES = {"xnnpack": 2300, "builtin": 700}
"""Of the runtime per layer, beyond what follows from sizes; the mean over public networks (``benchmarks.memory``)."""

_PACKED = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv"})


@dataclass(frozen=True)
class Footprint:
    """Bytes that the runtime allocates to run a network once, the file itself (which is mapped) not included.

    `activation_bytes` is what `plan_arena` places; `scratch_bytes` what they take beyond that, because built-in kernels lay out
    a convolution's input in patches, or because XNNPACK keeps inputs and outputs apart. `weight_bytes` are XNNPACK's copies of
    weights, `table_bytes` its tables of addresses per window; `bookkeeping_bytes` is everything else, estimated per layer.
    """

    activation_bytes: int
    scratch_bytes: int
    weight_bytes: int
    table_bytes: int
    bookkeeping_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the total included."""
        return {**asdict(self), "total_bytes": self.total_bytes}


def footprint(network: Network, kernels: str = "xnnpack") -> Footprint:
    """Predict the memory that `network` needs with ``xnnpack`` or the built-in kernels (any other name).

    Float networks: the total is within about 2% of what the process takes where it is a megabyte or more; integer
    ones lie up to 15% higher than predicted. Not modelled are networks of which XNNPACK leaves parts to other kernels
    (each part has a workspace of its own), and data that the built-in integer kernels rearrange while running.
    """
    activations = peak_memory_bytes(network)
    layers = list({layer.index: layer for layer in network.layers}.values())
    if kernels == "xnnpack":
        apart = workspace_bytes(network) if network.edges else activations
        return Footprint(
            activations,
            max(0, apart - activations),
            sum(packed_bytes(layer) for layer in layers),
            sum(table_bytes(layer) for layer in layers),
            len(layers) * _BOOKKEEPING_BYTES["xnnpack"],
        )
    scratch = {layer.index: (patch_bytes(layer),) for layer in layers if patch_bytes(layer)}
    whole = arena_bytes(network, scratch) if scratch and network.edges else activations
    return Footprint(
        activations, max(0, whole - activations), 0, 0, len(layers) * _BOOKKEEPING_BYTES["builtin"]
    )


def _kernel(layer: Layer) -> tuple[int, ...]:
    """Shape of a layer's stored weights, or () where it has none of the kind."""
    if layer.op not in _PACKED or len(layer.inputs) < 2 or not layer.inputs[1].constant:
        return ()
    return layer.inputs[1].shape


def _is_pointwise(layer: Layer, weight: tuple[int, ...]) -> bool:
    strides = layer.params.get("stride_height", 1), layer.params.get("stride_width", 1)
    return weight[1] == weight[2] == 1 and strides == (1, 1)


def patch_bytes(layer: Layer) -> int:
    """Bytes in which the built-in kernels lay out a convolution's input; 0 where they read it in place."""
    weight = _kernel(layer)
    if layer.op != "conv_2d" or len(weight) != 4 or _is_pointwise(layer, weight):
        return 0
    first = layer.inputs[0]
    rows = prod(layer.outputs[0].shape[:-1])
    return rows * prod(weight[1:]) * (first.nbytes // max(1, first.size))


def packed_bytes(layer: Layer) -> int:
    """Bytes of XNNPACK's copy of a layer's weights: output channels in whole groups, each with its bias."""
    weight = _kernel(layer)
    if len(weight) < 2:
        return 0
    integers = layer.inputs[1].dtype in QUANTIZED
    element, extra = (1, 8) if integers else (4, 4)  # the bias, and in integers a scale
    if layer.op == "depthwise_conv_2d":
        return _rounded(weight[-1], _COLUMNS) * (prod(weight[:-1]) * element + extra)
    depth = _rounded(weight[-1], 4) if integers else weight[-1]
    columns = _INTEGER_COLUMNS if integers else _COLUMNS
    return _rounded(weight[0], columns) * (prod(weight[1:-1]) * depth * element + extra)


def table_bytes(layer: Layer) -> int:
    """Bytes of the addresses that XNNPACK prepares for a layer that slides a window."""
    if not layer.outputs or len(layer.outputs[0].shape) != 4:
        return 0
    _, height, width, _ = layer.outputs[0].shape
    weight = _kernel(layer)
    if layer.op in ("conv_2d", "transpose_conv") and len(weight) == 4:
        taps = 0 if layer.op == "conv_2d" and _is_pointwise(layer, weight) else weight[1] * weight[2]
        return _POINTER_BYTES * taps * height * width
    if layer.op == "depthwise_conv_2d" and len(weight) == 4:
        taps_high, taps_wide = weight[1:3]
    elif layer.op in ("max_pool_2d", "average_pool_2d"):
        taps_high, taps_wide = _number(layer, "kernel_height"), _number(layer, "kernel_width")
    else:
        return 0
    # Neighbouring windows of a row share the addresses of the columns that they overlap in.
    stride = _number(layer, "stride_width")
    step = min(stride, taps_wide) if layer.params.get("dilation_width", 1) == 1 else taps_wide
    return _POINTER_BYTES * height * (taps_high * taps_wide + (width - 1) * step * taps_high)


def _number(layer: Layer, name: str) -> int:
    return int(str(layer.params.get(name, 1)))


def _rounded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
