"""Policies judged on rows that neither their networks nor their thresholds have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.answers import Answers as Said
from benchmarks.compression.statistics import Difference, difference
from benchmarks.selection import turns
from benchmarks.selection.members import TASKS
from benchmarks.selection.rows import Fold, Held, folds, of_type
from profiler.errors import EdgetimeError
from selector.candidates import Answers
from selector.early_exits import fit_exits
from selector.policies import (
    CascadePolicy,
    EarlyExitPolicy,
    PolicyFit,
    PolicyGoal,
    PolicyPoint,
    PremodelPolicy,
    PremodelSettings,
    Replay,
    SearchSettings,
    baselines,
    fit_cascade,
)
from selector.policies.stages import GATES
from selector.runtime.premodel import kind_of

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
    """One way to choose a policy: of which networks, and for which goal.

    Parameters
    ----------
    name
        In tables.
    dtype
        Number type of the networks; ``"all"`` for both.
    against
        Number type of the single network that it is held against.
    drop_points
        Points that may be lost where time comes first.
    faster
        Where accuracy comes first: how many times as fast as the single network.
    policy
        ``"cascade"``, ``"premodel"`` or ``"exits"``.
    features
        Of a premodel: ``"inputs"`` or ``"answer"``.
    """

    name: str
    dtype: str
    against: str
    drop_points: float | None = 0.0
    faster: float | None = None
    policy: str = "cascade"
    features: str = ""


WAYS = (
    Way("float32, time first", "float32", "float32"),
    Way("float32, accuracy first", "float32", "float32", None, FASTER),
    Way("int8, time first", "int8", "int8"),
    Way("int8, accuracy first", "int8", "int8", None, FASTER),
    Way("all, time first", "all", "float32"),
    Way("float32, premodel on inputs", "float32", "float32", policy="premodel", features="inputs"),
    Way("float32, premodel on answer", "float32", "float32", policy="premodel", features="answer"),
    Way("int8, premodel on answer", "int8", "int8", policy="premodel", features="answer"),
    Way("float32, early exits", "float32", "float32", policy="exits"),
)


@dataclass(frozen=True)
class Fitted:
    """A policy for rows to choose by, and what replays it; `single` is the network among all that it is held against."""

    fit: PolicyFit
    single: int
    replay: Callable[[], Replay]


@dataclass(frozen=True)
class Judged:
    """A policy and the single network that it is held against on the same rows: classes named and predicted ms, each [rows].

    `fitted` is of the first fold.
    """

    way: Way
    seed: int
    policy: str
    rows: Said
    single_rows: Said
    ms: NDArray[np.float64]
    single_ms: float
    single: str
    stop_shares: tuple[float, ...]
    fitted: Fitted

    @property
    def ratio(self) -> float:
        """How many times less mean predicted time than the single network."""
        return self.single_ms / float(self.ms.mean())


def best_single(answers: Answers, dtype: str) -> int:
    """The most accurate network of a number type, the fastest of those that are as accurate."""
    accuracy = answers.right.mean(axis=1)
    mine = [i for i, network in enumerate(answers.networks) if network.dtype == dtype]
    return max(mine, key=lambda i: (accuracy[i], -answers.times_ms[i]))


def fit(way: Way, held: Held, fold: Fold, task: str) -> Fitted:
    """Fit a policy to the rows of a fold that choose."""
    choose, judge = fold.answers(held.choose, held.judge)
    single = best_single(choose, way.against)
    if way.policy == "exits":
        assert held.exits is not None
        segments, judged = fold.answers(*held.exits)
        name = f"{TASKS[task].with_exits}-{way.against}"
        single = [network.name for network in choose.networks].index(name)
        found = fit_exits(segments, PolicyGoal("time", max_accuracy_drop=way.drop_points), held.exits_ms)
        return Fitted(found, single, lambda: EarlyExitPolicy().replay(found.specification, judged))
    chosen, shown = of_type(choose, way.dtype), of_type(judge, way.dtype)
    single_ms = float(choose.times_ms[single])
    goal = (
        PolicyGoal("time", max_accuracy_drop=way.drop_points)
        if way.faster is None
        else PolicyGoal("accuracy", budget_ms=single_ms / way.faster)
    )
    if way.policy == "cascade":
        found = fit_cascade(chosen, goal, device="benchmark")
        return Fitted(found, single, lambda: CascadePolicy().replay(found.specification, shown))
    # Features cost least where many rows come at once, and so it is measured.
    x, judged_x = fold.inputs(held)
    features = kind_of(x) if way.features == "inputs" else way.features
    policy = PremodelPolicy(PremodelSettings(features=features, rows_at_once=turns.ROWS), nearest=True)
    found = policy.fit(chosen, goal, inputs=x, device="benchmark")
    return Fitted(found, single, lambda: policy.replay(found.specification, shown, inputs=judged_x))


def judge(way: Way, held: Held, task: str, seed: int) -> Judged | str:
    """A policy on all test rows; a sentence where the goal cannot be met."""
    if way.policy == "exits" and held.exits is None:
        return f"{task} seed {seed}: no network with exits is trained"
    count = len(held.judge.y)
    said, single_said = np.zeros(count, np.int64), np.zeros(count, np.int64)
    ms, single_ms = np.zeros(count), np.zeros(count)
    every = []
    for fold in folds(held, task):
        try:
            found = fit(way, held, fold, task)
        except EdgetimeError as error:
            return f"{task} seed {seed}, {way.name}: {error}"
        every.append(found)
        seen, numbers, single = found.replay(), fold.numbers, found.single
        said[numbers], ms[numbers] = seen.named, seen.ms
        single_said[numbers] = held.judge.log_probabilities[single, numbers].argmax(axis=1)
        single_ms[numbers] = held.judge.times_ms[single]
    test, chosen = held.judge_rows, found.fit.chosen
    return Judged(
        way, seed, chosen.name,
        Said(said, test.y, test.cluster, test.unit), Said(single_said, test.y, test.cluster, test.unit),
        ms, float(single_ms.mean()), held.judge.networks[single].name, chosen.stop_shares, every[0],
    )  # fmt: skip


def compared(judged: Sequence[Judged]) -> Difference:
    """Accuracy of the policies minus that of the single networks, over seeds."""
    return difference([(one.rows, one.single_rows) for one in judged])


def rivals(held: Held, dtype: str) -> dict[str, PolicyPoint]:
    """Best single network, oracle, ensemble and plain cascade, chosen on the very test rows, which flatters them."""
    rows = of_type(held.judge, dtype)
    single = best_single(rows, dtype)
    points = baselines(rows, single, PolicyGoal("time", max_accuracy_drop=0.0))
    return {"best single": points[single], **{one.kind: one for one in points if one.kind != "single"}}


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
    answers: Answers, points: float, splits: int, confidence: float = 0.95, *, by_group: bool = False
) -> Splits:
    """Fit policies with a promise on a random half of the rows, and see on all others whether they keep it.

    Broken is a promised policy that loses more than `points` against the best single network there, whichever that is. `silent`
    splits got the single network alone. The saving kept is of the mean time that policies fitted on the same rows without a promise
    save.
    With `by_group` whole groups are drawn, and accuracy is the mean over groups.
    """
    if not by_group:
        answers = replace(answers, groups=None)
    units = np.arange(len(answers.y)) if answers.units is None else answers.units
    broken = silent = 0
    kept, without = [], []
    for split in range(splits):
        drawn = np.random.default_rng([split, 31]).random(int(units.max()) + 1) < 0.5
        choose, rest = answers.at(drawn[units]), answers.at(~drawn[units])
        member = np.unique(units[~drawn[units]], return_inverse=True)[1].ravel()
        shares = 1 / np.bincount(member)[member] / (member.max() + 1)
        goal = PolicyGoal("time", max_accuracy_drop=points, confidence=confidence)
        found = fit_cascade(choose, goal, settings=QUICK)
        free = fit_cascade(choose, replace(goal, confidence=None), settings=QUICK)
        seen, other = (CascadePolicy().replay(one.specification, rest) for one in (found, free))
        promised = found.specification.promise is not None
        silent += not promised
        broken += (
            promised
            and float((rest.right @ shares).max() - (seen.named == rest.y) @ shares) > points / 100 + 1e-9
        )
        single_ms = float(rest.times_ms[best_single(choose, choose.networks[0].dtype)])
        kept.append(single_ms - float(seen.ms.mean()))
        without.append(single_ms - float(other.ms.mean()))
    return Splits(splits, broken, silent, float(np.mean(kept) / np.mean(without)))
