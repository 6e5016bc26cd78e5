"""`tune_widths`: Optuna searches width policies for quality and time; the best fixed width is what they are held against."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from profiler.errors import EdgetimeError, UsageError
from profiler.progress import ProgressCallback, silent
from profiler.tradeoff import pareto_front
from selector.sequence import (
    FixedWidth,
    LoadedSequencePolicy,
    SequencePolicy,
    WidthPolicy,
    beam_search,
    width_policy,
)
from selector.sequence_tuning import space
from selector.sequence_tuning.costs import SequenceCosts, best_palette
from selector.sequence_tuning.evaluating import Evaluated, Judge
from selector.sequence_tuning.learning import fit_learned_width
from selector.sequence_tuning.quality import paired_difference

KINDS = ("threshold", "entropy", "deviation", "learned")

Proposal = Callable[[Any, int], WidthPolicy]
"""Makes a policy of what an Optuna trial suggests, no wider than so much."""

_LEARN_FROM = 300
"""Lines that the learned policy looks at."""

_FIRST_LOOK = 4
"""One line of so many is tried first, or one of more where that leaves `_ENOUGH`, or all where it leaves fewer than `_FEWEST`."""

_ENOUGH = 600
_FEWEST = 50

_LOST = 2
"""So many policies in a row that lose too much on all lines end the search among those that are cheaper still."""

_SLACK = 1.0
"""Points of quality that a policy may seem worse on these lines than it may be on all."""


@dataclass(frozen=True)
class TunedPoint:
    """A width policy on the development data, against the best fixed width.

    `gap` is ``(difference of quality, low, high)``, at 95% by paired bootstrap over lines.
    """

    widths: WidthPolicy
    quality: float
    mean_ms: float
    decoder_ms: float
    mean_width: float
    gap: tuple[float, float, float]
    on_front: bool

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TunedPoint:
        """What `to_dict` gave."""
        low, high = (value[f"quality_difference_{end}"] for end in ("low", "high"))
        return cls(
            width_policy(value["widths"]),
            value["quality"],
            value["mean_ms"],
            value["decoder_ms"],
            value["mean_width"],
            (value["quality_difference"], np.nan if low is None else low, np.nan if high is None else high),
            value["on_front"],
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "widths": self.widths.to_dict(),
            "quality": self.quality,
            "quality_difference": self.gap[0],
            "quality_difference_low": None if np.isnan(self.gap[1]) else self.gap[1],
            "quality_difference_high": None if np.isnan(self.gap[2]) else self.gap[2],
            "mean_ms": self.mean_ms,
            "decoder_ms": self.decoder_ms,
            "mean_width": self.mean_width,
            "on_front": self.on_front,
        }


@dataclass(frozen=True)
class Tuned:
    """What came of tuning: all points, cheapest first, the best fixed width and the policy that was chosen among them."""

    policy: SequencePolicy
    points: tuple[TunedPoint, ...]
    fixed: TunedPoint
    chosen: TunedPoint
    metric: str
    lines: int
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "metric": self.metric,
            "lines": self.lines,
            "trials": self.trials,
            "fixed": self.fixed.to_dict(),
            "chosen": self.chosen.to_dict(),
            "points": [point.to_dict() for point in self.points],
        }


def tune_widths(
    policy: LoadedSequencePolicy,
    sources: Sequence[str],
    references: Sequence[str],
    costs: SequenceCosts,
    *,
    also: Sequence[tuple[LoadedSequencePolicy, SequenceCosts]] = (),
    metric: str = "bleu",
    kinds: Sequence[str] = KINDS,
    widest: int | None = None,
    max_drop: float = 0.0,
    worst_drop: float | None = None,
    trials: int = 300,
    minutes: float = 10.0,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> Tuned:
    """Search width policies on development data.

    Parameters
    ----------
    policy
        The network with its tokens and search; its own widths do not count.
    sources, references
        Lines, and what they should become.
    costs
        What encoder and steps cost.
    also
        The same network trained from other seeds, each with what it costs: a policy is judged on the lines of all together, which
        says more than one of them.
    metric
        One of `METRICS`.
    kinds
        Kinds of policies to try beside every fixed width.
    widest
        The widest beam to try; default: the palette's.
    max_drop
        How much worse than the best fixed width the chosen policy may be, in points of the metric.
    worst_drop
        In place of it: how much worse it may be at the lower end of the difference's 95% interval.
    trials, minutes
        How many policies are tried, and for how long, over all kinds. What the network gave is remembered, so that most are tried
        without running it.
    seed
        Of the search.

    Raises
    ------
    UsageError
        There is no such kind, or nothing to tune on.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(
            f"There is no kind of width policy {unknown[0]!r} to tune: choose of {', '.join(KINDS)}."
        )
    networks = [(policy, costs), *also]
    palette = policy.network.palette
    if any(other.network.palette != palette for other, _ in also):
        raise UsageError("The networks of other seeds have other palettes: export them for the same widths.")
    judge = Judge(networks, sources, references, metric)
    if not any(0 < len(one) <= policy.network.source_longest for one in judge.tokens[0]):
        raise UsageError(
            "No line has tokens that the encoder takes: give development data that the network was made for."
        )
    if widest is not None and widest < 1:
        raise UsageError(f"The widest beam to try is 1 or wider, not {widest}.")
    most = min(widest or palette[-1], palette[-1])

    evaluated: list[Evaluated] = []
    # The widest first: the others find most of what they run in memory.
    for number, width in enumerate(range(most, 0, -1)):
        progress(0.4 * number / most, f"fixed width {width}")
        evaluated.append(judge(FixedWidth(width)))
    fixed = _best_fixed(evaluated)
    tried = 0
    if most > 1:
        outputs = len(sources) * len(networks)
        every = max(_FIRST_LOOK, outputs // _ENOUGH) if outputs >= _FIRST_LOOK * _FEWEST else 1
        first = judge(fixed.widths, every)

        proposals: dict[str, Proposal] = {
            "threshold": space.threshold,
            "entropy": space.entropy,
            "deviation": space.deviation,
        }
        if "learned" in kinds:
            proposals["learned"] = space.learned(
                fit_learned_width(
                    [(one, decoder) for (one, _), decoder in zip(networks, judge.decoders, strict=True)],
                    [tokens[:_LEARN_FROM] for tokens in judge.tokens],
                    most,
                )
            )
        asked = {kind: proposals[kind] for kind in kinds}
        searched = _search(lambda widths: judge(widths, every), asked, most, trials, minutes, seed, progress)
        tried = len(searched)
        if every > 1:
            drop = max_drop if worst_drop is None else worst_drop

            def loses(one: Evaluated) -> bool:
                gap = paired_difference(one.quality, fixed.quality)
                return gap[0] < -max_drop if worst_drop is None else gap[1] < -worst_drop

            for kind in asked:
                progress(0.7 + 0.3 * list(asked).index(kind) / len(asked), f"{kind} on all lines")
                mine = [one for one in searched if one.widths.kind == kind]
                evaluated += _on_all_lines(_promising(mine, first, drop), judge, loses)
        else:
            evaluated += searched
    progress(1.0, "comparing")
    points = _points(evaluated, fixed)
    chosen = cheapest(points, max_drop, worst_drop)
    best = next(point for point in points if point.widths == fixed.widths)
    expected = {
        "metric": metric,
        "lines": len(sources),
        "quality": chosen.quality,
        "mean_ms": chosen.mean_ms,
        "mean_width": chosen.mean_width,
        "fixed_width": int(best.widths.most),
        "fixed_quality": best.quality,
        "fixed_ms": best.mean_ms,
    }
    ran = [
        found.widths
        for source in judge.tokens[0][:_LEARN_FROM]
        if len(source) <= policy.network.source_longest
        and (found := beam_search(judge.decoders[0], source, chosen.widths, policy.policy.search)).widths
    ]
    few = best_palette(costs, ran, chosen.widths.most)
    tuned = costs.added_to(replace(policy.policy, palette=few, widths=chosen.widths, expected=expected))
    return Tuned(tuned, points, best, chosen, metric, len(sources), tried)


def _search(
    judge: Callable[[WidthPolicy], Evaluated],
    proposals: Mapping[str, Proposal],
    most: int,
    trials: int,
    minutes: float,
    seed: int,
    progress: ProgressCallback,
) -> list[Evaluated]:
    """Policies of each kind in turns, each kind with a study of its own for quality and time; the first are known to be good."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise EdgetimeError("Tuning needs Optuna: pip install optuna.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies = {}
    for kind in proposals:
        studies[kind] = optuna.create_study(
            directions=["maximize", "minimize"],
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=10),
        )
        for known in space.known(kind, most):
            studies[kind].enqueue_trial(known)
    found: list[Evaluated] = []
    until = time.monotonic() + 60 * minutes
    kinds = list(proposals)
    for number in range(trials if kinds else 0):
        if time.monotonic() > until:
            break
        kind = kinds[number % len(kinds)]
        progress(0.4 + 0.3 * number / trials, f"{kind}, {number + 1} of {trials}")
        trial = studies[kind].ask()
        one = judge(proposals[kind](trial, most))
        studies[kind].tell(trial, [one.quality.value, one.mean_ms])
        found.append(one)
    return found


def _promising(looks: Sequence[Evaluated], fixed: Evaluated, drop: float) -> list[WidthPolicy]:
    """Of one kind what no other one beats on the first lines, cheaper than the fixed width and not far worse; dearest first."""
    least = fixed.quality.value - drop - _SLACK
    good = [one for one in looks if one.mean_ms < fixed.mean_ms and one.quality.value >= least]
    mine = list({str(one.widths): one for one in good}.values())
    front = pareto_front([one.mean_ms for one in mine], [one.quality.value for one in mine])
    kept = [one for one, marked in zip(mine, front, strict=True) if marked]
    return [one.widths for one in sorted(kept, key=lambda one: -one.mean_ms)]


def _on_all_lines(
    policies: Sequence[WidthPolicy],
    judge: Callable[[WidthPolicy], Evaluated],
    loses: Callable[[Evaluated], bool],
) -> list[Evaluated]:
    """Judge policies, dearest first, until some in a row lose too much: what is cheaper still would lose more."""
    found: list[Evaluated] = []
    lost = 0
    for widths in policies:
        found.append(judge(widths))
        lost = lost + 1 if loses(found[-1]) else 0
        if lost == _LOST:
            break
    return found


def _best_fixed(evaluated: Sequence[Evaluated]) -> Evaluated:
    """The fixed width of highest quality, the narrowest of equals."""
    return max(evaluated, key=lambda one: (round(one.quality.value, 9), -one.widths.most))


def _points(evaluated: Sequence[Evaluated], fixed: Evaluated) -> tuple[TunedPoint, ...]:
    front = pareto_front([one.mean_ms for one in evaluated], [one.quality.value for one in evaluated])
    points = [
        TunedPoint(
            one.widths,
            one.quality.value,
            one.mean_ms,
            float(one.decoder_ms.mean()),
            one.mean_width,
            paired_difference(one.quality, fixed.quality)
            if marked or one is fixed or _rivals(one, fixed)
            else (one.quality.value - fixed.quality.value, np.nan, np.nan),
            marked,
        )
        for one, marked in zip(evaluated, front, strict=True)
    ]
    return tuple(sorted(points, key=lambda point: point.mean_ms))


def _rivals(one: Evaluated, fixed: Evaluated) -> bool:
    """Whether a policy is cheaper than the best fixed width, and not far worse."""
    return one.mean_ms < fixed.mean_ms and one.quality.value > fixed.quality.value - _SLACK


def cheapest(
    points: Sequence[TunedPoint], max_drop: float = 0.0, worst_drop: float | None = None
) -> TunedPoint:
    """The cheapest point that is no worse than the best fixed width by more than `max_drop`, or at 95% by `worst_drop`."""
    return min(
        (
            point
            for point in points
            if (point.gap[0] >= -max_drop - 1e-9 if worst_drop is None else point.gap[1] >= -worst_drop)
        ),
        key=lambda point: point.mean_ms,
    )
