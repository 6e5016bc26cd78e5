"""The layers of a Keras model and what flows between them, read from its configuration."""

from __future__ import annotations

from compressor.graph.topology.layers import (
    Call,
    Topology,
    Variables,
    configuration,
    kind_of,
    layers_of,
    read_topology,
    weight_names,
)
from compressor.graph.topology.tensor_keys import TensorKey

__all__ = [
    "Call",
    "TensorKey",
    "Topology",
    "Variables",
    "configuration",
    "kind_of",
    "layers_of",
    "read_topology",
    "weight_names",
]
