"""Policies judged on rows that neither their networks nor their thresholds have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.answers import Answers as Said
from benchmarks.compression.statistics import Difference, difference
from benchmarks.selection.rows import Held, joined, of_type
from profiler.errors import EdgetimeError
from selector.candidates import Answers
from selector.policies import PolicyFit, PolicyGoal, SearchSettings, baselines, fit_cascade, replay
from selector.policies.base import log_probabilities_of
from selector.policies.stages import GATES

QUICK = SearchSettings(
    max_stages=3,
    most_networks=5,
    most_chains=4,
    gates=GATES[:1],
    per_class=False,
    prices=16,
    refined=8,
    folds=3,
    tables=False,
)
"""Of the fits of the random splits: hundreds are fitted."""

FASTER = 1.3
"""The best single network's time over the mean time within which the most accurate policy is looked for."""


@dataclass(frozen=True)
class Way:
    """One way to choose a policy: of which networks, and for which goal; `against` is the number type of the single network."""

    name: str
    dtype: str
    against: str
    drop_points: float | None = 0.0
    faster: float | None = None


WAYS = (
    Way("float32, time first", "float32", "float32"),
    Way("float32, accuracy first", "float32", "float32", None, FASTER),
    Way("int8, time first", "int8", "int8"),
    Way("int8, accuracy first", "int8", "int8", None, FASTER),
    Way("all, time first", "all", "float32"),
)


@dataclass(frozen=True)
class Judged:
    """A policy and the best single network on the same rows: classes named and predicted ms, each [rows]."""

    way: str
    task: str
    seed: int
    chain: str
    rows: Said
    single_rows: Said
    ms: NDArray[np.float64]
    single_ms: float
    single: str
    stop_shares: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times less mean predicted time than the single network."""
        return self.single_ms / float(self.ms.mean())


def goal_of(way: Way, answers: Answers, single: int) -> PolicyGoal:
    """What is asked of `fit_cascade`."""
    if way.faster is None:
        return PolicyGoal("time", max_accuracy_drop=way.drop_points)
    return PolicyGoal("accuracy", budget_ms=float(answers.times_ms[single]) / way.faster)


def best_single(answers: Answers, dtype: str) -> int:
    """The most accurate network of a number type, the fastest of those that are as accurate."""
    accuracy = answers.right.mean(axis=1)
    mine = [i for i, network in enumerate(answers.networks) if network.dtype == dtype]
    return max(mine, key=lambda i: (accuracy[i], -answers.times_ms[i]))


def folds(held: Held, task: str) -> list[tuple[Answers, Answers, NDArray[np.int64]]]:
    """Rows to choose by, rows to judge on, and the numbers of these among the test rows.

    Images: both halves of the test rows in turns, each judged by what the other half and the validation rows chose, since the
    validation rows alone are few. Else test people are judged by what was chosen on validation people.
    """
    count = len(held.judge.y)
    if task != "image":
        return [(held.choose, held.judge, np.arange(count))]
    side = np.random.default_rng(23).permutation(count) % 2
    return [
        (
            joined(held.choose, held.judge.at(side != one)),
            held.judge.at(side == one),
            np.flatnonzero(side == one),
        )
        for one in (0, 1)
    ]


def fit(way: Way, answers: Answers) -> PolicyFit:
    """A policy for rows to choose by."""
    chosen = of_type(answers, way.dtype)
    single = best_single(answers, way.against)
    return fit_cascade(chosen, goal_of(way, answers, single), device="benchmark")


def judge(way: Way, held: Held, task: str, seed: int) -> Judged | str:
    """A policy on all test rows; a sentence where the goal cannot be met."""
    count = len(held.judge.y)
    said, single_said = np.zeros(count, np.int64), np.zeros(count, np.int64)
    ms, single_ms = np.zeros(count), np.zeros(count)
    chain, single_name, shares = "", "", ()
    for choose, rows, numbers in folds(held, task):
        try:
            found = fit(way, choose)
        except EdgetimeError as error:
            return f"{task} seed {seed}, {way.name}: {error}"
        seen = replay(found.specification, log_probabilities_of(found.specification, rows))
        single = best_single(choose, way.against)
        said[numbers], ms[numbers] = seen.named, seen.ms
        single_said[numbers] = rows.log_probabilities[single].argmax(axis=1)
        single_ms[numbers] = rows.times_ms[single]
        chain, single_name, shares = found.chosen.name, rows.networks[single].name, found.chosen.stop_shares
    test = held.judge_rows
    return Judged(
        way.name, task, seed, chain,
        Said(said, test.y, test.cluster, test.unit), Said(single_said, test.y, test.cluster, test.unit),
        ms, float(single_ms.mean()), single_name, shares,
    )  # fmt: skip


def compared(judged: Sequence[Judged]) -> Difference:
    """Accuracy of the policies minus that of the best single networks, over seeds."""
    return difference([(one.rows, one.single_rows) for one in judged])


def rivals(held: Held, dtype: str) -> str:
    """Oracle, ensemble and plain cascade, chosen on the very test rows, which flatters them."""
    rows = of_type(held.judge, dtype)
    single = best_single(rows, rows.networks[0].dtype if dtype == "all" else dtype)
    points = baselines(rows, single, PolicyGoal("time", max_accuracy_drop=0.0))
    return "; ".join(
        f"{one.kind} {one.accuracy:.2%} in {one.mean_ms:.4f} ms" for one in points if one.kind != "single"
    )


def disagreement(answers: Answers) -> float:
    """Share of rows on which not all networks name the same class."""
    named = answers.log_probabilities.argmax(axis=2)
    return float((named != named[0]).any(axis=0).mean())


@dataclass(frozen=True)
class Splits:
    """A promise put to the test: how often it was broken, and what it costs in time."""

    splits: int
    broken: int
    silent: int
    saving_kept: float


def promise(
    answers: Answers, points: float, splits: int, confidence: float = 0.95, share: float = 0.5
) -> Splits:
    """Fit policies with a promise on a random share of the rows, and see on all others whether they keep it.

    Broken is a policy that loses more than `points` against the best single network there, whichever that is. `silent` splits
    got the single network alone. The saving kept is of the mean time that policies fitted on the same rows without a promise save.
    """
    broken = silent = 0
    kept, without = [], []
    for split in range(splits):
        chosen = np.random.default_rng([split, 31]).random(len(answers.y)) < share
        choose, rest = replace(answers.at(chosen), groups=None), answers.at(~chosen)
        goal = PolicyGoal("time", max_accuracy_drop=points, confidence=confidence)
        found = fit_cascade(choose, goal, settings=QUICK)
        free = fit_cascade(choose, replace(goal, confidence=None), settings=QUICK)
        best = float(rest.right.mean(axis=1).max())
        times = []
        for one in (found, free):
            seen = replay(one.specification, log_probabilities_of(one.specification, rest))
            times.append(float(seen.ms.mean()))
            if one is found:
                broken += best - float((seen.named == rest.y).mean()) > points / 100
        silent += found.specification.promise is None
        single_ms = float(rest.times_ms[best_single(choose, "float32")])
        kept.append(single_ms - times[0])
        without.append(single_ms - times[1])
    return Splits(splits, broken, silent, float(np.mean(kept) / np.mean(without)))
