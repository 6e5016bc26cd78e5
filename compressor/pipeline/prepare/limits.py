"""What a user asks of a compression: limits, what to make small, and whether that can be reached at all."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from compressor.costs import CandidateCost, Configuration, narrowest, staircase
from compressor.pipeline.prepare.preparation import Prepared
from compressor.search import MINIMIZE, Goal, Trial, without_all
from profiler.errors import BudgetError, UsageError

_BYTES = 1000.0


@dataclass(frozen=True)
class Limits:
    """What was asked for; None where it was not.

    `budget_ms` is of predicted time, or of what stands for it (``--steer``); `max_accuracy_drop` is in hundredths of the
    validation score; units of kB are 1,000 bytes, of the ``.tflite`` file and of the activations at their peak; `minimize`,
    one of `MINIMIZE`, is what is made small while the accuracy is kept, by default time.
    """

    budget_ms: float | None = None
    max_accuracy_drop: float | None = None
    max_size_kb: float | None = None
    max_memory_kb: float | None = None
    max_energy_mj: float | None = None
    minimize: str | None = None

    def check(self) -> None:
        """Refuse what makes no sense: nothing is asked for, or a number is none that can be."""
        numbers = {name: value for name, value in asdict(self).items() if name != "minimize"}
        if all(value is None for value in numbers.values()):
            raise UsageError(
                "Give what the network may take (--budget-ms, --max-size-kb, --max-memory-kb or --max-energy-mj) "
                "or how much accuracy it may lose (--max-accuracy-drop), or both."
            )
        for name, value in numbers.items():
            if value is None:
                continue
            option = f"--{name.replace('_', '-')}"
            if name == "max_accuracy_drop":
                if not 0 <= value <= 100:
                    raise UsageError(f"{option} is 0 to 100 points, not {value:g}.")
            elif not (math.isfinite(value) and value > 0):
                raise UsageError(f"{option} must be above 0, not {value:g}.")
        if self.minimize is not None and self.minimize not in MINIMIZE:
            raise UsageError(f"--minimize is one of {', '.join(MINIMIZE)}, not {self.minimize!r}.")
        if self.minimize is not None and self.max_accuracy_drop is None:
            raise UsageError(
                f"--minimize {self.minimize} needs an accuracy to keep: say with --max-accuracy-drop how many points "
                "may be lost."
            )

    def goal(self, original: Trial) -> Goal:
        """The goal of the search, from what the network is now."""
        drop = self.max_accuracy_drop
        return Goal(
            budget_ms=self.budget_ms,
            least_score=None if drop is None else original.score - drop / 100,
            most_bytes=None if self.max_size_kb is None else _BYTES * self.max_size_kb,
            most_memory_bytes=None if self.max_memory_kb is None else _BYTES * self.max_memory_kb,
            most_energy_mj=self.max_energy_mj,
            minimize=self.minimize,
        )

    def asked(self) -> dict[str, Any]:
        """What was asked for, as plain JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def in_words(name: str, value: float) -> str:
    """A cost with its unit: ``0.5 ms``, ``12 kB``."""
    if name in ("size", "memory"):
        return f"{value / _BYTES:.4g} kB" + (" of memory" if name == "memory" else "")
    return f"{value:.4g} {'mJ' if name == 'energy' else 'ms'}"


