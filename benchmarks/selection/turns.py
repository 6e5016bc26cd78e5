"""Policies end to end on this machine, in turns with the single network alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler.calm import WITHIN
from selector.policies import PolicyFit
from selector.runtime import PolicyNetwork, Specification, load_policy, save_policy

ROUNDS = 12
ROWS = 400


@dataclass(frozen=True)
class Measured:
    """Mean times of a row, ms: of the policy and of the single network, each the median of its rounds."""

    policy_ms: float
    single_ms: float
    ratio: float
    rounds: int


def measure(
    fit: PolicyFit,
    folder: Path,
    x: NDArray[np.float32],
    single: tuple[PolicyNetwork, Path],
    rounds: int = ROUNDS,
) -> Measured:
    """Run a policy and a single network in turns over the same rows.

    The same loop runs both. Time is the thread's own: what other processes take of the core is in neither. The ratio is the
    median of the ratios of neighbouring turns, of rounds in which the single network was within a few percent of its fastest.
    """
    policy = load_policy(save_policy(fit.specification, fit.paths, folder / "policy"))
    network, file = single
    static = Specification("static", fit.specification.device, (network,))
    alone = load_policy(save_policy(static, [file], folder / "single"))
    rows = x[:: max(1, len(x) // ROWS)]
    times = []
    for number in range(rounds + 1):
        pair = []
        if policy.drift is not None:
            policy.drift.reset()  # the same rows again are no evidence
        for run in (policy, alone) if number % 2 else (alone, policy):
            begin = time.thread_time()
            run(rows)
            pair.append(1e3 * (time.thread_time() - begin) / len(rows))
        if number:  # the first warms up
            times.append(pair if number % 2 else pair[::-1])
    each = np.array(times)
    calm = each[each[:, 1] <= WITHIN * each[:, 1].min()]
    return Measured(
        float(np.median(calm[:, 0])),
        float(np.median(calm[:, 1])),
        float(np.median(calm[:, 1] / calm[:, 0])),
        len(calm),
    )
