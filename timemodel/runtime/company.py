"""Layers as they stand in a network, for devices on which company decides what a layer costs.

What the caller gave, or the CPU made, lies elsewhere and in another layout than what an accelerator keeps between two of its own
layers. So a layer that reads such data is another kind than one that does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from profiler.network import Layer, Network
from timemodel.features import LEFT, READS_INPUT, kind_of
from timemodel.runtime.left import LeftRule, left_by_size

Kind = tuple[str, str]
"""Operator, as `kernel_of` names it, and number type."""


TABLES = frozenset({"tanh", "logistic", "hard_swish", "leaky_relu", "gelu", "exp"})
"""Activations that accelerators look up in a table, as a part of the layer before where nothing else reads that."""
_BY_TABLE = "tanh"
_PASS_ON = frozenset({"pad", "reshape", "expand_dims", "squeeze"})
_HOLDS = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected", "add", "mul", "sub"})


def placed(
    network: Network, left: Collection[Kind], left_rules: Sequence[LeftRule] = ()
) -> tuple[Layer, ...]:
    """The layers of `network` as they stand there.

    Each knows the bytes of other activations that are kept meanwhile. Marked are those that read what no layer of the
    accelerator made (it leaves the kinds `left`, floats, and what `left_rules` say to the CPU), and joins of what is read
    elsewhere too, which must be copied; a layer has the activation that is looked up after it.
    """
    outside = set(network.inputs)
    readers = Counter(tensor for edge in network.edges for tensor in set(edge.inputs))
    readers.update(network.outputs)
    after = {
        edge.inputs[0]: layer
        for layer, edge in zip(network.layers, network.edges, strict=True)
        if edge.inputs
    }
    beside = beside_bytes(network)
    kinds = [kind_of(layer) for layer in network.layers]
    by_size = left_by_size(network.layers, kinds, left_rules)
    found = []
    for i, (layer, edge, others) in enumerate(zip(network.layers, network.edges, beside, strict=True)):
        if i in by_size:
            outside.update(edge.outputs)
            found.append(replace(layer, params={**layer.params, LEFT: by_size[i]}))
            continue
        if kinds[i] in left or any(tensor.dtype == "float32" for tensor in layer.activations):
            outside.update(edge.outputs)
            found.append(layer)
            continue
        params = dict(layer.params)
        if layer.op in _PASS_ON and outside.issuperset(edge.inputs[:1]):
            outside.update(edge.outputs)  # the layer after reads what this one would
        copied = layer.op == "concatenation" and any(readers[tensor] > 1 for tensor in edge.inputs)
        if copied or any(tensor in outside for tensor in edge.inputs):
            params[READS_INPUT] = True
        if others:
            params["beside_bytes"] = others
        following = after.get(edge.outputs[0]) if edge.outputs and readers[edge.outputs[0]] == 1 else None
        plain = layer.op in _HOLDS and params.get("activation", "none") == "none"
        if plain and following is not None and following.op in TABLES:
            params["activation"] = _BY_TABLE
        found.append(layer if params == layer.params else replace(layer, params=params))
    return tuple(found)


def beside_bytes(network: Network) -> list[int]:
    """For each layer the bytes of activations that it neither reads nor writes and that a later one reads."""
    last: dict[int, int] = {}
    for position, edge in enumerate(network.edges):
        last.update((tensor, position) for tensor in edge.inputs)
    alive = {tensor: network.tensors[tensor].nbytes for tensor in network.inputs}
    found = []
    for position, edge in enumerate(network.edges):
        found.append(sum(size for tensor, size in alive.items() if tensor not in edge.inputs))
        alive |= {tensor: network.tensors[tensor].nbytes for tensor in edge.outputs}
        alive = {tensor: size for tensor, size in alive.items() if last.get(tensor, -1) > position}
    return found


def marked(layers: Sequence[Layer]) -> list[bool]:
    """Which of `layers` read what comes from elsewhere."""
    return [READS_INPUT in layer.params for layer in layers]
