"""The search over chains of networks: which networks in which order, with which thresholds, judged on rows left out.

What few rows seem to say is not trusted: thresholds are fitted to errors that are smoothed by what all networks together think
(a row on which they are torn is half an error whichever way its label fell), and every chain is judged by cross-fitting, each
fifth of the rows by thresholds from the other four.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.progress import ProgressCallback, silent, sub_progress
from profiler.tradeoff import pareto_front
from selector.candidates import Answers
from selector.policies.stages.combining import Combiner
from selector.policies.stages.prefixes import Gate, Prefixes
from selector.policies.stages.thresholds import NEVER, StageRows, best_thresholds, class_thresholds, stops_at
from selector.policies.stages.uncertainty import mean_and_error

GATES = (Gate("margin"), Gate("top"), Gate("entropy"), Gate("margin", agree=True))


@dataclass(frozen=True)
class SearchSettings:
    """How wide the search is.

    Parameters
    ----------
    max_stages
        Networks that one input may run through.
    most_networks
        The search looks at chains of no more networks, see `shortlist`.
    most_chains
        So many chains are looked at closely, those best at some price of time.
    gates
        Kinds of confidence; all but the first are tried on `most_gated` chains only, those most often on the front.
    per_class
        Whether thresholds of each class are tried too.
    least_rows
        A class with fewer rows at a stage has no threshold of its own.
    prices, refined
        How many prices of time are gone through, and how many more near the best policy.
    folds
        For cross-fitting.
    smoothing
        Share of the smoothed error in what thresholds are fitted to; 0 counts errors alone.
    only
        Classes for which the first stage may stop; None for all.
    tables
        Whether the front, and what a policy must be seen beside, are worked out too.
    """

    max_stages: int = 4
    most_networks: int = 8
    most_chains: int = 12
    gates: tuple[Gate, ...] = GATES
    most_gated: int = 3
    per_class: bool = True
    least_rows: int = 50
    prices: int = 32
    refined: int = 16
    folds: int = 5
    smoothing: float = 0.7
    only: tuple[int, ...] | None = None
    tables: bool = True


@dataclass(frozen=True)
class Point:
    """One policy that the search found, with what is known of it.

    Parameters
    ----------
    chain
        Indices of its networks, the fastest first.
    thresholds
        [stages - 1] or [stages - 1, classes].
    drop
        Points of accuracy / 100 lost against the best single network: estimated on rows left out; below 0 for a gain.
    uncertainty
        Standard error of `drop`, by whole groups where there are groups.
    mean_ms
        Mean time, on rows left out.
    own_ms
        Mean time on all rows, by thresholds from all rows.
    wrong
        Share of errors on all rows, not smoothed, by thresholds from all rows.
    price
        Of a ms, that its thresholds are best for; None where the last network answers alone, as it stands.
    """

    chain: tuple[int, ...]
    gate: Gate
    thresholds: NDArray[np.float64]
    drop: float
    uncertainty: float
    mean_ms: float
    own_ms: float
    wrong: float
    price: float | None = None

    @property
    def alone(self) -> bool:
        """Whether one network answers alone, as it stands."""
        return self.price is None


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in both mean time and accuracy, the fastest first, one of those that are equal."""
    rounded = [(float(f"{one.own_ms:.9g}"), round(one.drop, 9)) for one in points]
    marks = pareto_front([ms for ms, _ in rounded], [-drop for _, drop in rounded])
    best: dict[tuple[float, float], Point] = {}
    for key, one, mark in zip(rounded, points, marks, strict=True):
        if mark:
            best.setdefault(key, one)
    return [best[key] for key in sorted(best)]


def shortlist(answers: Answers, most: int, row_weights: NDArray[np.float64] | None = None) -> list[int]:
    """At most so many networks: those on the Pareto front of accuracy and time, then those that are right most often where these
    are all wrong, per time; the most accurate one is always among them."""
    count = len(answers.networks)
    if count <= most:
        return list(range(count))
    accuracy = np.average(answers.right, axis=1, weights=row_weights)
    on_front = np.flatnonzero(pareto_front(answers.times_ms.tolist(), accuracy.tolist())).tolist()
    best = int(np.lexsort((answers.times_ms, -accuracy))[0])
    chosen = [best]
    right = answers.right[best].copy()
    for pool in (on_front, range(count)):
        while len(chosen) < most and (left := [one for one in pool if one not in chosen]):
            gains = [np.average(~right & answers.right[one], weights=row_weights) for one in left]
            if len(left) <= most - len(chosen):
                chosen += left
            else:
                chosen.append(left[int(np.argmax(gains / np.sqrt(answers.times_ms[left])))])
            right = answers.right[chosen].any(axis=0)
    return sorted(chosen)


