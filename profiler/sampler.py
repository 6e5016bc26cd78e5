"""Which layers to measure: sizes that real networks use, odd sizes between them, and sweeps across single steps.

The plan is a list in which every prefix is a fair sample of the whole: a profile that stops early has seen every operator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler import shapes
from profiler.blocks import draw_network
from profiler.draws import CATALOGUE, DTYPES, draw_layer, operators
from profiler.errors import UsageError
from profiler.layer import Layer
from profiler.pairs import plan_pairs
from profiler.probe import Probe

__all__ = ["DTYPES", "draw_layer", "operators", "plan_probes", "sweeps"]

NETWORKS = 40
"""Small whole networks per dtype, against which sums of layers are calibrated."""
HEAVY_NETWORKS = 14
"""Networks whose weights do not fit in the cache, likewise."""


def sweeps(dtype: str) -> dict[str, list[Layer]]:
    """Layers that differ in one size only, by operator: what shows the steps of the staircase one by one."""
    if dtype not in ("float32", "int8", "int16", "dynamic_int8"):
        return {}
    channels = [*range(1, 41), *range(44, 73, 4), 47, 63, 65, 71, 80, 81, 96, 97, 112, 128, 129]
    rows = {
        "conv_2d": [shapes.conv_2d(32, 32, 32, c, dtype=dtype) for c in channels]
        + [shapes.conv_2d(16, 16, c, 64, (1, 1), dtype=dtype) for c in channels[::2]],
        "fully_connected": [shapes.fully_connected(512, 4 * c, dtype=dtype) for c in channels[::2]],
    }
    if dtype != "dynamic_int8":
        rows["depthwise_conv_2d"] = [shapes.depthwise_conv_2d(32, 32, c, dtype=dtype) for c in channels]
    return rows


def _chains() -> list[Probe]:
    """Equal layers in a row whose weights take up to 100 MB together, and one alone to compare with.

    Convolutions and fully connected layers walk through their weights in different ways.
    """
    chains = []
    for layer, counts in (
        (shapes.conv_2d(7, 7, 256, 256, (1, 1)), (1, 8, 16, 32, 64, 128, 256)),
        (shapes.conv_2d(3, 3, 480, 480, (1, 1)), (1, 4, 8, 16, 32, 64)),
        (shapes.conv_2d(5, 5, 128, 192), (2, 4, 10, 20, 40, 80)),
        (shapes.fully_connected(512, 512), (1, 4, 8, 16, 32, 64, 96)),
        (shapes.fully_connected(960, 640), (2, 4, 6, 12, 24, 40)),
    ):
        # A chain ends on what it starts with, or its layers would not be equal.
        square = layer.outputs[0].shape == layer.activations[0].shape
        back = (
            layer
            if square
            else shapes.conv_2d(5, 5, 192, 128)
            if layer.op == "conv_2d"
            else shapes.fully_connected(640, 960)
        )
        chains += [Probe("chain", ((layer, back) * n)[:n] if not square else (layer,) * n) for n in counts]
    return chains


def plan_probes(
    dtypes: Sequence[str] = ("float32", "int8"),
    ops: Sequence[str] | None = None,
    seed: int = 0,
    scale: float = 1.0,
) -> list[Probe]:
    """The probes of a full profile, in an order in which every prefix is a fair sample.

    Parameters
    ----------
    dtypes
        Any of `DTYPES`; ``float32`` brings ``dynamic_int8`` along, since float networks with integer weights are common,
        and all bring ``int32``, what networks do with indices and masks.
    ops
        Only these operators; None means all.
    seed
        Draws other sizes of the same distribution.
    scale
        Multiplies the number of random probes of each operator.

    Raises
    ------
    UsageError
        An unknown dtype or operator.
    """
    names = list(dict.fromkeys(dtypes))
    for dtype in names:
        if dtype not in CATALOGUE:
            raise UsageError(f"Unknown dtype {dtype!r}: choose from {', '.join(DTYPES)}.")
    if not names:
        raise UsageError(f"No dtype to profile: choose from {', '.join(DTYPES)}.")
    if "float32" in names and "dynamic_int8" not in names:
        names.append("dynamic_int8")
    if "int32" not in names:
        names.append("int32")
    known = {op for dtype in names for op in CATALOGUE[dtype]}
    for op in ops or ():
        if op not in known:
            raise UsageError(f"No probe for operator {op!r}: choose from {', '.join(sorted(known))}.")
    placed: list[tuple[float, int, Probe]] = []
    for dtype in names:
        steps = sweeps(dtype)
        for number, (op, (count, _)) in enumerate(CATALOGUE[dtype].items()):
            if ops and op not in ops:
                continue
            rng = np.random.default_rng([seed, DTYPES.index(dtype), number])
            layers = [draw_layer(op, dtype, rng) for _ in range(max(1, round(count * scale)))]
            swept = steps.get(op, [])
            order = rng.permutation(len(swept))
            for rows in (layers, [swept[i] for i in order]):
                placed += [
                    ((i + 0.5) / len(rows), number, Probe("layer", (layer,))) for i, layer in enumerate(rows)
                ]
        if not ops and dtype in ("float32", "int8"):
            rng = np.random.default_rng([seed, DTYPES.index(dtype), 999])
            pairs = plan_pairs(dtype)
            networks = [draw_network(rng, dtype) for _ in range(NETWORKS)]
            networks += [draw_network(rng, dtype, heavy=True) for _ in range(HEAVY_NETWORKS)]
            networks = [networks[i] for i in rng.permutation(len(networks))]
            placed += [
                ((i + 0.5) / len(rows), 900, p) for rows in (pairs, networks) for i, p in enumerate(rows)
            ]
    if not ops and "float32" in names:
        chains = _chains()
        # Shuffled, so that a slow spell of the device does not look like an effect of the weights.
        order = np.random.default_rng([seed, 998]).permutation(len(chains))
        placed += [((i + 0.5) / len(chains), 901, chains[j]) for i, j in enumerate(order)]
    placed.sort(key=lambda row: row[:2])
    return list(dict.fromkeys(probe for _, _, probe in placed))
