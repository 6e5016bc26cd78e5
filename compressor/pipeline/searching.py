"""The search of a compression: what is tried first, what is kept of each candidate, and what is said meanwhile."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence

from compressor.costs import Configuration, MeasuredCost
from compressor.export import save_keras
from compressor.graph import Keep
from compressor.pipeline.prepare import Evaluator, Prepared, Workspace, keep_trained, search_problem, shown_ms
from compressor.search import Candidate, Goal, SearchMethod, SearchOverError, SearchProblem, Trial
from profiler.progress import ProgressCallback


def search(
    searcher: SearchMethod,
    prepared: Prepared,
    workspace: Workspace,
    goal: Goal,
    evaluator: Evaluator,
    seed: int,
    steer: str,
    progress: ProgressCallback,
) -> tuple[list[Trial], Candidate | None]:
    """Run the method; all trials, best first, and what is trained in full beside the best."""
    deadline = evaluator.deadline
    problem = search_problem(prepared, goal, evaluator, seed, workspace.folder, workspace.trials())
    started = time.monotonic()

    def finished(trial: Trial) -> None:
        try:
            # Before the trial counts as finished: what is killed in between is tried again.
            keep_trained(workspace.folder, trial, evaluator.last, problem.trials)
        except Exception:
            workspace.add_trial(trial)  # on a full disk there may be room for a line
            raise
        workspace.add_trial(trial)
        if problem.best()[0] is trial:
            save_keras(evaluator.last, workspace.path("best_so_far.keras"))
        spent = time.monotonic() - started
        share = spent / (deadline - started) if math.isfinite(deadline) else 0.0
        share = max(share, _share_done(searcher, len(problem.trials)))
        progress(0.1 + 0.5 * min(1.0, share), _so_far(problem, steer))

    problem.on_trial, problem.on_adopted = finished, workspace.add_trial
    progress(0.1, "searching")
    try:
        _try_first(problem, quantized=prepared.precisions is not None, alive=prepared.alive)
        return searcher.run(problem), problem.control
    finally:
        if isinstance(prepared.steering, MeasuredCost):
            prepared.steering.close()  # the finalists are measured later, on a target that is opened for them


def _try_first(problem: SearchProblem, quantized: bool, alive: Mapping[str, Sequence[int]]) -> None:
    """What may do without a search, where it is within the budget; what an earlier run tried is looked up."""
    candidates: list[tuple[Configuration, Keep | None]] = []
    if quantized:
        # Quantising alone may do: then no channel has to go.
        candidates.append((problem.full, None))
    if alive:
        staying = {name: range(width) for name, width in problem.full.widths.items()} | dict(alive)
        candidates.append((problem.full.with_kept(staying), staying))
    for configuration, keep in candidates:
        if problem.budget is None or problem.cost.exact(configuration) <= problem.budget:
            with contextlib.suppress(SearchOverError):  # the method says so by itself
                problem.try_configuration(configuration, keep)


def _share_done(searcher: SearchMethod, tried: int) -> float:
    wanted = getattr(searcher, "trials", None)
    return tried / wanted if wanted else 1 - 0.85**tried


def _so_far(problem: SearchProblem, steer: str) -> str:
    best, original = problem.best()[0], problem.original
    return (
        f"{len(problem.trials)} candidates, best {shown_ms(best, steer):.4g} ms with "
        f"{best.score:.4g} (original {shown_ms(original, steer):.4g} ms, {original.score:.4g})"
    )
