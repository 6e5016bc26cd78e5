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
from timemodel.runtime.fusion import RENAMES
from timemodel.runtime.left import LeftRule, left_by_size
from timemodel.runtime.placement import handed_over, placed_outside

Kind = tuple[str, str]
"""Operator, as `kernel_of` names it, and number type."""


TABLES = frozenset({"tanh", "logistic", "hard_swish", "leaky_relu", "gelu", "exp"})
"""Activations that accelerators look up in a table, as a part of the layer before where nothing else reads that."""
_BY_TABLE = "tanh"
_PASS_ON = frozenset({"pad", "reshape", "expand_dims", "squeeze"})
_WINDOWS = ("conv_2d", "depthwise_conv_2d")
_HOLDS = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected", "add", "mul", "sub"})


def placed(
    network: Network,
    left: Collection[Kind],
    left_rules: Sequence[LeftRule] = (),
    fast_bytes: float | None = None,
) -> tuple[Layer, ...]:
    """The layers of `network` as they stand there.

    Where fast memory has only `fast_bytes`, each knows the bytes that it reads and writes outside of that. Marked are those that
    read what no layer of the same call of the accelerator made (it leaves the kinds `left`, floats, and what `left_rules` say to
    the CPU), and joins of what is read elsewhere too, which must be copied; a layer has the activation that is looked up after it.
    """
    readers = Counter(tensor for edge in network.edges for tensor in set(edge.inputs))
    readers.update(network.outputs)
    after = {
        edge.inputs[0]: layer
        for layer, edge in zip(network.layers, network.edges, strict=True)
        if edge.inputs
    }
    kinds = [kind_of(layer) for layer in network.layers]
    by_size = left_by_size(network.layers, kinds, left_rules)
    on_cpu = {i for i, layer in enumerate(network.layers) if i in by_size or _stays(layer, kinds[i], left)}
    outside = {*network.inputs, *handed_over(network, on_cpu)}
    outer = placed_outside(network, on_cpu, fast_bytes) if fast_bytes else set()
    found = []
    for i, (layer, edge) in enumerate(zip(network.layers, network.edges, strict=True)):
        if i in by_size:
            outside.update(edge.outputs)
            found.append(replace(layer, params={**layer.params, LEFT: by_size[i]}))
            continue
        if i in on_cpu:
            outside.update(edge.outputs)
            found.append(layer)
            continue
        params = dict(layer.params)
        if layer.op in _PASS_ON and outside.issuperset(edge.inputs[:1]):
            outside.update(edge.outputs)  # the layer after reads what this one would
        copied = layer.op == "concatenation" and any(readers[tensor] > 1 for tensor in edge.inputs)
        if copied or any(tensor in outside for tensor in edge.inputs):
            params[READS_INPUT] = True
        for side, tensors in (("in", edge.inputs), ("out", edge.outputs)):
            moved = [network.tensors[tensor] for tensor in tensors if tensor in outer]
            n_bytes = sum(tensor.nbytes for tensor in moved if not tensor.constant)
            if n_bytes:
                params[f"outside_{side}_bytes"] = n_bytes
        following = after.get(edge.outputs[0]) if edge.outputs and readers[edge.outputs[0]] == 1 else None
        bare = layer.op in _HOLDS and params.get("activation", "none") == "none"
        if bare and following is not None and following.op in TABLES:
            params["activation"] = _BY_TABLE
        found.append(layer if params == layer.params else replace(layer, params=params))
    return tuple(found)


def _stays(layer: Layer, kind: Kind, left: Collection[Kind]) -> bool:
    """Whether the CPU runs a layer whatever its sizes are."""
    return kind in left or any(tensor.dtype == "float32" for tensor in layer.activations)


def borders_through(network: Network) -> list[int]:
    """Positions of borders whose result only another form of it has, which a convolution without a border of its own reads."""
    readers: dict[int, list[int]] = {}
    for position, edge in enumerate(network.edges):
        for tensor in set(edge.inputs):
            readers.setdefault(tensor, []).append(position)
    found = []
    for position, layer in enumerate(network.layers):
        if layer.op != "pad":
            continue
        at, forms = position, -1
        while at == position or network.layers[at].op in RENAMES:
            result = network.edges[at].outputs[0]
            after = readers.get(result, [])
            if len(after) != 1 or result in network.outputs:
                break
            at, forms = after[0], forms + 1
        last = network.layers[at]
        if forms > 0 and last.op in _WINDOWS and last.params.get("padding") == "valid":
            found.append(position)
    return found


def marked(layers: Sequence[Layer]) -> list[bool]:
    """Which of `layers` read what comes from elsewhere."""
    return [READS_INPUT in layer.params for layer in layers]
