"""Layers of whole networks as they were measured on a Raspberry Pi, joined with the architectures that they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.energy.architectures import ARCHITECTURES
from profiler.network import Layer

_ROW = re.compile(
    r"\n([A-Z_0-9]+)\nAverage execution time:\s+([\d.]+) μs \(.*?\)\nAverage energy spent:\s+([\d.]+) J \(.*?\)\n"
    r"Average power:\s+([\d.]+) W"
)
_NEXT_TO_NOTHING = ("RESHAPE", "SQUEEZE", "SOFTMAX")
_RECONSTRUCTED = "reconstructed_"
_TRIFLE_US = 100.0
"""What takes less is shorter than the time between two readings of the meter, so that its power means nothing."""


@dataclass(frozen=True)
class Measured:
    """One file: the network that it is of, its layers, their times in ms and their energies in mJ ``[n]``."""

    name: str
    architecture: str
    layers: list[Layer]
    times_ms: np.ndarray
    energies_mj: np.ndarray


def read_folder(folder: Path) -> list[Measured]:
    """All networks of ``latency/rpi_layers``."""
    return [read(path) for path in sorted(folder.glob("*.out"))]


def read(path: Path) -> Measured:
    """One file. Of *reconstructed* networks those layers are not listed whose kernels were replaced: square ones, but the first.

    Raises ValueError where what was measured is not what the architecture says.
    """
    architecture = path.stem.removeprefix(_RECONSTRUCTED)
    layers = ARCHITECTURES[architecture]()
    if path.stem != architecture:
        first = next(layer for layer in layers if layer.op == "conv_2d")
        layers = [layer for layer in layers if layer is first or not _is_square(layer)]
    text = path.read_text("utf-8").partition("PROFILER")[2]
    rows = [row for row in _ROW.findall(text) if row[0] not in _NEXT_TO_NOTHING]
    found, known = [row[0].lower() for row in rows], [layer.op for layer in layers]
    if found != known:
        at = next(
            (i for i, pair in enumerate(zip(found, known, strict=False)) if pair[0] != pair[1]), len(known)
        )
        raise ValueError(f"{path}: operator {at} is not what {architecture} has there ({found[at : at + 3]})")
    numbers = np.array([row[1:] for row in rows], float)
    kept = numbers[:, 0] >= _TRIFLE_US
    return Measured(
        path.stem,
        architecture,
        [layer for layer, keep in zip(layers, kept, strict=True) if keep],
        numbers[kept, 0] / 1e3,
        numbers[kept, 1] * 1e3,
    )


def _is_square(layer: Layer) -> bool:
    if layer.op != "conv_2d":
        return False
    _, height, width, _ = layer.inputs[1].shape
    return height == width > 1
