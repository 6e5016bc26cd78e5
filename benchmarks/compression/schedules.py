"""How long everything is trained: parameters of the benchmark, the same for all methods, said in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from compressor.training import Options, Schedule

DROP_POINTS = 0.5
"""Points of validation accuracy that a method may lose for the least time, and of test accuracy for "the same"."""


@dataclass(frozen=True)
class Plan:
    """The training of one task.

    Attributes
    ----------
    original
        Of the network before anything is cut, of each width of its sweep, and of the winner's widths from
        scratch. Nothing teaches here, so `alpha` is 0.
    search
        Of a candidate.
    final
        Of a finalist.
    finalists
        Candidates that are trained in full before one is chosen.
    methods
        Constructor arguments of search methods, by name.
    last_epoch
        Whether the original is what the last epoch left, in place of the epoch that did best on validation: where scores
        on validation swing from epoch to epoch by more than may be lost, the best of many is a score that no network
        keeps, the original no more than others.
    minutes
        Most minutes for one method on one network; a bound against the unforeseen, not the schedule.
    """

    original: Schedule
    search: Schedule
    final: Schedule
    finalists: int = 1
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    minutes: float = 12.0
    last_epoch: bool = False

    def options(self) -> Options:
        """As `compress` takes them."""
        return Options(search=self.search, final=self.final, finalists=self.finalists)

    def arguments(self, method: str) -> dict[str, Any]:
        """Arguments for a method of `compressor.search.registry`."""
        return dict(self.methods.get(method, {}))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "methods": {name: dict(value) for name, value in self.methods.items()}}


def _learn(epochs: int, rate: float, batch: int = 64) -> Schedule:
    return Schedule(epochs=epochs, batch_size=batch, learning_rate=rate, patience=epochs, alpha=0.0)


ITERATIONS = 25
"""DeepIoT's and FastDeepIoT's in each of the 33 steps of the threshold; 500 in DeepIoT's authors' code."""

METHOD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "optuna": {"trials": 10},
    "deepiot": {"iterations": ITERATIONS},
    "fastdeepiot": {"iterations": ITERATIONS},
}
"""For all tasks: where a method would look at more candidates than the others, it looks at about as many."""

PLANS: dict[str, Plan] = {
    "motion": Plan(
        original=_learn(25, 3e-3),
        search=Schedule(epochs=5, batch_size=64, learning_rate=3e-3),
        final=Schedule(epochs=12, batch_size=64, learning_rate=2e-3, patience=12),
        methods=METHOD_ARGUMENTS,
    ),
    "sound": Plan(
        original=_learn(50, 3e-3),
        search=Schedule(epochs=5, batch_size=64, learning_rate=3e-3),
        final=Schedule(epochs=15, batch_size=64, learning_rate=2e-3, patience=15),
        methods=METHOD_ARGUMENTS,
        last_epoch=True,
    ),
    "image": Plan(
        original=_learn(24, 3e-3),
        search=Schedule(epochs=2, batch_size=64, most_rows=9000, learning_rate=2e-3),
        final=Schedule(epochs=6, batch_size=64, learning_rate=2e-3, patience=6),
        methods=METHOD_ARGUMENTS,
        minutes=15.0,
    ),
}
PLANS["image-mobile"] = replace(PLANS["image"], original=_learn(25, 3e-3))
PLANS["sound-attention"] = replace(PLANS["sound"], original=_learn(60, 2e-3))

SHORTENED = (
    f"DeepIoT's authors train the compressor for 33 steps of 500 iterations: here {ITERATIONS} in a step at ten times the "
    "rates and more, with the original as the critic's teacher, DeepIoT and FastDeepIoT alike (on these networks that is "
    "far better than the authors' rates in as many iterations). Every method has the same schedules for candidates and "
    "finalists, those below."
)


def shortened(plan: Plan, factor: float) -> Plan:
    """The plan with so many times the epochs, at least one: to try things out."""

    def scaled(schedule: Schedule) -> Schedule:
        epochs = max(1, round(factor * schedule.epochs))
        return replace(schedule, epochs=epochs, patience=max(1, min(schedule.patience, epochs)))

    return replace(plan, original=scaled(plan.original), search=scaled(plan.search), final=scaled(plan.final))


def told(name: str, plan: Plan) -> str:
    """The plan in one line."""

    def line(schedule: Schedule) -> str:
        rows = f" of {schedule.most_rows:,} rows" if schedule.most_rows else ""
        return f"{schedule.epochs} epochs{rows}, rate {schedule.learning_rate:g}, batch {schedule.batch_size}"

    last = ", the last one's weights" if plan.last_epoch else ""
    return (
        f"{name}: original {line(plan.original)}{last}; candidates {line(plan.search)}; "
        f"{plan.finalists} finalist{'s' * (plan.finalists != 1)} {line(plan.final)}, distilled"
    )
