"""Probes that show what layers cost in company: far from where their weights and inputs were last read.

Timed alone, the same layers find everything in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from profiler import operators
from profiler.network import Layer
from profiler.probes.probe import Probe

PART = "part"
"""Kind of a probe that times one layer of a chain, fan or network alone, to compare with; no tree learns from it."""


def chains() -> list[Probe]:
    """Equal layers in a row whose weights take from a few KB to 100 MB together, walked through before they are read again."""
    rows = (
        (operators.fully_connected(64, 64), (2, 4, 8, 16, 32, 64, 128)),
        (operators.fully_connected(128, 128, dtype="int8"), (4, 16, 64, 128)),
        (operators.conv_2d(8, 8, 48, 48, (1, 1)), (4, 16, 64)),
        (operators.fully_connected(128, 128), (4, 8, 16, 32, 64, 128)),
        (operators.fully_connected(256, 256), (4, 8, 16, 32, 64)),
        (operators.fully_connected(512, 512), (2, 4, 8, 16, 32, 64, 96)),
        (operators.conv_2d(8, 8, 64, 64, (1, 1)), (8, 16, 32, 64, 128)),
        (operators.conv_2d(7, 7, 128, 128, (1, 1)), (8, 16, 32, 64, 128)),
        (operators.conv_2d(7, 7, 256, 256, (1, 1)), (4, 8, 16, 32, 64, 128, 256)),
        (operators.conv_2d(3, 3, 480, 480, (1, 1)), (4, 8, 16, 32, 64)),
        (operators.conv_2d(14, 14, 128, 128, (1, 1)), (64, 256)),
        (operators.conv_2d(5, 5, 160, 160), (2, 4, 10, 20, 40, 80)),
        (operators.conv_2d(10, 10, 96, 96), (8, 32, 64)),
    )
    return [Probe("chain", (layer,) * count) for layer, counts in rows for count in counts]


def heavy() -> list[Probe]:
    """Layers whose own weights do not fit the nearest cache, in rows and in turn, as at the end of a large network.

    Alone they stream their weights from the next cache; in company, from memory.
    """
    layers = (
        operators.conv_2d(8, 8, 256, 256),
        operators.conv_2d(4, 4, 512, 512),
        operators.conv_2d(2, 2, 512, 512),
        operators.conv_2d(7, 7, 512, 1024, (1, 1)),
        operators.fully_connected(2048, 2048),
    )
    rows = [Probe("chain", (layer,) * count) for layer in layers[:3] for count in (2, 6)]
    rows += [Probe("chain", layers[4:] * count) for count in (2, 4)]
    return rows + [_in_turn(layers, rounds) for rounds in (1, 2)]


def _in_turn(layers: tuple[Layer, ...], rounds: int) -> Probe:
    """All of `layers`, each with an input of its own, several times with other weights."""
    count = rounds * len(layers)
    return Probe("chain", layers * rounds, tuple((-1 - number,) for number in range(count)))


def rows_of_nothing() -> list[Probe]:
    """Operators with next to no work in a row: what running one more operator costs."""
    layer = operators.unary("neg", (1, 8))
    return [Probe("chain", (layer,) * count) for count in (1, 16, 64, 256)]


def rows_of_unlike(dtype: str = "float32") -> list[Probe]:
    """Unlike operators with little work in rows without a pattern, as recurrent layers are that were unrolled.

    A processor foresees what comes next in a short row, or in one that repeats; in a long one it does not. Three strands of
    different widths take turns at random; each operator reads what its strand made last, and binary ones what it made before.
    """
    found = []
    # XNNPACK leaves negations of integers out.
    last = ("neg",) if dtype == "float32" else ()
    names = ("fully_connected", "add", "mul", "sub", "logistic", "tanh", *last)
    for count in (8, 32, 64, 128, 256, 512, 1024):
        rng = np.random.default_rng(count)
        strands: list[list[int]] = [[-1, -1], [-2, -2], [-3, -3]]
        layers: list[Layer] = []
        wiring: list[tuple[int, ...]] = []
        for at in range(count):
            number = int(rng.integers(len(strands)))
            strand, width = strands[number], (16, 32, 48)[number]
            op = names[int(rng.integers(len(names)))]
            if op == "fully_connected":
                layers.append(operators.fully_connected(width, width, dtype=dtype))
            elif op in ("add", "mul", "sub"):
                layers.append(operators.binary(op, (1, width), (1, width), dtype=dtype))
            else:
                layers.append(operators.unary(op, (1, width), dtype))
            wiring.append((strand[-1], strand[-2]) if op in ("add", "mul", "sub") else (strand[-1],))
            strand.append(at)
        found.append(Probe("chain", tuple(layers), tuple(wiring)))
    return found


def reshapes(dtype: str) -> list[Probe]:
    """Reshapes between other operators: alone they copy from input to output, inside a network most runtimes copy nothing."""
    found = []
    for shape in ((1, 14, 14, 64), (1, 28, 28, 64), (1, 28, 28, 192), (1, 56, 56, 64)):
        flat = (1, shape[1] * shape[2] * shape[3])
        op = "neg" if dtype == "float32" else "logistic"
        steps = (
            operators.unary(op, shape, dtype),
            operators.reshape(shape, flat, dtype),
            operators.unary(op, flat, dtype),
            operators.reshape(flat, shape, dtype),
        )
        found.append(Probe("chain", steps * 3 + steps[:1]))
    return found


def short_rows(dtype: str) -> list[Probe]:
    """A constant for each of few channels, as networks normalise pictures, between other operators.

    There the runtime writes the result over the operand, and a processor may wait for what it has just stored.
    """
    found = []
    for op in ("add", "sub", "mul"):
        for side, channels in ((48, 3), (96, 3), (160, 3), (224, 3), (112, 8), (56, 12)):
            shape = (1, side, side, channels)
            step = operators.unary("neg" if dtype == "float32" else "logistic", shape, dtype)
            layer = operators.binary(op, shape, (channels,), dtype=dtype, constant=True)
            found.append(Probe("chain", (step, layer, layer, step)))
    return found


def fans() -> list[Probe]:
    """Activations that are written one after the other, then read again in the same order."""
    rows = (
        (16, 32, (4, 8, 16, 32)),
        (16, 128, (2, 4, 8, 16, 32)),
        (28, 160, (2, 4, 8, 16, 32)),
        (56, 160, (2, 4, 8, 16)),
        (80, 160, (2, 4, 8)),
    )
    return [_fan((1, side, side, channels), count) for side, channels, counts in rows for count in counts]


def _fan(shape: tuple[int, ...], count: int) -> Probe:
    """`count` activations of `shape`, each made of the one before, then added up from the first on."""
    step, join = operators.unary("neg", shape), operators.binary("add", shape, shape)
    wiring: list[tuple[int, ...]] = [(-1,), *((i,) for i in range(count))]
    total = 0
    for i in range(1, count + 1):
        wiring.append((total, i))
        total = len(wiring) - 1
    return Probe("chain", (step,) * (count + 1) + (join,) * count, tuple(wiring))


def slow() -> list[Probe]:
    """Weights and activations that wait: between two readings of them a few layers work on little data for milliseconds.

    A cache that is shared with others forgets meanwhile, however few bytes the network itself has touched.
    """
    work = operators.conv_2d(28, 28, 64, 64)
    rows = (
        (operators.fully_connected(512, 512), 4),
        (operators.fully_connected(512, 512), 12),
        (operators.conv_2d(7, 7, 256, 256, (1, 1)), 16),
        (operators.conv_2d(7, 7, 256, 256, (1, 1)), 48),
        (operators.unary("neg", (1, 28, 28, 320)), 4),
    )
    return [_beside(layer, count, work, times) for layer, count in rows for times in (2, 8, 24)]


def _beside(layer: Layer, count: int, work: Layer, times: int) -> Probe:
    """A chain of `count` layers and one of `times` work layers, each with an input of its own, run one after the other."""
    wiring: list[tuple[int, ...]] = [(-1,), *((i,) for i in range(count - 1))]
    wiring += [(-2,), *((count + i,) for i in range(times - 1))]
    return Probe("chain", (layer,) * count + (work,) * times, tuple(wiring))


def parts(probes: Iterable[Probe]) -> list[Probe]:
    """Every layer of `probes` as a probe of its own, each once."""
    layers = dict.fromkeys(layer for probe in probes for layer in probe.layers)
    return [Probe(PART, (layer,)) for layer in layers]


def empty_probe() -> Probe:
    """The probe that does next to nothing: its time is what a call costs."""
    return Probe("empty", (operators.unary("relu", (1, 1)),))
