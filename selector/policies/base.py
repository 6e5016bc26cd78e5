"""What fitting a policy gives, and what every kind of policy that can be fitted offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from profiler.progress import ProgressCallback, silent
from selector.candidates import Answers
from selector.policies.goal import PolicyGoal
from selector.policies.replay import Replay, replay
from selector.runtime import Specification


@dataclass(frozen=True)
class PolicyPoint:
    """One policy as a row of a table: how right, and how long.

    Parameters
    ----------
    name
        Its networks in the order in which they run, such as ``"tiny > r9"``.
    kind
        ``"single"``, ``"cascade"``, ``"oracle"``, ``"ensemble"``, ``"margin cascade"``, or a plug-in's.
    accuracy
        Share of its own rows on which it is right.
    mean_ms, p50_ms, p90_ms, p99_ms, longest_ms
        Predicted time of an input; the longest is that of the worst one there can be.
    stop_shares
        Share of rows that stop at each stage.
    expected_accuracy
        Estimate for new rows, each judged by thresholds from others; None where nothing was fitted.
    dtype
        Number type of a single network; empty for others.
    """

    name: str
    kind: str
    accuracy: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    longest_ms: float
    stop_shares: tuple[float, ...] = (1.0,)
    expected_accuracy: float | None = None
    dtype: str = ""

    def times(self) -> dict[str, float]:
        """Its times by name, as a specification's `expected` holds them."""
        return {name: getattr(self, name) for name in ("mean_ms", "p50_ms", "p90_ms", "p99_ms", "longest_ms")}


@dataclass(frozen=True)
class PolicyFit:
    """A fitted policy, and what else was seen on the same rows.

    Parameters
    ----------
    specification
        What is saved and runs.
    paths
        The ``.tflite`` file of each of the specification's networks, in their order.
    chosen
        The policy itself.
    front
        The policies of this kind that no other one beats in both accuracy and mean time, the fastest first.
    baselines
        Every single network, oracle, static ensemble, plain cascade: what a policy must be seen beside.
    notes
        Sentences for the user.
    """

    specification: Specification
    paths: tuple[Path, ...]
    chosen: PolicyPoint
    front: tuple[PolicyPoint, ...] = ()
    baselines: tuple[PolicyPoint, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def single(self) -> PolicyPoint:
        """The best single network, what the policy is compared with."""
        known = self.specification
        # A network on another machine may be the best one, and is not what answers where that is away.
        name = known.expected.get("single_name", known.networks[known.single].name)
        singles = [point for point in self.baselines if point.kind == "single"]
        return next(
            (point for point in singles if point.name == name), max(singles, key=lambda one: one.accuracy)
        )

    def saving(self, point: PolicyPoint) -> float:
        """How many times as fast as the best single network a policy is, by predicted mean time."""
        return self.single.mean_ms / point.mean_ms

    def to_dict(self, judged_on: str) -> dict[str, Any]:
        """As plain JSON values; `judged_on` are the rows that all of it was seen on."""
        known = self.specification

        def row(point: PolicyPoint) -> dict[str, Any]:
            return {**asdict(point), "times_as_fast": self.saving(point)}

        return {
            "device": known.device,
            "kind": known.kind,
            "judged_on": judged_on,
            "chosen": row(self.chosen),
            "front": [row(point) for point in self.front],
            "baselines": [row(point) for point in self.baselines],
            "stages": [asdict(stage) for stage in known.stages],
            "networks": [asdict(network) for network in known.networks],
            "settings": dict(known.settings),
            "expected": dict(known.expected),
            "promise": None if known.promise is None else dict(known.promise),
            "notes": list(self.notes),
        }


class Policy(ABC):
    """A kind of policy: it is fitted here; what it does at run time is in `selector.runtime`.

    A subclass sets `kind`, which its specifications carry, and fits. Where a specification has no stages, it also says by
    `replay` what the policy does on rows whose answers are known.
    """

    kind: ClassVar[str] = ""

    @abstractmethod
    def fit(
        self,
        answers: Answers,
        goal: PolicyGoal,
        *,
        inputs: Any = None,
        device: str = "",
        progress: ProgressCallback = silent,
    ) -> PolicyFit:
        """Find the policy that meets the goal best.

        Parameters
        ----------
        answers
            What each network answers on rows with labels that none was trained on.
        goal
            Accuracy or time first, and the limits.
        inputs
            The rows themselves, for policies that look at them; an array [rows, ...] or a mapping from names to arrays.
        device
            What the times are of.

        Raises
        ------
        BudgetError
            No policy meets the goal; the message names the nearest.
        """

    def replay(self, specification: Specification, answers: Answers, *, inputs: Any = None) -> Replay:
        """What a fitted policy does on rows whose answers are known; networks are found by their names."""
        return replay(specification, log_probabilities_of(specification, answers))


def log_probabilities_of(specification: Specification, answers: Answers) -> list[NDArray[np.float32]]:
    """Answers [rows, classes] of each of a specification's networks, found by name."""
    known = {
        network.name: log_p
        for network, log_p in zip(answers.networks, answers.log_probabilities, strict=True)
    }
    if answers.detector is not None:
        known[answers.detector.network.name] = answers.detector.log_probabilities
    return [known[network.name] for network in specification.networks]


def table_point(
    name: str,
    kind: str,
    right: NDArray[np.bool_],
    ms: NDArray[np.float64],
    longest_ms: float,
    *,
    row_weights: NDArray[np.float64] | None = None,
    stopped: NDArray[np.int64] | None = None,
    stages: int = 1,
    expected_accuracy: float | None = None,
    dtype: str = "",
) -> PolicyPoint:
    """A row of a table from what happened on each row; `ms` [rows]."""
    weights = np.ones(len(right)) if row_weights is None else row_weights
    shares = (1.0,)
    if stopped is not None:
        found = np.bincount(stopped, weights, stages)
        shares = tuple((found / found.sum()).tolist())
    p50, p90, p99 = quantiles(ms, (0.5, 0.9, 0.99), weights / weights.sum())
    return PolicyPoint(
        name,
        kind,
        # Divided at the end: shares of 1 / rows that are added up leave 0.9999999999999999 of rows that are all right.
        float(np.average(right, weights=row_weights)),
        float(np.average(ms, weights=row_weights)),
        p50,
        p90,
        p99,
        longest_ms,
        shares,
        expected_accuracy,
        dtype,
    )


def quantiles(
    values: NDArray[np.float64], shares: Sequence[float], counts: NDArray[np.float64]
) -> list[float]:
    """The lowest values that at least these shares of the weighted rows do not exceed."""
    order = values.argsort()
    reached = counts[order].cumsum()
    places = np.searchsorted(reached, np.asarray(shares) - 1e-9)
    return [float(values[order[min(place, len(order) - 1)]]) for place in places]
