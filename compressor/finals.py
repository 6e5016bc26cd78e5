"""Finalists: full fine-tuning with several seeds, and the choice by validation rows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compressor.finetune import Outcome, TrainingError
from compressor.methods.base import Goal, Trial
from compressor.options import Options
from compressor.preparation import Prepared, save_model
from compressor.workspace import Workspace
from profiler.progress import ProgressCallback

_LEAST_EPOCHS = 2
_NEAR = 0.01
_MOST_RETREATS = 4


@dataclass(frozen=True)
class Chosen:
    """The widths that were chosen, and the networks trained for them.

    Attributes
    ----------
    trial
        The candidate, with what its best seed reached.
    networks
        One ``.keras`` file per seed, the best on validation first.
    scores
        Validation score of each.
    met
        Whether the goal is reached.
    """

    trial: Trial
    networks: tuple[Path, ...]
    scores: tuple[float, ...]
    met: bool


class Finals:
    """Fine-tunes the best candidates in full. Finished ones are kept and not done again.

    Parameters
    ----------
    epoch_seconds
        What an epoch takes, where it is known: schedules are shortened to fit the time that is left.
    """

    def __init__(
        self,
        prepared: Prepared,
        workspace: Workspace,
        goal: Goal,
        options: Options,
        seed: int,
        seeds: int,
        epoch_seconds: float = 0.0,
    ) -> None:
        self._prepared, self._workspace, self._goal = prepared, workspace, goal
        self._options, self._seed, self._seeds = options, seed, seeds
        self._epoch_seconds = epoch_seconds

    def run(self, trials: Sequence[Trial], deadline: float, progress: ProgressCallback) -> Chosen:
        """Choose among the best trials and train the winner with every seed.

        Under a budget the first few are trained in full, and the one with the best score wins. Under a limit
        on the score they are trained from the fastest on until one keeps the score.
        """
        contenders = self._contenders(trials)
        runs = min(len(contenders), self._options.finalists + 1) + self._seeds - 1
        done = 0
        tried: list[Trial] = []
        for trial in contenders:
            progress(min(1.0, done / runs), f"fine-tuning {trial.predicted_ms:.4g} ms")
            outcome = self._train(trial, self._seed, self._share(deadline, max(self._seeds, runs - done)))
            done += 1
            tried.append(replace(trial, score=outcome.score, loss=outcome.loss))
            if self._goal.least_score is not None and self._goal.met_by(tried[-1]):
                break
            if time.monotonic() >= deadline:
                break
        winner = max(tried, key=self._goal.rank)
        outcomes = [(self._seed, winner.score, winner.loss)]
        for seed in range(self._seed + 1, self._seed + self._seeds):
            if time.monotonic() >= deadline and not self._finished(winner, seed):
                break
            progress(min(1.0, done / runs), f"fine-tuning {winner.predicted_ms:.4g} ms, seed {seed}")
            outcome = self._train(winner, seed, self._share(deadline, self._seed + self._seeds - seed))
            done += 1
            outcomes.append((seed, outcome.score, outcome.loss))
        outcomes.sort(key=lambda item: (-item[1], item[2]))
        best = replace(winner, score=outcomes[0][1], loss=outcomes[0][2])
        paths = tuple(self._path(winner, seed) for seed, _, _ in outcomes)
        met = self._goal.met_by(best) and best.predicted_ms < self._prepared.original.predicted_ms
        return Chosen(best, paths, tuple(score for _, score, _ in outcomes), met)

    def _contenders(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials to train in full, the most wanted first.

        Under a limit on the score also faster ones that missed it narrowly, since full fine-tuning may lift
        them over it, and slower ones, in case that the fast ones fail.
        """
        met = [trial for trial in trials if self._goal.met_by(trial)]
        least = self._goal.least_score
        if least is None or not met:
            return (met or list(trials))[: self._options.finalists]
        near = [
            t for t in trials if least - _NEAR <= t.score < least and t.predicted_ms < met[0].predicted_ms
        ]
        near = sorted(near, key=lambda trial: -trial.score)[: self._options.finalists]
        return sorted(near, key=lambda trial: trial.predicted_ms) + met[:_MOST_RETREATS]

    def _share(self, deadline: float, left: int) -> float:
        """When the next run must end so that all that are left get the same time."""
        now = time.monotonic()
        return now + max(0.0, deadline - now) / max(1, left) if math.isfinite(deadline) else math.inf

    def _train(self, trial: Trial, seed: int, deadline: float) -> Outcome:
        finished = self._finished(trial, seed)
        if finished is not None:
            return Outcome(finished["score"], finished["loss"], finished["epochs"], finished["seconds"])
        schedule = self._options.final
        if self._epoch_seconds and math.isfinite(deadline):
            fits = int((deadline - time.monotonic()) / self._epoch_seconds)
            schedule = replace(schedule, epochs=max(_LEAST_EPOCHS, min(schedule.epochs, fits)))
        network = self._prepared.build(trial.widths)
        checkpoint = self._workspace.path("checkpoints", f"{self._key(trial, seed)}.npz")
        try:
            outcome = self._prepared.tuner.fit(network, schedule, seed, checkpoint, deadline)
        except TrainingError:
            # Some seeds of a bold schedule diverge; a gentler one of the same length is tried once.
            network = self._prepared.build(trial.widths)
            gentle = replace(schedule, learning_rate=schedule.learning_rate / 10)
            outcome = self._prepared.tuner.fit(network, gentle, seed, checkpoint, deadline)
        if outcome.epochs:
            self._epoch_seconds = outcome.seconds / outcome.epochs
        save_model(network, self._path(trial, seed))
        self._workspace.finish_seed(self._key(trial, seed), outcome.__dict__)
        return outcome

    def _finished(self, trial: Trial, seed: int) -> dict[str, Any] | None:
        kept = self._workspace.finished_seeds().get(self._key(trial, seed))
        return kept if kept is not None and self._path(trial, seed).exists() else None

    def _path(self, trial: Trial, seed: int) -> Path:
        return self._workspace.path("seeds", f"{self._key(trial, seed)}.keras")

    def _key(self, trial: Trial, seed: int) -> str:
        widths = "-".join(str(width) for width in trial.widths.values())
        if len(widths) > 60:
            import hashlib

            widths = hashlib.sha256(widths.encode()).hexdigest()[:16]
        return f"{widths}_seed{seed}"
