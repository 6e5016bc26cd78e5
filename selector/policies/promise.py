"""A promise about accuracy: learn on half of the rows, then test on the other half (Angelopoulos et al. 2021).

The first half gives a path of policies, the most accurate first and then ever faster ones. The second half tests along that path
whether a policy loses more than it may, each at the full level, and stops at the first that is not shown to keep the promise: by
fixed-sequence testing no correction is needed. A policy passes only where it is shown against *every* single network, so it does
not matter which one is truly the best (an intersection-union test, no correction either).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from profiler.errors import DataError
from profiler.paired import betting_p_value, fewest_units, paired_p_value
from selector.candidates import Answers
from selector.policies.goal import PolicyGoal
from selector.policies.stages import Estimated

LONGEST_PATH = 48
_HOPELESS = 2.5
_POWER = 0.8


C = TypeVar("C", bound=Estimated)


def shown(
    right: NDArray[np.bool_],
    singles: NDArray[np.bool_],
    most: float,
    confidence: float,
    *,
    groups: NDArray[np.generic] | None = None,
    row_weights: NDArray[np.float64] | None = None,
) -> bool:
    """Whether a policy is shown to lose at most a share of accuracy against every single network.

    Parameters
    ----------
    right
        Whether the policy is right [rows], on rows that had no part in choosing it.
    singles
        Whether each single network is right [networks, rows].
    most
        Share that may be lost, 0 to 1.
    confidence
        Below 1.
    groups
        Of each row [rows]: then groups are what is independent, and each counts the same.
    row_weights
        How much each row counts [rows].
    """
    level = 1 - confidence
    if groups is not None and len(np.unique(groups)) == len(right):
        groups = None  # each row is a group of its own
    for single in singles[np.argsort(-singles.mean(axis=1), kind="stable")]:
        lost = single.astype(np.float64) - right
        if groups is not None:
            chance = betting_p_value(_by_group(lost, groups, row_weights), most)
        elif row_weights is not None:
            counts = row_weights / row_weights.mean()
            chance = betting_p_value(lost * counts, most, float(counts.max()))
        else:
            chance = paired_p_value(int((lost > 0).sum()), int((lost < 0).sum()), len(lost), most, level)
        if chance > level:
            return False
    return True


def passed_in_sequence(
    policies: Sequence[NDArray[np.bool_]],
    singles: NDArray[np.bool_],
    most: float,
    confidence: float,
    *,
    groups: NDArray[np.generic] | None = None,
    row_weights: NDArray[np.float64] | None = None,
) -> int:
    """How many policies of a path pass before the first that does not; all of them keep the promise at once.

    `policies` hold for each whether it is right [rows], in an order that these rows had no part in; else as `shown`.
    """
    for count, right in enumerate(policies):
        if not shown(right, singles, most, confidence, groups=groups, row_weights=row_weights):
            return count
    return len(policies)


def halves(answers: Answers, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of rows to learn from and to test on; no group is torn apart, and without groups each class is halved."""
    generator = np.random.default_rng(seed)
    first = np.zeros(len(answers.y), bool)
    units = answers.units
    if units is not None:
        count = int(units.max()) + 1
        first = np.isin(units, generator.permutation(count)[: count // 2])
        return first, ~first
    order = generator.permutation(len(answers.y))
    order = order[np.argsort(answers.y[order], kind="stable")]
    first[order[::2]] = True
    return first, ~first


@dataclass(frozen=True)
class Halves:
    """Rows that choose policies and rows that only test them, as masks [rows] and as answers."""

    learning: NDArray[np.bool_]
    testing: NDArray[np.bool_]
    learn: Answers
    test: Answers


def enough_halves(answers: Answers, goal: PolicyGoal, seed: int = 0) -> Halves:
    """Rows to learn from and to test on; DataError, which says how many are needed, where a promise would take more."""
    if answers.groups is not None and len(np.unique(answers.groups)) == len(answers.y):
        answers = replace(answers, groups=None)  # each row is a group of its own
    learning, testing = halves(answers, seed)
    _check_enough(answers, testing, goal)
    return Halves(learning, testing, answers.at(learning), answers.at(testing))


def allowed_drop(goal: PolicyGoal) -> float:
    """Share of accuracy that may be lost, 0 to 1."""
    return (goal.max_accuracy_drop or 0.0) / 100


def path_of(candidates: Sequence[C], goal: PolicyGoal, longest: int = LONGEST_PATH) -> list[C]:
    """The policies to test, of those on the front, the fastest first: the one that loses least, then ever faster ones that lose
    more, as far as there is hope."""
    most = allowed_drop(goal)
    hopeful = [one for one in reversed(candidates) if one.drop <= most + _HOPELESS * one.uncertainty]
    if len(hopeful) <= longest:
        return hopeful
    return [hopeful[place] for place in np.linspace(0, len(hopeful) - 1, longest).round().astype(int)]


@dataclass(frozen=True)
class Verdict:
    """How many policies of a path keep the promise; the promise as a specification holds it, else a note why none does."""

    passed: int
    promise: dict[str, Any] | None
    notes: tuple[str, ...] = ()


def verdict(
    path: Sequence[NDArray[np.bool_]],
    test: Answers,
    single: int,
    goal: PolicyGoal,
    row_weights: NDArray[np.float64] | None = None,
    *,
    alone: int,
) -> Verdict:
    """Test policies along their path; they hold whether each is right [rows] on rows that had no part in choosing them.

    `single` is the network that they are held against, `alone` the one that runs where none is shown to keep the promise.
    """
    assert goal.confidence is not None
    most, name = allowed_drop(goal), test.networks[single].name
    passed = passed_in_sequence(
        path, test.right, most, goal.confidence, groups=test.groups, row_weights=row_weights
    )
    if not passed:
        return Verdict(0, None, (_not_shown(path[0] if path else None, test, single, goal, alone),))
    promise = {
        "max_accuracy_drop": 100 * most,
        "confidence": goal.confidence,
        "rows": len(test.y),
        "sentence": sentence(100 * most, goal.confidence, name, _units(test)),
    }
    return Verdict(passed, promise)


def sentence(points: float, confidence: float, single: str, tested_on: str) -> str:
    """The promise in words."""
    return (
        f"With {100 * confidence:g}% confidence this policy loses at most {points:g} points of accuracy against {single}, or any "
        f"other of its candidates alone, on new data of the same kind (tested on {tested_on} that chose nothing)."
    )


def _units(answers: Answers) -> str:
    if answers.groups is None:
        return f"{len(answers.y):,} rows"
    return f"{len(np.unique(answers.groups)):,} groups of {len(answers.y):,} rows"


def _by_group(
    lost: NDArray[np.float64], groups: NDArray[np.generic], row_weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Mean loss of each group [groups]."""
    member = np.unique(groups, return_inverse=True)[1].ravel()
    counts = np.bincount(member, row_weights)
    return np.bincount(member, lost if row_weights is None else lost * row_weights) / counts


def _check_enough(answers: Answers, testing: NDArray[np.bool_], goal: PolicyGoal) -> None:
    assert goal.confidence is not None
    most = allowed_drop(goal)
    if most <= 0:
        return
    unit = "rows" if answers.groups is None else "groups"
    have = len(answers.y) if answers.groups is None else len(np.unique(answers.groups))
    tested = int(testing.sum()) if answers.groups is None else len(np.unique(answers.groups[testing]))
    needed = fewest_units(most, 1 - goal.confidence, groups=answers.groups is not None)
    if tested < needed:
        raise DataError(
            f"{answers.source} has {have:,} {unit}, and to promise with {100 * goal.confidence:g}% confidence that at most "
            f"{100 * most:g} points are lost takes at least {2 * needed:,} (half of them to test on): give more {unit}, allow "
            "more points, or leave the confidence out."
        )


def _not_shown(
    right: NDArray[np.bool_] | None, test: Answers, single: int, goal: PolicyGoal, alone: int
) -> str:
    """Why the best single network runs alone, and how many rows would change that."""
    assert goal.confidence is not None
    most = allowed_drop(goal)
    start = (
        f"No policy is shown with {100 * goal.confidence:g}% confidence on {_units(test)} to lose at most "
        f"{100 * most:g} points, so {test.networks[alone].name} runs alone"
    )
    if right is None:
        return f"{start}."
    lost = test.right[single].astype(float) - right
    spare = most - float(lost.mean())
    if spare <= 0 or test.groups is not None:
        return f"{start}: the most accurate policy loses {100 * float(lost.mean()):.2g} points there."
    spread = float(ndtri(goal.confidence) + ndtri(_POWER)) * float(lost.std())
    needed = 2 * math.ceil((spread / spare) ** 2)
    if needed <= 2 * len(test.y):
        return f"{start}: more rows would help."
    return f"{start}: about {needed:,} rows in all would be needed, half of them to test on."
