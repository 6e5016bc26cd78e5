"""What to try next in a search that many processes share, and which trials to stop early.

All follows from the trials that there are: any process can go on from any state, and none has to ask another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compressor.search.trial import Trial
from profiler.tradeoff import halfway

_EARLY_PART = 3
_LEAST_FINISHED = 4
_GAIN_QUANTILE = 0.9
_COST_TOLERANCE = 1.02
_SAME_LEVEL = 1.001
_FRONT_EVERY = 3


@dataclass(frozen=True)
class StudyTrial:
    """A trial of the study, by what is known of it so far.

    Its state is ``finished``, ``pruned``, ``running``, or ``void``: there was nothing to train, as the widths were tried
    before or cannot be. `kind` and `level` are as in `NextTrial`, `shares` the proportions that it was made of, `widths` what
    became of them. `cost` is the number that steers, `costs` are in the order of the study's objectives. `begun`: its
    training has; `yielded`: it is void because another trial was about the same widths, and began first.
    """

    number: int
    state: str
    kind: str
    level: float
    shares: Mapping[str, float]
    widths: Mapping[str, int] | None = None
    trial: Trial | None = None
    early_score: float | None = None
    cost: float = math.inf
    costs: tuple[float, ...] = ()
    begun: bool = False
    yielded: bool = False

    def meets(self, least_score: float) -> bool:
        """Whether it keeps the score."""
        return self.trial is not None and self.trial.score >= least_score


@dataclass(frozen=True)
class NextTrial:
    """What to ask for next: its kind, and the cost to stay within (None where the sampler chooses it).

    ``propose``: the `attempt`-th best proposal by kept importance at this level (within a budget: of those not tried).
    ``aim``: shares that promise the best score at this level. ``front``: whatever promises to push the Pareto front.
    """

    kind: str
    level: float | None = None
    attempt: int = 0


def settled(past: Sequence[StudyTrial]) -> list[StudyTrial]:
    """The same trials, but those that yielded to another say what came of that one, or that it runs."""
    found = []
    for one in past:
        if one.yielded:
            same = [other for other in past if other is not one and other.widths == one.widths]
            ended = [other.trial for other in same if other.state == "finished"]
            if ended:
                one = replace(one, trial=ended[0])
            elif any(other.state == "running" for other in same):
                one = replace(one, state="running")
        found.append(one)
    return found


def next_within(past: Sequence[StudyTrial], trials: int, budget: float) -> NextTrial:
    """The next step towards the best score within a budget.

    The first half are proposals; then Optuna's own, two of three at the budget and one anywhere below.
    """
    asked, first = len(past), max(1, trials // 2)
    if asked < first:
        return NextTrial("propose", budget)
    return _improve(asked - first, budget)


def next_least(
    past: Sequence[StudyTrial],
    least: float,
    whole: float,
    least_score: float,
    count: Callable[[float], int],
    close: float,
) -> NextTrial:
    """The next step towards the least cost at a score: by halving on the scale of ratios, then below what was found.

    Where other processes try a level already, the widest gap between such levels is halved. `least` and `whole` are the
    least cost that can be reached and that of the network as it is; `count` proposals at a level may miss the score.
    """
    low, high = least / close, whole
    for one in past:
        if one.meets(least_score):
            high = min(high, one.level, one.cost)
    halvings = [one for one in past if one.kind == "propose"]
    levels = sorted({one.level for one in halvings if one.level < high / _SAME_LEVEL})
    open_levels = []
    for level in levels:
        asked = [one for one in halvings if _same(one.level, level)]
        missed = [one for one in asked if one.state != "running" and not one.meets(least_score)]
        if len(missed) >= count(level):
            low = max(low, level)
        else:
            open_levels.append((level, len(asked)))
    open_levels = [(level, asked) for level, asked in open_levels if level > low]
    if high / low > close:
        for level, tried in open_levels:
            if tried < count(level):
                return NextTrial("propose", level, tried)
        edges = [low, *(level for level, _ in open_levels), high]
        gap = max(itertools.pairwise(edges), key=lambda pair: pair[1] / pair[0])
        middle = halfway(*gap, close)
        if middle is not None and count(middle):
            return NextTrial("propose", middle, 0)
    return _improve(len(past) - len(halvings), high / close)


def _improve(done: int, level: float) -> NextTrial:
    return NextTrial("front") if done % _FRONT_EVERY == _FRONT_EVERY - 1 else NextTrial("aim", level)


def early_epoch(epochs: int) -> int:
    """The epoch after which a trial is looked at; 0 for never, where it is too short for that."""
    return 0 if epochs < 2 else max(1, epochs // _EARLY_PART)


def is_hopeless(score: float, costs: Sequence[float], past: Sequence[StudyTrial]) -> bool:
    """Whether a trial with this early score is clearly dominated, so that training on would be a waste.

    It is where even with a gain as large as nine in ten finished trials had from here to their end, it would score below
    a finished one that costs no more. It waits for a few finished trials, and stops no more than half of all. Optuna's
    pruners cannot stand in for it: they refuse studies of several objectives.
    """
    finished = [one for one in past if one.state == "finished" and one.trial is not None]
    looked_at = [one for one in finished if one.early_score is not None and math.isfinite(one.trial.score)]  # type: ignore[union-attr]
    stopped = sum(one.state == "pruned" for one in past)
    if len(looked_at) < _LEAST_FINISHED or stopped >= len(finished):
        return False
    gains = [one.trial.score - one.early_score for one in looked_at]  # type: ignore[union-attr,operator]
    hoped = score + max(0.0, float(np.quantile(gains, _GAIN_QUANTILE)))
    return any(
        one.trial.score > hoped  # type: ignore[union-attr]
        and all(mine <= theirs * _COST_TOLERANCE for mine, theirs in zip(one.costs, costs, strict=True))
        for one in finished
    )


def _same(one: float, other: float) -> bool:
    return max(one, other) / min(one, other) < _SAME_LEVEL
