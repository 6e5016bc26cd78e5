"""How two ways to compress compare, with what chance leaves open.

Two things are chance: which rows the test has (`difference`: bootstrapped in pairs, by subject or speaker), and which
network a training ends with (`training_noise`: what is left of scores of all rows and seeds once the mean of each seed and of each
row is taken off). A seed has its own original and, where people are held out, its own people: that is common to all rows of a
seed, so that comparisons are in pairs. Both errors are added as independent ones.
"""

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
    """Score of one network minus that of another one, in points.

    Attributes
    ----------
    points
        As observed, pooled over seeds.
    low, high
        The 5th and the 95th percentile of the bootstrap.
    clusters
        Subjects, speakers or images that it is drawn from.
    error
        Standard deviation of the bootstrap.
    """

    points: float
    low: float
    high: float
    clusters: int
    error: float = 0.0

    def verdict(self, margin: float) -> str:
        """``same`` where it is surely not worse by more than `margin` points, ``worse`` where it surely is."""
        if self.low >= -margin:
            return SAME
        return WORSE if self.high < -margin else UNDECIDED


def difference(pairs: Sequence[tuple[Answers, Answers]], seed: int = 0, draws: int = DRAWS) -> Difference:
    """Paired bootstrap of the score of the first minus that of the second of each pair.

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
    gain = np.concatenate([one.credit - other.credit for one, other in pairs])
    cluster = np.concatenate([one.cluster for one, _ in pairs])
    unit = np.concatenate([one.unit for one, _ in pairs])
    sums, counts, home = _by_unit(gain, cluster, unit)
    clusters = int(home.max()) + 1
    generator = np.random.default_rng(seed)
    if clusters == len(sums):
        drawn = _drawn(sums, counts, draws, generator)
    else:
        drawn = _drawn_in_two_stages(sums, counts, home, draws, generator)
    low, high = 100 * np.quantile(drawn, [_TAIL, 1 - _TAIL])
    return Difference(100 * float(gain.mean()), float(low), float(high), clusters, 100 * float(drawn.std()))


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
class Noise:
    """How far scores of two trainings of one network lie apart by chance: a standard deviation, and its degrees of freedom."""

    deviation: float
    freedom: int


def training_noise(scores: NDArray[np.float64]) -> Noise:
    """What is left of scores once the means of rows and of seeds are taken off [rows, seeds]; rows with a gap (NaN) do not count.

    Examples
    --------
    >>> found = training_noise(np.array([[60.0, 62.0], [50.0, 54.0]]))
    >>> round(found.deviation, 6), found.freedom
    (1.0, 1)
    """
    whole = scores[~np.isnan(scores).any(axis=1)] if scores.size else scores.reshape(0, 0)
    freedom = max(0, whole.shape[0] - 1) * max(0, whole.shape[1] - 1)
    if not freedom:
        return Noise(math.inf, 0)
    rest = whole - whole.mean(axis=0) - whole.mean(axis=1, keepdims=True) + whole.mean()
    return Noise(math.sqrt(float((rest**2).sum()) / freedom), freedom)


def half_width(noise: Noise, seeds: int, error: float) -> float:
    """Half of the 95% interval of a difference of two means, each over so many seeds; infinite where it is not known.

    `error` is the standard error that the test's rows leave, which more seeds do not lessen.
    """
    if not noise.freedom:
        return math.inf
    training = noise.deviation * math.sqrt(2 / seeds)
    return float(stats.t.ppf(0.975, noise.freedom)) * math.hypot(training, error)


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
    """The ratio of two times over seeds and rounds, whatever the accuracies.

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
