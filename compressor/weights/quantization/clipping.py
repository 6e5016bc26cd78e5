"""Ranges of activations that cut off rare large values where the network's own outputs are then nearer to the float network's.

A wide range has coarse steps. Which values can be cut off is judged by the divergence of the outputs when every operator is
int8, and not by the error of each tensor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from compressor.export import TfliteRunner
from compressor.weights.quantization.assignment import QuantizableNetwork
from compressor.weights.quantization.effect import divergence
from profiler.progress import ProgressCallback, silent

FACTORS = (0.9, 0.8, 0.65, 0.5)
"""Shares of a range that may be left."""

MOST_TENSORS = 24
"""Ranges that are changed one by one, the widest first."""


def clip(
    network: QuantizableNetwork, rows: Mapping[str, npt.NDArray], progress: ProgressCallback = silent
) -> dict[str, float]:
    """Narrow the ranges of a network in place; returns the factor of each tensor that was narrowed.

    All ranges together first, then one by one from that, each step kept where the outputs of the int8 network on `rows` come
    nearer to those of the float network.
    """
    before = TfliteRunner(network.content).predict(dict(rows))
    widths = {
        name: float(np.max(bounds["max"]) - np.min(bounds["min"]))
        for name, bounds in network.ranges.items()
        if bounds
    }
    names = sorted(widths, key=lambda name: -widths[name])

    def judged(factors: Mapping[str, float]) -> float:
        file = network.build(network.uniform("int8"), network.narrowed(factors))
        return divergence(before, TfliteRunner(file).predict(dict(rows)))

    best: dict[str, float] = {}
    least = judged(best)
    steps = [dict.fromkeys(names, factor) for factor in FACTORS]
    steps += [{name: factor} for name in names[:MOST_TENSORS] for factor in FACTORS]
    for number, step in enumerate(steps):
        progress(number / len(steps), "narrowing ranges")
        tried = best | step
        found = judged(tried)
        if found < 0.98 * least:
            best, least = tried, found
    network.ranges = network.narrowed(best)
    return {name: factor for name, factor in best.items() if factor != 1.0}
