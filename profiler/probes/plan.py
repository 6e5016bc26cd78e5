"""Which layers to measure: sizes that real networks use, odd sizes between them, and sweeps across single steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from profiler import operators
from profiler.errors import UsageError
from profiler.network import Layer
from profiler.operators import DTYPES, Rng, catalogue, draw_layer
from profiler.probes.blocks import draw_network
from profiler.probes.context import (
    chains,
    fans,
    heavy,
    parts,
    reshapes,
    rows_of_nothing,
    rows_of_unlike,
    short_rows,
    slow,
)
from profiler.probes.pairs import plan_pairs
from profiler.probes.probe import Probe

NETWORKS = 40
"""Small whole networks per dtype, against which sums of layers are calibrated."""
HEAVY_NETWORKS = 14
"""Networks whose weights do not fit in the cache, likewise."""


ALONGSIDE = ("int16", "uint8")
"""Number types of which a profile of int8 holds a few small probes, so that a network of them is no guess."""
FEW_ALONGSIDE = {"conv_2d": 17, "depthwise_conv_2d": 11, "fully_connected": 13, "average_pool_2d": 8}
"""So many of these operators, and `FEWER` of the others."""
FEWER = 6
_MOST_MACS_ALONGSIDE, _MOST_BYTES_ALONGSIDE = 4_000_000, 1_000_000


def alongside(dtype: str, seed: int) -> Iterator[tuple[int, list[Layer]]]:
    """A few layers of each operator in `dtype`, with its stream."""
    for op, draws in catalogue(dtype).items():
        rng = np.random.default_rng([seed, DTYPES.index(dtype), draws.stream])
        wanted = FEW_ALONGSIDE.get(op, FEWER)
        drawn = (draw_layer(op, dtype, rng) for _ in range(8 * wanted))
        small = sorted((layer for layer in drawn if _is_small(layer)), key=_work)
        # Of few the largest and the smallest are not left to chance.
        at = np.linspace(0, len(small) - 1, min(wanted, len(small))).round().astype(int)
        yield draws.stream, [small[i] for i in rng.permutation(at)]


def _is_small(layer: Layer) -> bool:
    return (
        layer.macs <= _MOST_MACS_ALONGSIDE and layer.input_bytes + layer.output_bytes <= _MOST_BYTES_ALONGSIDE
    )


def _work(layer: Layer) -> int:
    return layer.macs + layer.input_bytes + layer.output_bytes


def sweeps(dtype: str) -> dict[str, list[Layer]]:
    """Layers that differ in one size only, by operator: what shows the steps of the staircase one by one."""
    if dtype not in ("float32", "int8", "int16", "dynamic_int8"):
        return {}
    channels = [*range(1, 41), *range(44, 73, 4), 47, 63, 65, 71, 80, 81, 96, 97, 112, 128, 129]
    rows = {
        "conv_2d": [operators.conv_2d(32, 32, 32, c, dtype=dtype) for c in channels]
        + [operators.conv_2d(16, 16, c, 64, (1, 1), dtype=dtype) for c in channels[::2]],
        "fully_connected": [operators.fully_connected(512, 4 * c, dtype=dtype) for c in channels[::2]],
    }
    if dtype != "dynamic_int8":
        rows["depthwise_conv_2d"] = [operators.depthwise_conv_2d(32, 32, c, dtype=dtype) for c in channels]
    return rows


def pictures(dtype: str) -> list[Layer]:
    """What networks do to the pictures that they are given: operators with a constant, in three channels."""
    return [
        operators.binary(op, (1, side, side, 3), other, dtype=dtype, constant=True)
        for op in ("add", "mul", "sub")
        for side in (48, 80, 96, 128, 160, 192, 224, 256)
        for other in ((), (3,), (1, 1, 1, 3))
    ]


def whole_pictures(dtype: str) -> list[Layer]:
    """What is done to pictures of a camera and to answers of their size: as much data as no inner layer has."""
    picture, crop = (1, 540, 960, 3), ((0, 0), (8, 8), (8, 8), (0, 0))
    return [
        operators.blocks("depth_to_space", 360, 640, 12, 2, dtype),
        operators.blocks("depth_to_space", 300, 540, 27, 3, dtype),
        operators.blocks("space_to_depth", 720, 1280, 3, 2, dtype),
        *(
            operators.resize(f"resize_{how}", 270, 480, 3, 540, 960, dtype)
            for how in ("bilinear", "nearest_neighbor")
        ),
        operators.transpose(picture, (0, 3, 1, 2), dtype),
        operators.transpose((1, 3, 540, 960), (0, 2, 3, 1), dtype),
        operators.tile((1, 270, 480, 3), (1, 2, 2, 1), dtype),
        operators.pad(picture, crop, dtype),
        operators.pad(picture, crop, dtype, "mirror_pad"),
        operators.reverse(picture, 2, dtype),
        operators.binary("maximum", picture, (), dtype=dtype, constant=True),
        operators.arg_max((1, 270, 360, 21), dtype),
        operators.concatenation([picture, picture], 3, dtype),
    ]


def large(dtype: str, rng: Rng) -> list[Layer]:
    """Layers of sizes that only large networks have, for predictions that would lie far outside the draws' bounds."""
    layers = []
    maps = ((224, 64, 64), (224, 3, 64), (150, 32, 64), (112, 128, 128), (56, 256, 256), (28, 512, 512))
    for side, inside, outside in maps:
        side += int(rng.integers(-2, 3))
        layers.append(operators.conv_2d(side, side, inside, outside, activation="relu", dtype=dtype))
    maps = ((147, 128, 128), (112, 96, 192), (74, 256, 256), (160, 16, 96), (10, 1536, 2048), (37, 728, 728))
    for side, inside, outside in maps:
        side += int(rng.integers(-2, 3))
        layers.append(operators.conv_2d(side, side, inside, outside, (1, 1), dtype=dtype))
    for side, channels in ((147, 128), (112, 192), (74, 728), (224, 32), (150, 64)):
        side += int(rng.integers(-2, 3))
        if dtype != "dynamic_int8":
            layers.append(operators.depthwise_conv_2d(side, side, channels, dtype=dtype))
    for inside, outside in ((4096, 4096), (8192, 2048), (9216, 4096), (2048, 6000)):
        layers.append(operators.fully_connected(inside + int(rng.integers(-9, 10)), outside, dtype=dtype))
    if dtype in ("float32", "int8"):
        for side, channels in ((112, 256), (147, 128), (224, 64), (80, 512)):
            shape = (1, side, side, channels)
            layers += [operators.binary(op, shape, shape, dtype=dtype) for op in ("add", "mul")]
            layers.append(
                operators.pool_2d("max_pool_2d", side, side, channels, (2, 2), (2, 2), "valid", dtype)
            )
            layers.append(operators.unary("relu", shape, dtype))
            layers.append(operators.concatenation([(1, side, side, channels // 2)] * 2, 3, dtype))
            layers.append(operators.pad(shape, ((0, 0), (1, 1), (1, 1), (0, 0)), dtype))
    return layers


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
        and all bring ``int32``, what networks do with indices and masks, and ``int8`` a few of ``int16`` and ``uint8``.
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
        if dtype not in DTYPES:
            raise UsageError(f"Unknown dtype {dtype!r}: choose from {', '.join(DTYPES)}.")
    if not names:
        raise UsageError(f"No dtype to profile: choose from {', '.join(DTYPES)}.")
    if "float32" in names and "dynamic_int8" not in names:
        names.append("dynamic_int8")
    if "int32" not in names:
        names.append("int32")
    known = {op for dtype in names for op in catalogue(dtype)}
    for op in ops or ():
        if op not in known:
            raise UsageError(f"No probe for operator {op!r}: choose from {', '.join(sorted(known))}.")
    placed: list[tuple[float, int, Probe]] = []

    def place(probes: Sequence[Probe], stream: int) -> None:
        placed.extend(((i + 0.5) / len(probes), stream, probe) for i, probe in enumerate(probes))

    for dtype in names:
        seeds = [seed, DTYPES.index(dtype)]
        whole = not ops and dtype in ("float32", "int8")
        probed, steps = catalogue(dtype), sweeps(dtype)
        for op, draws in probed.items():
            if ops and op not in ops:
                continue
            rng = np.random.default_rng([*seeds, draws.stream])
            layers = [draw_layer(op, dtype, rng) for _ in range(max(1, round(draws.count * scale)))]
            swept = steps.get(op, [])
            order = rng.permutation(len(swept))
            place(_alone(layers), draws.stream)
            place(_alone(swept[i] for i in order), draws.stream)
        if whole:
            rng = np.random.default_rng([*seeds, 999])
            networks = [draw_network(rng, dtype) for _ in range(NETWORKS)]
            networks += [draw_network(rng, dtype, heavy=True) for _ in range(HEAVY_NETWORKS)]
            networks = [networks[i] for i in rng.permutation(len(networks))]
            for probes in (plan_pairs(dtype), networks, parts(networks)):
                place(probes, 900)
        if not ops and dtype in ("float32", "int8", "dynamic_int8"):
            big = large(dtype, np.random.default_rng([*seeds, 997]))
            big += [*whole_pictures(dtype), *pictures(dtype)] if whole else []
            place(_alone(layer for layer in big if layer.op in probed), 902)
    if not ops and "float32" in names:
        together = [*rows_of_nothing(), *chains(), *heavy(), *fans(), *slow()]
        for dtype in names:
            if dtype in ("float32", "int8"):
                together += [*rows_of_unlike(dtype), *reshapes(dtype), *short_rows(dtype)]
        together = [probe for probe in together if probe.dtype in names]
        together += parts(together)
        # Shuffled, so that a slow spell of the device does not look like an effect of the weights.
        order = np.random.default_rng([seed, 998]).permutation(len(together))
        place([together[i] for i in order], 901)
    for dtype in ALONGSIDE if "int8" in names and not ops else ():
        if dtype not in names:
            for stream, layers in alongside(dtype, seed):
                place(_alone(layers), stream)
    placed.sort(key=lambda row: row[:2])
    return list(dict.fromkeys(probe for _, _, probe in placed))


def _alone(layers: Iterable[Layer]) -> list[Probe]:
    return [Probe("layer", (layer,)) for layer in layers]
