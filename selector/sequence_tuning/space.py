"""What Optuna may try of each kind of width policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from selector.sequence import (
    DeviationWidth,
    EntropyWidth,
    LearnedWidth,
    ThresholdPruning,
    WidthPolicy,
)


def known(kind: str, widest: int) -> list[dict[str, Any]]:
    """Settings to begin with: what was good for other networks."""
    plain: dict[str, Any]
    if kind == "threshold":
        plain = {"by_token": False, "per_hypothesis": 0, "widest": widest}
        absolute = [{"rule": "absolute", "absolute": value} for value in (0.5, 1.0, 0.3, 1.5, 0.7, 2.0)]
        relative = [{"rule": "relative", "relative": value} for value in (0.1, 0.2)]
        # A beam that is never wide is cheap where one of middle width costs as much as a wide one.
        narrow = [{**one, "widest": min(3, widest)} for one in absolute[1::2]]
        return [{**plain, **one} for one in (*absolute, *narrow, *relative)]
    if kind == "learned":
        return [{"sure": value} for value in (0.9, 0.8, 0.7, 0.6, 0.5)]
    plain = {"least": 1, "widest": widest, "of": "best", "applied": "this"}
    if kind == "entropy":
        return [{**plain, "alpha": alpha, "beta": 0.5} for alpha in (1.0, 2.0, 3.0)]
    return [
        {**plain, "alpha": 2.0 * widest, "beta": beta, "k": k}
        for beta in (widest + 0.5, widest)
        for k in (3, 5)
    ]


def threshold(trial: Any, widest: int) -> WidthPolicy:
    """One distance or two, and sometimes few candidates per hypothesis."""
    rule = trial.suggest_categorical("rule", ["absolute", "relative", "both"])
    absolute = trial.suggest_float("absolute", 0.05, 6.0, log=True) if rule != "relative" else None
    relative = trial.suggest_float("relative", 0.01, 2.0, log=True) if rule != "absolute" else None
    token = (
        trial.suggest_float("token", 0.3, 8.0, log=True)
        if trial.suggest_categorical("by_token", [False, True])
        else None
    )
    each = trial.suggest_categorical("per_hypothesis", [0, 1, 2, 3])
    return ThresholdPruning(absolute, relative, token, each or None, trial.suggest_int("widest", 2, widest))


def entropy(trial: Any, widest: int) -> WidthPolicy:
    """All open points of the paper."""
    return EntropyWidth(
        alpha=trial.suggest_float("alpha", 0.1, 8.0, log=True),
        beta=trial.suggest_float("beta", -1.0, 2.0),
        **_confidence(trial, widest),
    )


def deviation(trial: Any, widest: int) -> WidthPolicy:
    """All open points of the paper."""
    return DeviationWidth(
        alpha=-trial.suggest_float("alpha", 1.0, 60.0, log=True),
        beta=trial.suggest_float("beta", 0.5, 20.0),
        k=trial.suggest_int("k", 2, 8),
        **_confidence(trial, widest),
    )


def _confidence(trial: Any, widest: int) -> dict[str, Any]:
    return {
        "least": trial.suggest_int("least", 1, min(2, widest)),
        "widest": trial.suggest_int("widest", 2, widest),
        "of": trial.suggest_categorical("of", ["best", "mean"]),
        "applied": trial.suggest_categorical("applied", ["this", "next"]),
    }


def learned(fitted: LearnedWidth) -> Callable[[Any, int], WidthPolicy]:
    """How sure a learned policy has to be."""

    def propose(trial: Any, widest: int) -> WidthPolicy:
        return replace(fitted, sure=trial.suggest_float("sure", 0.3, 0.995))

    return propose
