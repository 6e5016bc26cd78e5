"""Files of one network as another converter, or a mixed recipe, would have written them; weights are random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from profiler.network import Edge, Layer, Network, Tensor
from profiler.operators import pad, unary
from profiler.probes.builder import lay_out
from profiler.tflite import encode

_CLAMPS = ("relu", "relu6")
_CONVOLUTIONS = ("conv_2d", "depthwise_conv_2d")
Expand = Callable[[Layer], list[Layer]]


def rewritten(network: Network, expand: Expand) -> bytes:
    """A file in which each layer is the row of layers that `expand` makes of it; the row's ends have the layer's shapes."""
    tensors: list[Tensor] = []
    place: dict[int, int] = {}
    layers: list[Layer] = []
    edges: list[Edge] = []

    def new(tensor: Tensor) -> int:
        tensors.append(tensor)
        return len(tensors) - 1

    for layer, edge in zip(network.layers, network.edges, strict=True):
        row = expand(layer)
        result = -1
        for number, part in enumerate(row):
            operands = []
            data = iter(
                [
                    index
                    for index, tensor in zip(edge.inputs, layer.inputs, strict=True)
                    if not tensor.constant
                ]
            )
            chained = number > 0
            for tensor in part.inputs:
                if tensor.constant:
                    operands.append(new(tensor))
                elif chained:
                    operands.append(result)
                    chained = False
                else:
                    index = next(data)
                    operands.append(place[index] if index in place else place.setdefault(index, new(tensor)))
            outputs = tuple(new(tensor) for tensor in part.outputs)
            if number == len(row) - 1:
                place.update(zip(edge.outputs, outputs, strict=True))
            result = outputs[0]
            layers.append(replace(part, index=len(layers)))
            edges.append(Edge(tuple(operands), outputs))
    inputs = tuple(place[index] for index in network.inputs)
    outputs = tuple(place[index] for index in network.outputs)
    return encode(
        lay_out(Network(network.name, tuple(layers), tuple(edges), tuple(tensors), inputs, outputs))
    )


def unfused(layer: Layer) -> list[Layer]:
    """As a converter that fuses nothing: activations stand alone, and what a strided convolution adds around the image is a PAD."""
    activation = str(layer.params.get("activation", "none"))
    row = [layer]
    if activation in _CLAMPS and layer.dtype in ("float32", "int8"):
        shape = layer.outputs[0].shape
        alone = unary(activation, shape, layer.dtype)
        row = [replace(layer, params={**layer.params, "activation": "none"}), alone]
    strided = layer.params.get("stride_height") == layer.params.get("stride_width") == 2
    if (
        layer.op in _CONVOLUTIONS
        and strided
        and layer.params.get("padding") == "same"
        and layer.dtype == "float32"
    ):
        row = _padded(row[0]) + row[1:]
    return row


def _padded(layer: Layer) -> list[Layer]:
    shape, out = layer.inputs[0].shape, layer.outputs[0].shape
    around = [(0, 0)]
    for axis, name in ((1, "height"), (2, "width")):
        stride, kernel = int(str(layer.params[f"stride_{name}"])), int(str(layer.params[f"kernel_{name}"]))
        more = max((out[axis] - 1) * stride + kernel - shape[axis], 0)
        around.append((more // 2, more - more // 2))
    around.append((0, 0))
    if not any(before or after for before, after in around):
        return [layer]
    first = pad(shape, around)
    inputs = (first.outputs[0], *layer.inputs[1:])
    return [first, replace(layer, inputs=inputs, params={**layer.params, "padding": "valid"})]


def float_activations(layer: Layer) -> list[Layer]:
    """As a mixed recipe: an int8 network whose hard-swishes stay float32."""
    if layer.op != "hard_swish" or layer.dtype != "int8":
        return [layer]
    shape = layer.outputs[0].shape
    return [
        unary("dequantize", shape, "int8", "float32"),
        unary("hard_swish", shape),
        unary("quantize", shape, "float32", "int8"),
    ]


def as_it_is(layer: Layer) -> list[Layer]:
    """The same layer: a file with the same random weights as the rewritten one."""
    return [layer]
