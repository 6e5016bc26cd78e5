"""Layers as they stand in a network, for devices on which company decides what a layer costs.

What the caller gave, or the CPU made, lies elsewhere and in another layout than what an accelerator keeps between two of its own
layers. So a layer that reads such data is another kind than one that does not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from profiler.network import Layer, Network
from timemodel.features import READS_INPUT, kind_of

Kind = tuple[str, str]
"""Operator, as `kernel_of` names it, and number type."""


def placed(network: Network, left: Collection[Kind]) -> tuple[Layer, ...]:
    """The layers of `network`, those marked that read what no layer of the accelerator made; it leaves the kinds `left` to the CPU."""
    outside = set(network.inputs)
    found = []
    for layer, edge in zip(network.layers, network.edges, strict=True):
        if kind_of(layer) in left:
            outside.update(edge.outputs)
            found.append(layer)
            continue
        reads = any(tensor in outside for tensor in edge.inputs)
        found.append(replace(layer, params={**layer.params, READS_INPUT: True}) if reads else layer)
    return tuple(found)
