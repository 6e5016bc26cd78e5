"""Layers between two others, as they stand in networks, for devices that say what each layer of a network took.

Alone, a layer reads what the caller gave and writes what the caller gets, from where that lies and in its layout; accelerators
keep what flows between two of their own layers elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import Rng, catalogue, draw_layer
from profiler.probes.blocks import draw_network
from profiler.probes.plan import large, sweeps
from profiler.probes.probe import Probe

NETWORKS = 160
"""Small whole networks: what neighbours share shows in these."""
_FEW = 8
"""Channels that the neighbours of a layer have at its far sides: they are to be compiled quickly."""
_MOST_WEIGHTS = 1 << 20
"""Larger layers take the compiler seconds; some of these are measured, see `large`."""
_SHARE = {"conv_2d": 1.0, "depthwise_conv_2d": 0.6, "fully_connected": 0.6}
_OTHERS = 0.4
"""Share of the layers that a full profile of a processor holds."""


def in_company(layer: Layer) -> Probe:
    """`layer` between convolutions (or products with a matrix) that make its inputs and read its result.

    A layer whose neighbours cannot be made, such as one of a batch, stays alone.
    """
    befores = [_made(tensor) for tensor in layer.activations]
    after = _read(layer.outputs[0]) if len(layer.outputs) == 1 else None
    if after is None or not befores or None in befores:
        return Probe("layer", (layer,))
    made = [before for before in befores if before is not None]
    wiring = [(-1 - i,) for i in range(len(made))] + [tuple(range(len(made))), (len(made),)]
    return Probe("company", (*made, layer, after), tuple(wiring))


def _made(tensor: Tensor) -> Layer | None:
    """A cheap layer that makes `tensor`."""
    if tensor.dtype != "int8" or tensor.shape[:1] != (1,):
        return None
    if len(tensor.shape) == 4:
        _, height, width, channels = tensor.shape
        return operators.conv_2d(height, width, _FEW, channels, (1, 1), dtype="int8")
    return operators.fully_connected(_FEW, tensor.shape[1], dtype="int8") if len(tensor.shape) == 2 else None


def _read(tensor: Tensor) -> Layer | None:
    """A cheap layer that reads `tensor`."""
    if tensor.dtype != "int8" or tensor.shape[:1] != (1,):
        return None
    if len(tensor.shape) == 4:
        _, height, width, channels = tensor.shape
        return operators.conv_2d(height, width, channels, _FEW, (1, 1), dtype="int8")
    return operators.fully_connected(tensor.shape[1], _FEW, dtype="int8") if len(tensor.shape) == 2 else None


def plan_company(dtypes: Sequence[str], ops: Sequence[str] | None = None, seed: int = 0) -> list[Probe]:
    """Layers in company and whole networks, in an order in which every prefix is a fair sample.

    Parameters
    ----------
    dtypes, ops, seed
        As for `profiler.probes.plan_probes`; networks only where `ops` does not choose among operators.
    """
    placed: list[tuple[float, int, Probe]] = []

    def place(probes: Sequence[Probe], stream: int) -> None:
        placed.extend(((i + 0.5) / len(probes), stream, probe) for i, probe in enumerate(probes))

    for dtype in dtypes:
        steps = sweeps(dtype)
        for op, draws in catalogue(dtype).items():
            if ops and op not in ops:
                continue
            rng = np.random.default_rng([seed, 77, draws.stream])
            layers = _drawn(op, dtype, round(draws.count * _SHARE.get(op, _OTHERS)), rng)
            place([in_company(layer) for layer in layers], draws.stream)
            # What starts a network reads what the caller gave.
            place([Probe("layer", (layer,)) for layer in layers[: len(layers) // 5]], draws.stream)
            swept = steps.get(op, [])
            place([in_company(swept[i]) for i in rng.permutation(len(swept))], draws.stream)
        if not ops:
            rng = np.random.default_rng([seed, 777])
            place([draw_network(rng, dtype, heavy=i % 8 == 7) for i in range(NETWORKS)], 900)
            place([in_company(layer) for layer in large(dtype, rng) if layer.op in catalogue(dtype)], 902)
    placed.sort(key=lambda row: row[:2])
    return list(dict.fromkeys(probe for _, _, probe in placed))


def _drawn(op: str, dtype: str, count: int, rng: Rng) -> list[Layer]:
    """About `count` layers that the compiler is quick with."""
    layers = (draw_layer(op, dtype, rng) for _ in range(max(1, count)))
    return [layer for layer in layers if layer.parameters <= _MOST_WEIGHTS]
