"""Sizes to draw layers from: those of real networks, odd ones between them, and next to where steps are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from profiler.network import Layer

Rng = np.random.Generator
Draw = Callable[[Rng, str], Layer]
"""Makes one random layer of an arithmetic (``float32``, ``int8``, …)."""

SIDES = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 224)
CHANNELS = (
    8, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 144, 160, 192, 240, 256, 320, 384, 480, 512, 640, 768, 960, 1024, 1280, 2048,
)  # fmt: skip
ACTIVATIONS = ("none", "relu", "relu6")


def side(rng: Rng, largest: int = 224) -> int:
    """Height or width of a feature map."""
    if rng.random() < 0.65:
        return int(rng.choice([s for s in SIDES if s <= largest]))
    return round(float(np.exp(rng.uniform(0.0, np.log(largest)))))


def channels(rng: Rng, largest: int = 2048) -> int:
    """Number of channels or units."""
    kind = rng.random()
    if kind < 0.45:
        return int(rng.choice([c for c in CHANNELS if c <= largest]))
    smallest = 1 if kind > 0.94 else min(6, largest)
    value = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    if kind < 0.65:  # next to a multiple of eight, where steps are
        return int(np.clip(8 * round(value / 8) + rng.integers(-1, 2), 1, largest))
    return max(1, round(value))


def window(rng: Rng) -> tuple[int, int]:
    """Kernel sizes (height, width) of what is larger than 1x1."""
    kind = rng.random()
    if kind < 0.55:
        return 3, 3
    if kind < 0.7:
        return 5, 5
    if kind < 0.83:
        return 7, 7
    if kind < 0.88:
        return 2, 2
    if kind < 0.94:
        return 1, int(rng.integers(2, 10))
    return int(rng.integers(2, 11)), int(rng.integers(1, 6))


def plane(rng: Rng, largest: int = 224) -> tuple[int, int]:
    """Height and width of a feature map, mostly square."""
    height = side(rng, largest)
    return (height, height) if rng.random() < 0.8 else (height, side(rng, largest))


def feature_map(rng: Rng) -> tuple[int, ...]:
    """Shape of what flows between layers: maps, sequences and vectors, batch 1."""
    kind = rng.random()
    if kind < 0.12:
        return 1, channels(rng, 4096)
    if kind < 0.2:
        return 1, int(np.exp(rng.uniform(0, np.log(512)))), channels(rng, 1024)
    height, width = plane(rng)
    return 1, height, width, channels(rng)


def scaled(rng: Rng, smallest: int, largest: int) -> int:
    """A whole number between both, small ones as often as large ones by factor."""
    return round(float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))))


def sequence(rng: Rng, largest: int = 512) -> tuple[int, int, int]:
    """Shape [1, steps, features] of what sequence models pass on."""
    return 1, scaled(rng, 2, largest), channels(rng, 1024)
