"""A baseline: widths by a network that was trained for all widths, as slimmable networks and once-for-all are."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from compressor.costs import CandidateWidths, Configuration, staircase
from compressor.data import row_count, take
from compressor.graph import cut, without
from compressor.pipeline.prepare.quick import QuickLoss
from compressor.search import Candidate, SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.search.uniform import SnappedWidths
from compressor.training import strongest
from compressor.training.shape import make_adam
from compressor.training.supernet import Supernet

_TRAINING, _FINE_TUNING = 0.6, 0.2
"""Of the time for searching, before and after evolution."""

_PARENTS, _MOST = 8, 400


class SupernetWidths(SearchMethod):
    """Trains one network with switches at random widths (sandwich rule, the whole teaches the others), then evolves widths
    within the budget by its loss; what is best inherits its weights and is trained on.

    Without a deadline it takes `steps` of training and `candidates` of evolution.
    """

    name: ClassVar[str] = "supernet"
    trains: ClassVar[bool] = True
    share_of_time: ClassVar[float] = 0.55

    def __init__(self, steps: int = 1000, candidates: int = _MOST) -> None:
        self.steps, self.candidates = steps, candidates

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        prepared, judge = problem.context, QuickLoss(problem.context, reconstructs=False)
        judge(problem.full)  # before it is trained it is compared with the network itself
        whole_s = problem.deadline - time.monotonic()
        problem.progress(0.0, "training a network for all widths")
        with problem.effort.during("supernet"):
            train_supernet(judge.supernet, prepared, self.steps, 1e-3, problem.seed, _TRAINING * whole_s)
        end = problem.deadline - _FINE_TUNING * whole_s if math.isfinite(whole_s) else math.inf
        candidates = staircase.candidate_widths(problem.cost, problem.full)

        def proposed(level: float, attempt: int) -> Candidate | None:
            best = self._evolved(problem, judge, candidates, level, end)
            if best is None:
                return None
            model = without(prepared.model, ())
            model.set_weights(judge.supernet.model.get_weights())
            keep = strongest(prepared.importance, best.widths)
            file = f"candidates/supernet_{len(problem.trials)}.keras"
            return Candidate(best, keep, file, cut(model, keep, prepared.graph))

        least = problem.cost.exact(staircase.fastest(problem.cost, problem.full, candidates))
        search_levels(problem, proposed, least)

    def _evolved(
        self, problem: SearchProblem, judge: QuickLoss, candidates: CandidateWidths, budget: float, end: float
    ) -> Configuration | None:
        """The widths of least loss within a budget; None where there are none."""
        rng, cost, full = np.random.default_rng(problem.seed), problem.cost, problem.full
        first = SnappedWidths(cost, full).within(budget)
        if first is None:
            return None
        known = {first: judge(first)}
        for _ in range(self.candidates):
            if time.monotonic() >= end:
                break
            parents = sorted(known, key=known.__getitem__)[:_PARENTS]
            start = parents[rng.integers(len(parents))]
            times = {name: rng.uniform(0.5, 2.0) if rng.random() < 0.3 else 1.0 for name in full.widths}
            widths = {
                name: min(full.widths[name], max(1, round(width * times[name])))
                for name, width in start.widths.items()
            }
            fitted = staircase.shrink_to(
                cost, full.with_widths(widths), candidates, problem.importance, budget
            )
            if fitted is None or fitted in known or cost.exact(fitted) > budget:
                continue
            loss = judge(fitted)
            known[fitted] = loss if math.isfinite(loss) else math.inf
        return min(known, key=known.__getitem__)


def train_supernet(
    supernet: Supernet, prepared: Any, steps: int, rate: float, seed: int, seconds: float = math.inf,
    blocks: Sequence[str] = (),
) -> None:  # fmt: skip
    """Sandwich rule: the whole, the least and two random ones each step; the whole teaches the others.

    It ends after `steps`, or after so many seconds; random ones lack some of the `blocks`.
    """
    import tensorflow as tf

    end = time.monotonic() + seconds
    task, data = prepared.task, prepared.task.data
    variables = supernet.model.trainable_variables
    optimizer = make_adam(rate)
    optimizer.build(variables)
    rng = np.random.default_rng(seed)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(rows: Any, labels: Any, switches: Any) -> Any:
        with tf.GradientTape() as tape:
            taught = supernet(rows, *switches[0])
            loss = task.loss(labels, taught)
            for masks, gates in switches[1:]:
                outputs = supernet(rows, masks, gates)
                loss += task.distance(outputs, tf.stop_gradient(taught), 1.0) + 0.3 * task.loss(
                    labels, outputs
                )
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply(
            [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)],
            variables,
        )
        return loss

    def random_one(share: float | None) -> Any:
        shares = rng.uniform(0.2, 1.0) if share is None else share
        widths = {n: max(1, round(w * shares)) for n, w in prepared.graph.widths.items()}
        removed = [name for name in blocks if rng.random() < rng.uniform(0, 0.6)] if share is None else []
        return supernet.switches(strongest(prepared.importance, widths), removed)

    for _ in range(steps):
        if time.monotonic() >= end:
            break
        chosen = rng.choice(row_count(data.x), 64, replace=False)
        rows = data.augmented(take(data.x, chosen))
        step(
            rows,
            take(data.y, chosen),
            [supernet.switches({}), random_one(0.25), *(random_one(None) for _ in range(2))],
        )
