"""`Probe`: a tiny network that is measured to learn what its layers cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from profiler.network import Edge, Layer, Network, Tensor
from profiler.probes.builder import lay_out
from profiler.tflite import ModelPlan, encode
from profiler.values import parse_json

_MOST_TIMES = 10_000

KINDS = ("empty", "layer", "pair", "chain", "network", "company", "start")


@dataclass(frozen=True)
class Probe:
    """One or a few layers, wired up, that the builder turns into a `.tflite` file.

    Parameters
    ----------
    kind
        ``layer``: one operator. ``pair``: operators in a row, to see what the runtime fuses. ``chain``: many equal layers, to
        see what weights cost that do not fit in the cache. ``network``: a small whole network, to check sums of layers against.
        ``company``: layers
        between others, as they stand in networks. ``empty``: next to nothing, to see what a call costs.
    layers
        In execution order.
    wiring
        For each layer the sources of its `activations`: ``j >= 0`` is the first output of layer ``j``, ``-1 - i`` is input ``i``
        of the network. Empty means: the first layer reads inputs of its own, every later one reads the layer before it.
    """

    kind: str
    layers: tuple[Layer, ...]
    wiring: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """`wiring` with the default filled in."""
        if self.wiring:
            return self.wiring
        rows: list[tuple[int, ...]] = []
        inputs = 0
        for position, layer in enumerate(self.layers):
            row: list[int] = []
            for slot in range(len(layer.activations)):
                if position and slot == 0:
                    row.append(position - 1)
                else:
                    inputs += 1
                    row.append(-inputs)
            rows.append(tuple(row))
        return tuple(rows)

    @cached_property
    def network(self) -> Network:
        """The probe as a network, the way its file would be read."""
        tensors: list[Tensor] = []
        inputs: dict[int, int] = {}
        results: list[int] = []
        edges = []
        for layer, sources in zip(self.layers, self.sources, strict=True):
            operands = []
            remaining = iter(sources)
            for tensor in layer.inputs:
                source = None if tensor.constant else next(remaining)
                if source is not None and source >= 0:
                    operands.append(results[source])
                elif source is not None and source in inputs:
                    operands.append(inputs[source])
                else:
                    tensors.append(tensor)
                    operands.append(len(tensors) - 1)
                    if source is not None:
                        inputs[source] = len(tensors) - 1
            made = tuple(range(len(tensors), len(tensors) + len(layer.outputs)))
            tensors += layer.outputs
            results.append(made[0])
            edges.append(Edge(tuple(operands), made))
        used = {i for edge in edges for i in edge.inputs}
        outputs = tuple(i for edge in edges for i in edge.outputs if i not in used)
        # Equal layers are one object here, but in a network each has a number of its own.
        layers = tuple(
            layer if layer.index == i else replace(layer, index=i) for i, layer in enumerate(self.layers)
        )
        taken = tuple(inputs[source] for source in sorted(inputs, reverse=True))
        return Network(self.kind, layers, tuple(edges), tuple(tensors), taken, outputs)

    @cached_property
    def dtype(self) -> str:
        """The arithmetic of the probe's heaviest layer, by multiply-accumulates then by bytes."""
        return max(self.layers, key=lambda layer: (layer.macs, layer.output_bytes)).dtype

    @cached_property
    def key(self) -> str:
        """One line of JSON that says what is measured: the same for equal probes, on every machine."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` reads it back."""
        layers = [layer.to_dict() for layer in self.layers]
        value: dict[str, Any] = {"kind": self.kind, "layers": layers}
        if len(layers) > 1 and all(layer == layers[0] for layer in layers):
            value = {"kind": self.kind, "layers": layers[:1], "times": len(layers)}
        if self.wiring:
            value["wiring"] = [list(row) for row in self.wiring]
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Probe:
        """Read what `to_dict` wrote."""
        layers = tuple(Layer.from_dict(layer, index=i) for i, layer in enumerate(value["layers"]))
        times = int(value.get("times", 1))
        if not 1 <= times <= _MOST_TIMES:
            raise ValueError(f"its layer stands in it {times} times")
        layers = layers * times
        return cls(value["kind"], layers, tuple(tuple(row) for row in value.get("wiring", ())))

    @classmethod
    def from_key(cls, key: str) -> Probe:
        """Read what `key` says."""
        return cls.from_dict(parse_json(key))

    def lay_out(self, seed: int = 0) -> ModelPlan:
        """Tensors and operators of the probe's file, with random weights drawn from `seed`."""
        return lay_out(self.network, seed)

    def build(self, seed: int = 0) -> bytes:
        """The probe as the bytes of a `.tflite` file, with random weights drawn from `seed`.

        Raises
        ------
        UsageError
            An operator that edgetime cannot write.
        """
        return encode(self.lay_out(seed))