def in_minutes(seconds: float) -> str:
    """A stretch of time: ``40 s``, ``3.2 minutes``."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} minutes"


def in_percent(share: float) -> str:
    """A share that is not nothing: ``12%``."""
    return f"{max(1, round(100 * share))}%"


def enough_minutes(minutes: float) -> int:
    """Whole minutes that will do, with some to spare."""
    return math.ceil(1.2 * minutes)


def over_in_words(value: float, limit: float) -> str:
    """How far a value is over its limit: ``12% over``, ``3.1 times that``."""
    ratio = value / limit
    return f"{100 * (ratio - 1):.0f}% over" if ratio < 2 else f"{ratio:,.3g} times that"


_LEAST_NAMES = {
    "time": "fastest",
    "size": "smallest",
    "memory": "one of least memory",
    "energy": "one of least energy",
}


def shown_ms(trial: Trial, steer: str) -> float:
    """The time of a candidate that users read: measured where measured times steer, else predicted.

    Multiplications that stand for time are on its scale and yet no time: they are never shown alone.
    """
    return trial.costs.time_ms if steer == "measured" else trial.predicted_ms


def budget_notes(goal: Goal, trial: Trial, steer: str) -> tuple[str, ...]:
    """What to know of a winner that is within its budget of multiplications and not within that of predicted time."""
    budget = goal.budget_ms
    if steer != "flops" or budget is None or not trial.costs.time_ms <= budget < trial.predicted_ms:
        return ()
    return (
        f"The budget of {in_words('time', budget)} was compared with multiplications (--steer flops): the network is "
        f"predicted to take {in_words('time', trial.predicted_ms)}, {over_in_words(trial.predicted_ms, budget)}.",
    )


def check_goal(prepared: Prepared, goal: Goal, steer: str = "time", blocks: bool = False) -> None:
    """See before any training whether there is anything to do, and whether it can be done; `blocks` may go, too."""
    costs = prepared.single_costs(goal)
    full = prepared.original.configuration
    if goal.objective == "score" and goal.excess(prepared.original) == 0:
        raise UsageError(f"{prepared.name} {_already(goal, prepared.original, steer)}: give a smaller limit.")
    for name, limit in goal.limits.items():
        smallest = least_configuration(costs[name], full, name)
        least = None if smallest is None else costs[name].exact(smallest)
        if blocks and smallest is not None and least is not None and least > limit:
            bare = narrowest(without_all(full, prepared.structures.blocks))
            try:
                smallest = min((smallest, bare), key=costs[name].exact)
            except UsageError:
                continue  # all of them cannot go together: the search sees what can
            least = costs[name].exact(smallest)
        if least is not None and least > limit:
            now = costs[name].exact(full)
            fewest = name == "time" and steer == "flops"
            predicted_ms = prepared.times.exact(smallest) if fewest and smallest is not None else None
            raise BudgetError(
                f"No network within {in_words(name, limit)} can be made of {prepared.name} by removing "
                f"{'channels or blocks' if blocks else 'channels'}: the "
                f"{'one of fewest multiplications' if fewest else _LEAST_NAMES[name]} "
                f"takes {_over(name, least, limit, steer, predicted_ms)}, "
                f"the network as it is {in_words(name, now)}; give more than {in_words(name, least)}."
            )


def least_configuration(cost: CandidateCost, full: Configuration, name: str = "time") -> Configuration | None:
    """The configuration of least cost that can be reached; None where looking is too expensive to know before a search."""
    ones = narrowest(full)
    if not cost.cheap:
        return None
    if name != "time":
        return ones
    found = staircase.fastest(cost, full, staircase.candidate_widths(cost, full))
    return min((ones, found), key=cost.exact)


def missed(
    goal: Goal,
    trial: Trial,
    original: Trial,
    mean_score: float,
    score_text: str,
    steer: str = "time",
) -> str:
    """Words on a goal that was not reached, and what came nearest (`trial`, with its score in words)."""
    costs = trial.costs.by_name
    over = {name: limit for name, limit in goal.limits.items() if (costs[name] or 0.0) > limit}
    wanted = " and ".join(in_words(name, limit) for name, limit in (over or goal.limits).items())
    points = 100 * (original.score - mean_score)
    short = goal.least_score is not None and mean_score < goal.least_score
    if over:
        takes = " and ".join(
            _over(name, costs[name] or 0.0, limit, steer, trial.predicted_ms) for name, limit in over.items()
        )
        lost = f", loses {points:.2f} points on validation rows" if short else ""
        return f"No network within {wanted} was found: the nearest takes {takes}{lost} and has {score_text}"
    allowed = 100 * (original.score - (goal.least_score if goal.least_score is not None else original.score))
    within = f" and {wanted}" if goal.limits else ""
    better = {"time": "faster", "size": "smaller"}.get(goal.objective, "better")
    return (
        f"No {better} network within {allowed:.3g} points{within} was found: the nearest loses {points:.2f} points "
        f"on validation rows at {shown_ms(trial, steer):.4g} ms ({_known_by('time', steer)})"
    )


def _known_by(name: str, steer: str) -> str:
    """How a cost is known: no device has yet run a network whose times are predicted."""
    return "measured" if name == "time" and steer == "measured" else "predicted"


def _over(name: str, value: float, limit: float, steer: str, predicted_ms: float | None) -> str:
    """A cost beyond its limit, how it is known and how far it is beyond: ``0.6 ms (predicted, 20% over)``."""
    over = over_in_words(value, limit)
    if name == "time" and steer == "flops":
        predicted = "" if predicted_ms is None else f"; predicted {in_words(name, predicted_ms)}"
        return f"{in_words(name, value)} (by its multiplications, {over}{predicted})"
    return f"{in_words(name, value)} ({_known_by(name, steer)}, {over})"


def _already(goal: Goal, original: Trial, steer: str) -> str:
    costs = original.costs.by_name
    ways = {name: _known_by(name, steer) for name in goal.limits}
    if len(set(ways.values())) > 1:
        takes = " and ".join(f"{in_words(name, costs[name] or 0.0)} ({way})" for name, way in ways.items())
        takes += " already"
    else:
        takes = " and ".join(in_words(name, costs[name] or 0.0) for name in ways)
        takes += f" already ({next(iter(ways.values()))})"
    limits = " and ".join(in_words(name, limit) for name, limit in goal.limits.items())
    one = len(goal.limits) == 1
    budget = "the budget" if one and "time" in goal.limits else "the limit" if one else "the limits"
    return f"takes {takes}, within {budget} of {limits}"
