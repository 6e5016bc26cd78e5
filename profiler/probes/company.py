"""Layers between two others, as they stand in networks, for devices that say what each layer of a network took.

Alone, a layer reads what the caller gave and writes what the caller gets, from where that lies and in its layout; accelerators
keep what flows between two of their own layers elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from profiler import operators
from profiler.network import Layer, Shape, Tensor
from profiler.operators import Rng, catalogue, draw_layer
from profiler.probes.blocks import draw_network
from profiler.probes.plan import large, sweeps
from profiler.probes.probe import Probe

NETWORKS, WIDE_NETWORKS = 160, 60
"""Small whole networks, and some with larger maps and more channels: what neighbours share shows in these."""
_FEW = 8
"""Channels that the neighbours of a layer have at its far sides: they are to be compiled quickly."""
_MOST_WEIGHTS = 1 << 19
"""Larger layers take the compiler seconds; some of these are measured, see `large`."""
_SHARE = {"conv_2d": 1.0, "depthwise_conv_2d": 0.6, "fully_connected": 0.6, "add": 1.0, "mul": 1.2, "softmax": 1.0,
    "concatenation": 0.3, "quantize": 0.1, "dequantize": 0.1, "greater": 0.2, "select_v2": 0.2, "gather": 0.2}  # fmt: skip
_OTHERS = 0.5
"""Share of the layers that a full profile of a processor holds."""
_TABLES = ("hard_swish", "logistic", "tanh")
"""Activations that are looked up in tables."""


def in_company(layer: Layer, *more: Layer) -> Probe:
    """`layer` (and `more`, in a row) between convolutions (or products with a matrix) that make its inputs and read the result.

    A layer whose neighbours cannot be made, such as one of a batch, stays alone.
    """
    row = (layer, *more)
    befores = [_made(tensor) for tensor in layer.activations]
    after = _read(row[-1].outputs[0]) if len(row[-1].outputs) == 1 else None
    if after is None or not befores or None in befores:
        return Probe("layer", (layer,))
    made = [before for before in befores if before is not None]
    count = len(made)
    wiring = [(-1 - i,) for i in range(count)] + [tuple(range(count))]
    wiring += [(count + i,) for i in range(len(row))]
    return Probe("company", (*made, *row, after), tuple(wiring))


def starting(layer: Layer) -> Probe:
    """`layer` as the first of a network: it reads what the caller gave, and a convolution (or product) reads its result."""
    after = _read(layer.outputs[0]) if len(layer.outputs) == 1 else None
    if after is None:
        return Probe("layer", (layer,))
    sources = tuple(-1 - i for i in range(len(layer.activations)))
    return Probe("start", (layer, after), (sources, (0,)))


def _made(tensor: Tensor) -> Layer | None:
    """A cheap layer that makes `tensor`."""
    shape = tensor.shape
    if tensor.dtype != "int8" or len(shape) < 2 or (len(shape) != 2 and shape[0] != 1):
        return None
    if len(shape) == 4:
        return operators.conv_2d(shape[1], shape[2], _FEW, shape[3], (1, 1), dtype="int8")
    return _product((*shape[:-1], _FEW), shape, keep=True)


def _read(tensor: Tensor) -> Layer | None:
    """A cheap layer that reads `tensor`."""
    shape = tensor.shape
    if tensor.dtype != "int8" or len(shape) < 2 or (len(shape) != 2 and shape[0] != 1):
        return None
    if len(shape) == 4:
        return operators.conv_2d(shape[1], shape[2], shape[3], _FEW, (1, 1), dtype="int8")
    return _product(shape, (*shape[:-1], _FEW), keep=True)


def _product(shape: Shape, out: Shape, keep: bool) -> Layer:
    """A fully connected layer over the last axis of `shape`."""
    layer = operators.fully_connected(shape[-1], out[-1], dtype="int8")
    params = {**layer.params, "keep_num_dims": keep} if len(shape) > 2 else layer.params
    inputs = (Tensor(shape, "int8"), *layer.inputs[1:])
    return replace(layer, inputs=inputs, outputs=(Tensor(out, "int8"),), params=params)


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
            place([starting(layer) for layer in layers[: len(layers) // 5]], draws.stream)
            swept = steps.get(op, [])
            place([in_company(swept[i]) for i in rng.permutation(len(swept))], draws.stream)
        if not ops:
            rng = np.random.default_rng([seed, 777])
            place([draw_network(rng, dtype) for _ in range(NETWORKS)], 900)
            begins = stems(dtype, rng)
            place([starting(layer) for layer in begins], 901)
            # Some networks scale their input first.
            place([in_company(layer) for layer in begins[::3]], 906)
            place([in_company(*row) for row in neighbours(dtype, rng)], 903)
            place([in_company(layer) for layer in maps_of_rows(dtype, rng)], 904)
            big = [
                layer
                for layer in large(dtype, rng)
                if layer.op in catalogue(dtype) and layer.parameters <= _MOST_WEIGHTS
            ]
            place([in_company(layer) for layer in big], 902)
            rng = np.random.default_rng([seed, 778])
            place([draw_network(rng, dtype, wide=True) for _ in range(WIDE_NETWORKS)], 905)
            place([starting(layer) for layer in scalings(dtype, rng)], 907)
            place([in_company(layer) for layer in rows_of_products(dtype, rng)], 908)
            place(shared_joins(dtype, rng), 909)
            place([in_company(layer) for layer in classifiers(dtype, rng)], 910)
            place(crowded(dtype, rng), 911)
            patches = [
                layer for layer in begins if layer.params["stride_height"] == layer.params["kernel_height"]
            ]
            place([in_company(layer) for layer in patches], 912)
    placed.sort(key=lambda row: row[:2])
    return list(dict.fromkeys(probe for _, _, probe in placed))


def stems(dtype: str, rng: Rng, count: int = 90) -> list[Layer]:
    """What networks begin with: convolutions of pictures and sounds, and of patches of them."""
    layers = []
    for _ in range(count):
        side, inside = int(rng.integers(24, 300)), int(rng.choice([1, 3, 3, 3]))
        outside = int(rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 192]))
        kernel, stride = int(rng.choice([3, 3, 3, 5, 7])), int(rng.choice([1, 2, 2]))
        if rng.random() < 0.25:
            kernel = stride = int(rng.choice([4, 8, 12, 14, 16]))
        padding = str(rng.choice(["same", "valid"]))
        if kernel == stride:
            padding = "valid"
        layers.append(
            operators.conv_2d(
                side, side, inside, outside, (kernel, kernel), (stride, stride), padding=padding, dtype=dtype
            )
        )
    return layers


def neighbours(dtype: str, rng: Rng, count: int = 120) -> list[tuple[Layer, ...]]:
    """Layers that may become one with the next: borders before windows, tables after them; and windows with holes."""
    rows: list[tuple[Layer, ...]] = []
    for number in range(count):
        side, inside = int(rng.choice([7, 10, 14, 20, 28, 40, 56])), 8 * int(rng.integers(1, 25))
        outside, kernel = 8 * int(rng.integers(1, 25)), int(rng.choice([1, 3, 3, 5]))
        wide = max(kernel, 3)
        deep = bool(number % 2) and kernel > 1
        make = partial(_window, deep, inside, outside, dtype)
        if number % 3 == 0:
            window = make(side, side, (kernel, kernel))
            table = operators.unary(str(rng.choice(_TABLES)), window.outputs[0].shape, dtype)
            rows.append((window, table))
        elif number % 3 == 1:
            edge, stride = wide // 2, int(rng.choice([1, 2]))
            paddings = ((0, 0), (edge, edge), (edge, edge), (0, 0))
            border = operators.pad((1, side, side, inside), paddings, dtype)
            padded = side + 2 * edge
            rows.append((border, make(padded, padded, (wide, wide), (stride, stride), padding="valid")))
        else:
            rate = int(rng.choice([2, 3, 4, 6, 8]))
            if rng.random() < 0.4 and not deep:
                long = int(rng.choice([64, 128, 256, 300])) + (wide - 1) * rate
                rows.append((make(1, long, (1, wide), padding="valid", dilation=(1, rate)),))
            else:
                rows.append((make(side, side, (wide, wide), dilation=(rate, rate)),))
    return rows


def _window(
    deep: bool,
    inside: int,
    outside: int,
    dtype: str,
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "same",
) -> Layer:
    """A convolution, a `deep` one over each channel alone."""
    if deep:
        return operators.depthwise_conv_2d(
            height, width, inside, kernel, stride, dilation, padding, dtype=dtype
        )
    return operators.conv_2d(height, width, inside, outside, kernel, stride, dilation, padding, dtype=dtype)


def maps_of_rows(dtype: str, rng: Rng, count: int = 30) -> list[Layer]:
    """Softmax over the last axis of maps and of products of attention."""
    layers = []
    for _ in range(count):
        side, few = int(rng.choice([8, 16, 32, 64, 128])), int(rng.choice([2, 3, 10, 21]))
        heads, steps = int(rng.choice([1, 2, 3, 4, 8])), int(rng.choice([16, 37, 64, 100, 128, 197]))
        shape = (1, side, side, few) if rng.random() < 0.5 else (1, heads, steps, steps)
        layers.append(operators.unary("softmax", shape, dtype))
    return layers


def scalings(dtype: str, rng: Rng, count: int = 40) -> list[Layer]:
    """What networks do to a picture before anything else: a constant per channel, or one for all, is added or multiplied."""
    layers = []
    for _ in range(count):
        side, inside = int(rng.integers(32, 300)), int(rng.choice([1, 3, 3]))
        shape = (1, side, side, inside)
        other = (1, 1, 1, inside) if rng.random() < 0.6 else (1,)
        layers.append(
            operators.binary(
                str(rng.choice(["add", "sub", "mul"])), shape, other, "none", dtype, constant=True
            )
        )
    return layers


def rows_of_products(dtype: str, rng: Rng, count: int = 50) -> list[Layer]:
    """Products of many rows, as attention and mixing of channels have."""
    layers = []
    for _ in range(count):
        rows = int(rng.choice([16, 36, 49, 64, 100, 128, 144, 196, 256, 400, 576, 784]))
        inside, outside = (16 * int(rng.integers(2, 40)) for _ in range(2))
        layers.append(_product((1, rows, inside), (1, rows, outside), keep=True))
    return [layer for layer in layers if layer.parameters <= _MOST_WEIGHTS]


def classifiers(dtype: str, rng: Rng, count: int = 8) -> list[Layer]:
    """The large products that networks end with: few, since each takes the compiler seconds."""
    widths = (512, 768, 1024, 1280, 1536, 2048)
    return [
        operators.fully_connected(int(rng.choice(widths)), int(rng.choice([512, 1000, 1024])), dtype=dtype)
        for _ in range(count)
    ]


def shared_joins(dtype: str, rng: Rng, count: int = 40) -> list[Probe]:
    """Joins of two results of which the first is read elsewhere too: that one must be copied."""
    probes = []
    for _ in range(count):
        side = int(rng.choice([7, 14, 20, 28, 40, 56, 80]))
        widths = [8 * int(rng.integers(1, 16)) for _ in range(2)]
        shapes = [(1, side, side, width) for width in widths]
        join = operators.concatenation(shapes, 3, dtype)
        made = [_made(Tensor(shape, dtype)) for shape in shapes]
        read = [_read(join.outputs[0]), _read(Tensor(shapes[0], dtype))]
        layers = tuple(layer for layer in (*made, join, *read) if layer is not None)
        probes.append(Probe("company", layers, ((-1,), (-2,), (0, 1), (2,), (0,))))
    return probes


def crowded(dtype: str, rng: Rng, count: int = 160) -> list[Probe]:
    """Layers of large maps, whose input must be kept until another layer has read it: not all has room in fast memory."""
    probes: list[Probe] = []
    while len(probes) < count:
        side = int(rng.choice([14, 20, 28, 40, 56, 80, 112]))
        inside = 8 * round(rng.uniform(120_000, 900_000) / side**2 / 8)
        outside = 8 * int(np.exp(rng.uniform(np.log(2), np.log(64))))
        shape, kind = (1, side, side, inside), int(rng.integers(10))
        if not 16 <= inside <= 1536 or side**2 * outside > 1_600_000:
            continue
        stride = int(rng.choice([1, 1, 2]))
        if kind < 5:
            kernel = 1 if kind < 3 or inside * outside > 100_000 else 3
            layer = operators.conv_2d(
                side, side, inside, outside, (kernel, kernel), (stride, stride), dtype=dtype
            )
        elif kind < 7:
            kernel = int(rng.choice([3, 5]))
            layer = operators.depthwise_conv_2d(
                side, side, inside, (kernel, kernel), (stride, stride), dtype=dtype
            )
        elif kind < 8:
            layer = operators.pool_2d("max_pool_2d", side, side, inside, (3, 3), (2, 2), "same", dtype)
        elif kind < 9:
            layer = operators.unary(str(rng.choice(_TABLES)), shape, dtype)
        else:
            layer = operators.binary("mul", shape, (1, 1, 1, inside), "none", dtype, constant=True)
        made, read, late = _made(layer.inputs[0]), _read(layer.outputs[0]), _read(layer.inputs[0])
        if made is not None and read is not None and late is not None and layer.parameters <= _MOST_WEIGHTS:
            probes.append(Probe("company", (made, layer, read, late), ((-1,), (0,), (1,), (0,))))
    return probes


def _drawn(op: str, dtype: str, count: int, rng: Rng) -> list[Layer]:
    """About `count` layers that the compiler is quick with."""
    layers = (draw_layer(op, dtype, rng) for _ in range(max(1, count)))
    return [layer for layer in layers if layer.parameters <= _MOST_WEIGHTS]
