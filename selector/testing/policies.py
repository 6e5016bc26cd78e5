"""A suite that every kind of policy must pass, those of this package and your own.

In a project of your own this is one test::

    def test_my_policy_passes_the_suite():
        check_policy(MyPolicy)

Where something is wrong, the AssertionError says what, and a note says in which of `CHECKS`. To pass, a policy must: give a
specification whose parts fit together and of its own kind; expect just what its replay does on the same rows; lose no more than
it may and be no slower than the single network; keep to a mean and to a longest time, or raise BudgetError; be the same for the
same rows; and not win on its own rows what it loses on new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.errors import BudgetError, EdgetimeError
from selector.candidates import Answers
from selector.policies import Policy, PolicyFit, PolicyGoal, Replay
from selector.testing.synthetic import synthetic_answers

_ROWS = 1200
_NEW_ROWS = 20_000
_LUCK = 0.02
"""Accuracy that may be lost on new rows beyond what was allowed."""


@dataclass
class PolicyCase:
    """A policy, made anew by `make`, with rows to fit it to and new ones to see it on."""

    make: Callable[[], Policy]
    answers: Answers
    new: Answers
    inputs: Any = None
    new_inputs: Any = None
    fits: dict[PolicyGoal, PolicyFit] = field(default_factory=dict)

    def fit(self, goal: PolicyGoal) -> PolicyFit:
        """The policy fitted to a goal, once."""
        if goal not in self.fits:
            self.fits[goal] = self.make().fit(self.answers, goal, inputs=self.inputs, device="abacus")
        return self.fits[goal]

    def replay(self, fit: PolicyFit) -> Replay:
        """What a fitted policy does on the rows that it was fitted to."""
        return self.make().replay(fit.specification, self.answers, inputs=self.inputs)


GOALS = (
    PolicyGoal("time", max_accuracy_drop=1.0),
    PolicyGoal("time", max_accuracy_drop=5.0),
    PolicyGoal("accuracy"),
)


def check_policy(
    make: Callable[[], Policy],
    answers: tuple[Answers, Answers] | None = None,
    inputs: tuple[Any, Any] | None = None,
    leave_out: tuple[str, ...] = (),
) -> None:
    """Put a kind of policy through everything that is asked of one.

    Parameters
    ----------
    make
        Makes the policy anew, such as its class.
    answers
        Answers to fit to and, of the same networks, to see it on; default: synthetic ones.
    inputs
        The rows themselves of both, for a policy that looks at them.
    leave_out
        Names of `CHECKS` that are not made.

    Raises
    ------
    AssertionError
        It does something wrong; the message says what, a note in which check.
    """
    fitted, new = answers or (synthetic_answers(_ROWS, 1), synthetic_answers(_NEW_ROWS, 2))
    case = PolicyCase(make, fitted, new, *(inputs or (None, None)))
    for name, check in CHECKS.items():
        if name in leave_out:
            continue
        try:
            check(case)
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"in the check {name!r} of the suite for policies")
            raise


def check_specification(case: PolicyCase) -> None:
    """Its specification is of its kind, and its parts fit together."""
    kind = case.make().kind
    assert kind, "the policy has no kind"
    for goal in GOALS:
        fit = case.fit(goal)
        specification = fit.specification
        assert specification.kind == kind, (
            f"a policy of kind {kind!r} gives a specification of {specification.kind!r}"
        )
        assert specification.device == "abacus", "the specification is not of the device that was given"
        count = len(specification.networks)
        assert count == len(fit.paths), f"{count} networks and {len(fit.paths)} files"
        assert 0 <= specification.single < count, "the single network is none of its networks"
        assert len({one.name for one in specification.networks}) == count, "two of its networks are the same"
        for place, stage in enumerate(specification.stages):
            last = place == len(specification.stages) - 1
            assert 0 <= stage.network < count, f"stage {place} runs none of its networks"
            assert len(stage.weights) == place + 1, f"stage {place} has {len(stage.weights)} weights"
            assert (stage.threshold is None) == last, "the last stage, and no other, has no threshold"


def check_expectations(case: PolicyCase) -> None:
    """What it expects is what it does on the same rows."""
    for goal in GOALS:
        fit = case.fit(goal)
        expected, seen = fit.specification.expected, case.replay(fit)
        best = case.answers.right.mean(axis=1).max()
        counts = np.bincount(seen.stopped, minlength=len(expected["stop_shares"])) / len(case.answers.y)
        for name, found in {
            "accuracy": (seen.named == case.answers.y).mean(),
            "mean_ms": seen.ms.mean(),
            "longest_ms": seen.longest_ms,
            "rows": len(case.answers.y),
            "single_accuracy": best,
        }.items():
            assert np.isclose(expected[name], found), (
                f"it expects {name} {expected[name]:g}, and it is {found:g}"
            )
        assert np.allclose(expected["stop_shares"], counts), "its rows stop elsewhere than it expects"
        assert seen.ms.max() <= seen.longest_ms * (1 + 1e-9), "a row takes longer than its longest time"
        assert (
            expected["p50_ms"]
            <= expected["p90_ms"]
            <= expected["p99_ms"]
            <= expected["longest_ms"] * (1 + 1e-9)
        )


def check_goal(case: PolicyCase) -> None:
    """It loses no more than it may on its own rows, and is no slower than the best single network."""
    for goal in GOALS:
        expected = case.fit(goal).specification.expected
        allowed = (goal.max_accuracy_drop or 0.0) / 100
        lost = expected["single_accuracy"] - expected["accuracy"]
        assert lost <= allowed + 1e-9, f"it loses {100 * lost:.2g} points, and {100 * allowed:g} were allowed"
        assert expected["mean_ms"] <= expected["single_ms"] * (1 + 1e-9), (
            "it is slower than the best single network"
        )


def check_limits(case: PolicyCase) -> None:
    """It keeps to mean and longest times, and says where none can be kept."""
    single_ms = case.fit(GOALS[0]).specification.expected["single_ms"]
    for goal in (
        PolicyGoal("accuracy", budget_ms=0.4 * single_ms),
        PolicyGoal("accuracy", longest_ms=0.9 * single_ms),
        PolicyGoal("time", longest_ms=1.1 * single_ms, max_accuracy_drop=3.0),
    ):
        expected = case.fit(goal).specification.expected
        for name, limit in (("mean_ms", goal.budget_ms), ("longest_ms", goal.longest_ms)):
            if limit is not None:
                assert expected[name] <= limit * (1 + 1e-6), (
                    f"{name} is {expected[name]:g}, and {limit:g} was allowed"
                )
    try:
        case.fit(PolicyGoal("accuracy", budget_ms=1e-6 * single_ms))
    except BudgetError:
        pass
    else:
        raise AssertionError("it meets a budget that no network meets")


def check_same(case: PolicyCase) -> None:
    """The same rows give the same policy."""
    first = case.fit(GOALS[0])
    again = case.make().fit(case.answers, GOALS[0], inputs=case.inputs, device="abacus")
    assert first.specification.stages == again.specification.stages, "the same rows gave another policy"
    assert first.specification.settings == again.specification.settings, "the same rows gave other settings"


def check_new_rows(case: PolicyCase) -> None:
    """On new rows it does about what it did on its own."""
    for goal in GOALS:
        fit = case.fit(goal)
        seen = case.make().replay(fit.specification, case.new, inputs=case.new_inputs)
        allowed = (goal.max_accuracy_drop or 0.0) / 100
        lost = case.new.right.mean(axis=1).max() - (seen.named == case.new.y).mean()
        assert lost <= allowed + _LUCK, (
            f"on new rows it loses {100 * lost:.2g} points, and {100 * allowed:g} were allowed"
        )
        expected = fit.specification.expected["mean_ms"]
        assert 0.8 * expected <= seen.ms.mean() <= 1.25 * expected, (
            f"on new rows it takes {seen.ms.mean():.3g} ms, and {expected:.3g} were expected"
        )


def check_few(case: PolicyCase) -> None:
    """Few rows, or a single network, give a policy or one clear sentence."""
    for answers, inputs in (
        (case.answers.at(np.arange(3)), None if case.inputs is None else case.inputs[:3]),
        (case.answers.of([0]), case.inputs),
    ):
        try:
            case.make().fit(answers, GOALS[0], inputs=inputs, device="abacus")
        except EdgetimeError:  # any other error is a crash
            continue


CHECKS: Mapping[str, Callable[[PolicyCase], None]] = {
    "specification": check_specification,
    "expectations": check_expectations,
    "goal": check_goal,
    "limits": check_limits,
    "same": check_same,
    "new rows": check_new_rows,
    "few": check_few,
}
"""By name, in the order in which they are made."""