def best_single(answers: Answers, row_weights: NDArray[np.float64] | None = None) -> int:
    """The most accurate network alone; the fastest of those that are as accurate."""
    accuracy = np.average(answers.right, axis=1, weights=row_weights)
    return int(np.lexsort((answers.times_ms, -accuracy))[0])


class CascadeSearch:
    """All that chains need to be judged on the same rows.

    Parameters
    ----------
    answers
        Of all networks, the fastest first; of the segments of one network, in the order in which they run.
    settings
        How wide the search is.
    row_weights
        How much each row counts [rows].
    longest_ms
        Chains whose networks together take longer are left out.
    kind
        ``"early_exit"`` where the networks are segments of one network: each needs all before it.
    """

    def __init__(
        self,
        answers: Answers,
        settings: SearchSettings,
        row_weights: NDArray[np.float64] | None = None,
        *,
        longest_ms: float | None = None,
        kind: str = "cascade",
        seed: int = 0,
    ) -> None:
        self.answers = answers
        self.settings = settings
        self.kind = kind
        self.segments = kind == "early_exit"
        rows = len(answers.y)
        self.counts = np.full(rows, 1 / rows) if row_weights is None else row_weights / row_weights.sum()
        limit = np.inf if longest_ms is None else longest_ms
        count = len(answers.networks)
        if self.segments:
            listed = list(range(count))
            chains = [tuple(listed[: last + 1]) for last in range(1, count)]
        else:
            listed = shortlist(answers, settings.most_networks, row_weights)
            chains = [
                chain
                for stages in range(1 if answers.detector else 2, settings.max_stages + 1)
                for chain in itertools.combinations(listed, stages)
            ]
        self.single_ms = answers.times_ms.cumsum() if self.segments else answers.times_ms
        first_ms = 0.0 if answers.detector is None else answers.detector.network.predicted_ms
        decide_ms = answers.decide_ms
        self.chains = [
            chain
            for chain in chains
            if first_ms + answers.times_ms[list(chain)].sum() + decide_ms * len(chain) <= limit
        ]
        self.alone = [index for index in range(count) if self.single_ms[index] <= limit]
        self.combiner = Combiner(answers.log_probabilities, answers.y, row_weights)
        expert = np.exp(self.combiner.combined(listed))
        self.prefixes = Prefixes(answers, self.combiner, expert, settings.smoothing, settings.only)
        self.single = best_single(answers, row_weights)
        self._single_loss = self.prefixes.alone(self.single)
        self._units = answers.units
        self._folds = row_folds(answers, settings.folds, seed)
        self.prices = np.geomspace(3e-4, 1.0, settings.prices) / float(self.single_ms.max())

    @property
    def classes(self) -> int:
        """Most classes that a stage tells apart."""
        detector = self.answers.detector
        return max(self.answers.classes, 0 if detector is None else len(detector.answers))

    @property
    def single_wrong(self) -> float:
        """Share of errors of the best single network."""
        return float(~self.answers.right[self.single] @ self.counts)

    def run(self, progress: ProgressCallback = silent) -> list[Point]:
        """Every single network, and the points of the chains that were looked at closely."""
        points = [self.single_point(index) for index in self.alone]
        close = self._promising(sub_progress(progress, 0.0, 0.4))
        first, *others = self.settings.gates
        for done, chain in enumerate(close):
            progress(0.4 + 0.4 * done / len(close), "chains on rows left out")
            points += self.points(chain, first, self.prices)
        seen = Counter(point.chain for point in front(points) if not point.alone)
        work = [(chain, gate) for chain, _ in seen.most_common(self.settings.most_gated) for gate in others]
        for done, (chain, gate) in enumerate(work):
            progress(0.8 + 0.2 * done / len(work), "other kinds of confidence")
            points += self.points(chain, gate, self.prices)
        progress(1.0, "done")
        return points

    def refine(self, near: Sequence[Point]) -> list[Point]:
        """More points of the same chains, between the prices next to these, and with thresholds for each class."""
        points: list[Point] = []
        ratio = self.prices[1] / self.prices[0] if len(self.prices) > 1 else 2.0
        for point in near:
            if point.price is None:
                continue
            prices = np.geomspace(point.price / ratio, point.price * ratio, self.settings.refined)
            points += self.points(point.chain, point.gate, prices)
            if self.settings.per_class and self.classes * self.settings.least_rows <= len(self.counts):
                points += self.points(point.chain, point.gate, prices[::2], per_class=True)
        return points

    def points(
        self, chain: tuple[int, ...], gate: Gate, prices: NDArray[np.float64], *, per_class: bool = False
    ) -> list[Point]:
        """Policies of one chain for all prices, judged by cross-fitting."""
        stages = self.prefixes.stages(chain, gate)
        fitted = self._fit(stages, prices, self.counts, per_class)
        held = np.empty((len(prices), len(self.counts)), int)
        for fold in np.unique(self._folds):
            inside = self._folds == fold
            others = self._fit(
                [stage.at(~inside) for stage in stages], prices, self.counts[~inside], per_class, starts=1
            )
            rows = [stage.at(inside) for stage in stages]
            for index, thresholds in enumerate(others):
                held[index, inside] = stops_at(rows, thresholds)
        raw = self.prefixes.stages(chain, gate, smooth=False)
        times = np.array([stage.total_ms for stage in stages])
        losses = np.array([stage.loss for stage in stages])
        errors = np.array([stage.loss for stage in raw])
        everyone = np.arange(len(self.counts))
        points = []
        for index, (price, thresholds) in enumerate(zip(prices, fitted, strict=True)):
            if index and np.array_equal(thresholds, fitted[index - 1]):
                continue
            own = stops_at(stages, thresholds)
            drop, spread = self._paired(losses[held[index], everyone])
            points.append(
                Point(
                    chain, gate, thresholds, drop, spread, float(times[held[index]] @ self.counts),
                    float(times[own] @ self.counts), float(errors[own, everyone] @ self.counts), float(price),
                )
            )  # fmt: skip
        return points

    def _fit(
        self,
        stages: list[StageRows],
        prices: NDArray[np.float64],
        counts: NDArray[np.float64],
        per_class: bool,
        starts: int = 4,
    ) -> list[NDArray[np.float64]]:
        common = best_thresholds(stages, prices, counts, starts)
        if not per_class:
            return list(common)
        return [
            class_thresholds(
                stages, thresholds, float(price), self.classes,
                row_weights=counts, least_rows=self.settings.least_rows,
            )
            for thresholds, price in zip(common, prices, strict=True)
        ]  # fmt: skip

    def single_point(self, index: int) -> Point:
        """One network alone, as it stands."""
        chain = tuple(range(index + 1)) if self.segments else (index,)
        drop, spread = self._paired(self.prefixes.alone(index))
        ms = float(self.single_ms[index])
        wrong = float(~self.answers.right[index] @ self.counts)
        return Point(chain, Gate(), np.full(len(chain) - 1, NEVER), drop, spread, ms, ms, wrong)

    def _paired(self, loss: NDArray[np.float64]) -> tuple[float, float]:
        """What is lost against the best single network, and its standard error."""
        return mean_and_error(loss - self._single_loss, self.counts, self._units)

    def _promising(self, progress: ProgressCallback) -> list[tuple[int, ...]]:
        """The chains that are among the best at some price of time."""
        if len(self.chains) <= self.settings.most_chains:
            return self.chains
        prices = self.prices[:: max(1, len(self.prices) // 12)]
        costs = np.empty((len(self.chains), len(prices)))
        everyone = np.arange(len(self.counts))
        for done, chain in enumerate(self.chains):
            progress(done / len(self.chains), "all chains")
            stages = self.prefixes.stages(chain, self.settings.gates[0])
            stopped = np.array(
                [stops_at(stages, one) for one in best_thresholds(stages, prices, self.counts, starts=1)]
            )
            loss = np.array([stage.loss for stage in stages])[stopped, everyone]
            times = np.array([stage.total_ms for stage in stages])[stopped]
            costs[done] = loss @ self.counts + prices * (times @ self.counts)
        ranks = costs.argsort(axis=0).argsort(axis=0)
        # Those that are first at some price, then those that are second …
        order = np.lexsort((ranks.sum(axis=1), ranks.min(axis=1)))
        return [self.chains[index] for index in order[: self.settings.most_chains]]


def row_folds(answers: Answers, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, by whole groups where there are groups."""
    generator = np.random.default_rng(seed)
    units = np.arange(len(answers.y)) if answers.units is None else answers.units
    count = int(units.max()) + 1
    return (generator.permutation(count) % min(folds, count))[units]
