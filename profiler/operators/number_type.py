"""A layer, or a network, in another number type: what it would be if it were quantised, or were not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from profiler.network import Layer, Network, Param, Shape, Tensor
from profiler.operators.registry import FORM, UNPACKED, operator

NUMBER_TYPES = ("float32", "dynamic_int8", "int8", "int16")
_BRIDGES = frozenset({"quantize", "dequantize"})
"""What stands between number types and has nothing to do where there is one only."""


def weight_dtype(dtype: str) -> str:
    """Type in which weights are stored where the arithmetic is `dtype`."""
    return {"float32": "float32", "dynamic_int8": "int8", "int8": "int8", "int16": "int8", "uint8": "uint8"}[
        dtype
    ]


def data_dtype(dtype: str) -> str:
    """Type of activations where the arithmetic is `dtype`."""
    return "float32" if dtype == "dynamic_int8" else dtype


def bias_dtype(dtype: str) -> str:
    """Type of the bias where the arithmetic is `dtype`."""
    return {
        "float32": "float32",
        "dynamic_int8": "float32",
        "int8": "int32",
        "int16": "int64",
        "uint8": "int32",
    }[dtype]


def weighted_layer(
    op: str,
    data: Shape,
    weights: Shape,
    out: Shape,
    params: Mapping[str, Param],
    dtype: str,
    bias: bool = True,
) -> Layer:
    """A layer that multiplies data by stored weights, with a bias per output channel."""
    operands = [Tensor(data, data_dtype(dtype)), Tensor(weights, weight_dtype(dtype), True)]
    if bias:
        operands.append(Tensor(out[-1:], bias_dtype(dtype), True))
    return Layer(op, tuple(operands), (Tensor(out, data_dtype(dtype)),), params)


def with_four_bits(layer: Layer) -> Layer:
    """`layer` with its weights, operand 1, as integers of four bits."""
    data, weights, *rest = layer.inputs
    return replace(layer, inputs=(data, replace(weights, dtype="int4"), *rest))


def with_dtype(layer: Layer, dtype: str) -> Layer | None:
    """`layer` in the arithmetic `dtype`; None where it has none of its own (indices) or is a bridge between types.

    Data becomes `dtype` (float32 for ``dynamic_int8``), weights what that arithmetic stores, and a bias what it adds.
    """
    if layer.op in _BRIDGES:
        return None
    if layer.dtype not in NUMBER_TYPES or layer.dtype == dtype:
        return layer
    known, data = operator(layer.op), data_dtype(layer.dtype)
    matrices = max((len(t.shape) for t in layer.inputs if t.constant), default=0)

    def changed(tensor: Tensor) -> Tensor:
        if known.weighted and tensor.constant and tensor.dtype in _STORED:
            bias = len(tensor.shape) == 1 and matrices > 1
            return Tensor(tensor.shape, bias_dtype(dtype) if bias else weight_dtype(dtype), True)
        if tensor.dtype == data:
            return Tensor(tensor.shape, data_dtype(dtype), tensor.constant)
        return tensor

    if dtype == "dynamic_int8" and not known.weighted:
        return with_dtype(layer, "float32")
    inputs, outputs = tuple(map(changed, layer.inputs)), tuple(map(changed, layer.outputs))
    if known.weighted:
        # Operands that follow from shapes are no weights.
        inputs = tuple(layer.inputs[i] if i in known.file.computed else t for i, t in enumerate(inputs))
    params = {name: value for name, value in layer.params.items() if name not in (UNPACKED, FORM)}
    return Layer(layer.op, inputs, outputs, params, layer.name, layer.index, layer.repeat)


_STORED = frozenset({"float32", "float16", "int8", "uint8", "int4", "int32", "int64"})


def network_with_dtype(network: Network, dtype: str) -> Network:
    """`network` with all layers in `dtype`; what only changes number types is left out."""
    kept = [(i, changed) for i, layer in enumerate(network.layers) if (changed := with_dtype(layer, dtype))]
    edges = tuple(network.edges[i] for i, _ in kept) if network.edges else ()
    tensors = list(network.tensors)
    for (_, layer), edge in zip(kept, edges, strict=False):
        for index, tensor in zip(edge.outputs, layer.outputs, strict=False):
            tensors[index] = tensor
        # A layer's operands are its edge's, in order; where they are not (copies) the old tensors stay.
        if len(edge.inputs) == len(layer.inputs):
            for index, tensor in zip(edge.inputs, layer.inputs, strict=True):
                tensors[index] = tensor
    return replace(network, layers=tuple(layer for _, layer in kept), edges=edges, tensors=tuple(tensors))
