"""Whether two networks are as accurate as each other, and how their times compare, with what chance leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.compression.answers import Answers

DRAWS = 2000
SAME, WORSE, UNDECIDED = "same", "worse", "undecided"
_TAIL = 0.05
"""One-sided: whether a network is *worse by more than a margin* has one direction."""


@dataclass(frozen=True)
class Difference:
    """Accuracy of one network minus that of another one, in points.

    Attributes
    ----------
    points
        As observed, pooled over seeds.
    low, high
        The 5th and the 95th percentile of the bootstrap.
    clusters
        Subjects, speakers or images that it is drawn from.
    """

    points: float
    low: float
    high: float
    clusters: int

    def verdict(self, margin: float) -> str:
        """``same`` where it is surely not worse by more than `margin` points, ``worse`` where it surely is."""
        if self.low >= -margin:
            return SAME
        return WORSE if self.high < -margin else UNDECIDED


def difference(pairs: Sequence[tuple[Answers, Answers]], seed: int = 0, draws: int = DRAWS) -> Difference:
    """Paired bootstrap of the accuracy of the first minus that of the second of each pair.

    Parameters
    ----------
    pairs
        One for each seed: the same rows answered by both networks.

    Notes
    -----
    A subject (speaker, image) is drawn together with all its rows, those of all seeds included, and within
    it its executions (recordings) are drawn again: rows of one subject, windows of one execution and the seeds' answers to
    the same row are not independent.
    """
    for one, other in pairs:
        if not np.array_equal(one.label, other.label) or not np.array_equal(one.unit, other.unit):
            raise ValueError("the two networks answered different rows")
    gain = np.concatenate([one.correct.astype(float) - other.correct for one, other in pairs])
    cluster = np.concatenate([one.cluster for one, _ in pairs])
    unit = np.concatenate([one.unit for one, _ in pairs])
    sums, counts, home = _by_unit(gain, cluster, unit)
    clusters = int(home.max()) + 1
    generator = np.random.default_rng(seed)
    if clusters == len(sums):
        drawn = _drawn(sums, counts, draws, generator)
    else:
        drawn = _drawn_in_two_stages(sums, counts, home, draws, generator)
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL])
    return Difference(100 * float(gain.mean()), 100 * float(low), 100 * float(high), clusters)


def _by_unit(
    gain: NDArray[np.float64], cluster: NDArray, unit: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Sum of gains and number of rows of each unit [units], and the number of its cluster [units]."""
    _, number = np.unique(cluster, return_inverse=True)
    names, member = np.unique(unit, return_inverse=True)
    sums = np.bincount(member, gain, len(names))
    counts = np.bincount(member, minlength=len(names))
    home = np.zeros(len(names), np.int64)
    home[member] = number
    return sums, counts, home


def _drawn(
    sums: NDArray[np.float64], counts: NDArray[np.int64], draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means of units that are drawn with replacement [draws]."""
    found = np.empty(draws)
    for draw in range(draws):
        chosen = generator.integers(0, len(sums), len(sums))
        found[draw] = sums[chosen].sum() / counts[chosen].sum()
    return found


def _drawn_in_two_stages(
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    home: NDArray[np.int64],
    draws: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Means of units of clusters that are drawn with replacement, the units within each again [draws]."""
    members = [np.flatnonzero(home == number) for number in range(int(home.max()) + 1)]
    found = np.empty(draws)
    for draw in range(draws):
        taken = [members[k] for k in generator.integers(0, len(members), len(members))]
        chosen = np.concatenate([some[generator.integers(0, len(some), len(some))] for some in taken])
        found[draw] = sums[chosen].sum() / counts[chosen].sum()
    return found


@dataclass(frozen=True)
class Ratio:
    """A ratio of times with its 95% interval."""

    ratio: float
    low: float
    high: float
    seeds: int

    def text(self) -> str:
        """As ``-35% [-48%, -19%]``: how much less time."""
        return f"{self.ratio - 1:+.0%} [{self.low - 1:+.0%}, {self.high - 1:+.0%}]"


def time_ratio(by_seed: Sequence[Sequence[float]]) -> Ratio:
    """The ratio of two times over seeds and rounds.

    Parameters
    ----------
    by_seed
        For each seed the ratio in every round in which both were measured.

    Notes
    -----
    The geometric mean over seeds of each seed's median round; Student's interval with seeds as the units,
    since rounds of one seed measure the same two files. The spread of rounds is added to that of seeds, so that three
    seeds that agree by chance do not hide it. With a single seed the interval is that of its rounds alone.
    """
    logs = [np.log(np.asarray(rounds, float)) for rounds in by_seed if len(rounds)]
    if not logs:
        raise ValueError("nothing was measured")
    centres = np.array([np.median(log) for log in logs])
    noise = [_error_of_median(log) for log in logs]
    mean = float(centres.mean())
    within = float(np.sqrt(np.square(noise).sum())) / len(logs)
    if len(logs) == 1:
        half = 1.96 * within
    else:
        between = float(centres.std(ddof=1)) / math.sqrt(len(logs))
        half = float(stats.t.ppf(0.975, len(logs) - 1)) * math.hypot(between, within)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(logs))


def _error_of_median(log: NDArray[np.float64]) -> float:
    """Standard error of the median of rounds; 0 where there is one."""
    if len(log) < 2:
        return 0.0
    return 1.25 * float(log.std(ddof=1)) / math.sqrt(len(log))
