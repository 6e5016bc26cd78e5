"""Kinds of policies by name, and a made-up one that passes the suite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import BudgetError, UsageError
from profiler.progress import silent
from selector.policies import (
    POLICIES,
    CascadePolicy,
    Policy,
    PolicyFit,
    Replay,
    baselines,
    get_policy,
    policy_names,
    register_policy,
    registry,
    table_point,
)
from selector.runtime import Specification
from selector.testing import check_policy


class Cheapest(Policy):
    """Always runs the fastest network that is accurate enough: no stages, so it says itself what it does."""

    kind = "cheapest"

    def fit(self, answers, goal, *, inputs=None, device="", progress=silent):
        accuracy = answers.right.mean(axis=1)
        least = accuracy.max() - (goal.max_accuracy_drop or 0) / 100 if goal.prefer == "time" else 0
        limit = min(one or np.inf for one in (goal.budget_ms, goal.longest_ms))
        if goal.prefer == "accuracy" and limit == np.inf:
            least = accuracy.max()
        fitting = [i for i, ms in enumerate(answers.times_ms) if accuracy[i] >= least - 1e-9 and ms <= limit]
        if not fitting:
            raise BudgetError("No network is fast enough.")
        best = fitting[0] if goal.prefer == "time" else max(fitting, key=lambda i: accuracy[i])
        single = int(accuracy.argmax())
        ms = float(answers.times_ms[best])
        point = table_point(
            answers.networks[best].name, self.kind, answers.right[best], np.full(len(answers.y), ms), ms
        )
        expected = {
            "accuracy": point.accuracy,
            "single_accuracy": float(accuracy[single]),
            **point.times(),
            "single_ms": float(answers.times_ms[single]),
            "stop_shares": [1.0],
            "rows": len(answers.y),
        }
        specification = Specification(
            self.kind,
            device,
            answers.networks,
            (),
            answers.classes,
            single,
            expected,
            settings={"runs": best},
        )
        return PolicyFit(specification, answers.paths, point, (point,), baselines(answers, single, goal))

    def replay(self, specification, answers, *, inputs=None):
        runs = specification.settings["runs"]
        rows, ms = len(answers.y), float(answers.times_ms[runs])
        return Replay(
            answers.log_probabilities[runs].argmax(axis=1), np.zeros(rows, int), np.full(rows, ms), ms
        )


class Boasting(Cheapest):
    """It promises more accuracy than it has."""

    def fit(self, *arguments, **options):
        fit = super().fit(*arguments, **options)
        expected = {**fit.specification.expected, "accuracy": 1.0}
        return replace(fit, specification=replace(fit.specification, expected=expected))


class Forgetful(Cheapest):
    """It does not care for limits."""

    def fit(self, answers, goal, **options):
        return super().fit(answers, replace(goal, budget_ms=None, longest_ms=None), **options)


def test_a_made_up_policy_passes_the_suite():
    check_policy(Cheapest)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Boasting, r"it expects accuracy 1, and it is 0\.\d+"),
        (Forgetful, "mean_ms is .*, and .* was allowed"),
    ],
)
def test_the_suite_finds_a_policy_that_is_wrong(policy, message):
    with pytest.raises(AssertionError, match=message):
        check_policy(policy)


def test_every_policy_of_edgetime_is_made_by_its_name():
    for name in POLICIES:
        assert get_policy(name).kind == name
    assert isinstance(get_policy("cascade"), CascadePolicy)


def test_registered_policies_have_names_of_their_own(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    register_policy("cheapest", Cheapest)
    register_policy("cheapest", Cheapest)
    assert isinstance(get_policy("cheapest"), Cheapest)
    assert "cheapest" in policy_names()
    with pytest.raises(UsageError, match="'cascade' is taken"):
        register_policy("cascade", Cheapest)
    with pytest.raises(UsageError, match="'cheapest' is taken"):
        register_policy("cheapest", Boasting)
    with pytest.raises(UsageError, match="makes no policy"):
        register_policy("three", 3)
    register_policy("text", str)
    with pytest.raises(UsageError, match=r"is no selector\.policies\.Policy"):
        get_policy("text")
    with pytest.raises(UsageError, match="There is no policy 'magic': choose one of cascade, cheapest"):
        get_policy("magic")


def test_policies_of_other_distributions_are_found_by_their_entry_point(monkeypatch):
    class Point:
        name, dist = "found", None

        def load(self):
            return Cheapest

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Point()] if group == "edgetime.policies" else []
    )
    registry._load_plugins.cache_clear()
    assert isinstance(get_policy("found"), Cheapest)
    registry._load_plugins.cache_clear()
