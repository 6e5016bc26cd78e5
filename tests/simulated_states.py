"""How slow a made-up device is over time, in steps of 0.25 ms, for `profiler.testing.simulated.SimulatedTarget`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from profiler.testing.simulated import STEP_S

SHORTEST_S, LONGEST_S = 0.01, 3.0


def stretches(
    states: Mapping[float, float], seconds: float = 60.0, seed: int = 0, wander: float = 0.0
) -> np.ndarray:
    """States take turns in stretches of 10 ms to seconds.

    Parameters
    ----------
    states
        Factors of the states, and the share of the time that each takes.
    seconds, seed
        How long, and what draws it.
    wander
        How much the factor of a state other than the first differs from stretch to stretch, in logarithms.
    """
    random = np.random.default_rng(seed)
    factors, shares = np.array(list(states)), np.array(list(states.values()))
    values: list[np.ndarray] = []
    left = round(seconds / STEP_S)
    while left > 0:
        which = random.choice(len(factors), p=shares / shares.sum())
        long_s = np.clip(0.06 * np.exp(1.2 * random.standard_normal()), SHORTEST_S, LONGEST_S)
        level = factors[which] * np.exp(wander * random.standard_normal() * (which > 0))
        values.append(np.full(min(left, round(long_s / STEP_S)), max(level, 1.0)))
        left -= len(values[-1])
    return np.concatenate(values) * (1 + random.exponential(0.003, round(seconds / STEP_S)))


def alternating(seconds: float = 60.0, seed: int = 0, calm: float = 0.3) -> np.ndarray:
    """Calm for a share of the time, else beside neighbours that differ."""
    return stretches({1.0: calm, 1.15: 0.4 * (1 - calm), 1.45: 0.6 * (1 - calm)}, seconds, seed, 0.03)


def never_calm(seconds: float = 60.0, seed: int = 0) -> np.ndarray:
    """Always beside a neighbour: what is the lowest state here is not calm."""
    return stretches({1.25: 0.4, 1.5: 0.6}, seconds, seed, 0.02)


def calm_at_the_end(seconds: float = 60.0, seed: int = 0, share: float = 0.15) -> np.ndarray:
    """Busy, but for the end."""
    busy = stretches({1.2: 0.5, 1.5: 0.5}, (1 - share) * seconds, seed, 0.05)
    return np.concatenate([busy, stretches({1.0: 1.0}, share * seconds, seed)])


def drifting(seconds: float = 60.0, seed: int = 0, by: float = 0.04) -> np.ndarray:
    """As `alternating`, and slower by and by."""
    values = alternating(seconds, seed)
    return values * np.linspace(1.0, 1.0 + by, len(values))


def governor_step(seconds: float = 60.0, seed: int = 0, factor: float = 1.35) -> np.ndarray:
    """Calm nearly always, but half-way the clock is lowered."""
    values = stretches({1.0: 0.9, 1.2: 0.1}, seconds, seed)
    values[len(values) // 2 :] *= factor
    return values


def never_repeating(seconds: float = 60.0, seed: int = 0) -> np.ndarray:
    """Any speed between calm and several times as slow, as likely as any other."""
    random = np.random.default_rng(seed)
    stretch = round(SHORTEST_S / STEP_S)
    levels = np.exp(random.uniform(0.0, np.log(6.0), round(seconds / SHORTEST_S)))
    return np.repeat(levels, stretch)


def recorded(path: Path) -> np.ndarray:
    """The recording of a shared machine, relative to its calm state; where others had the core, it was slow."""
    canary_us = np.load(path)["canary_us"].astype(float)
    return np.clip(np.where(np.isnan(canary_us), np.inf, canary_us / 14.39), 1.0, 3.0)
