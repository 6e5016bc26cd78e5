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
from profiler.progress import ProgressCallback, silent

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

    @property
    def mean_score(self) -> float:
        """Validation score, mean over seeds."""
        return sum(self.scores) / len(self.scores)


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
        self._runs, self._done = seeds, 0
        self._deadline = math.inf
        self._progress: ProgressCallback = silent

    def run(self, trials: Sequence[Trial], deadline: float, progress: ProgressCallback) -> Chosen:
        """Choose among the best trials and train the winner with every seed.

        Under a budget the first few are trained in full, and the one with the best score wins. Under a limit
        on the score they are trained from the fastest on until the mean over one's seeds keeps it: a single
        lucky seed does not.
        """
        contenders = self._contenders(trials)
        self._runs = min(len(contenders), self._options.finalists + 1) + self._seeds - 1
        self._deadline, self._progress = deadline, progress
        least = self._goal.least_score
        firsts: list[tuple[float, Trial]] = []
        failed: list[Chosen] = []
        for trial in contenders:
            if firsts and not self._has_time(trial, self._seed):
                break
            firsts.append((self._train(trial, self._seed).score, trial))
            if least is not None and firsts[-1][0] >= least:
                chosen = self._with_all_seeds(trial)
                if chosen.met:
                    return chosen
                failed.append(chosen)
        if failed:
            return max(failed, key=lambda chosen: chosen.mean_score)
        return self._with_all_seeds(max(firsts, key=lambda first: first[0])[1])

    def _with_all_seeds(self, trial: Trial) -> Chosen:
        """Train a candidate with every seed that there is time for; the best on validation comes first."""
        outcomes: list[tuple[int, Outcome]] = []
        for seed in range(self._seed, self._seed + self._seeds):
            if not outcomes or self._has_time(trial, seed):
                outcomes.append((seed, self._train(trial, seed)))
        outcomes.sort(key=lambda item: (-item[1].score, item[1].loss))
        scores = tuple(outcome.score for _, outcome in outcomes)
        mean = replace(trial, score=sum(scores) / len(scores), loss=outcomes[0][1].loss)
        met = self._goal.met_by(mean) and trial.predicted_ms < self._prepared.original.predicted_ms
        best = replace(trial, score=scores[0], loss=outcomes[0][1].loss)
        return Chosen(best, tuple(self._path(trial, seed) for seed, _ in outcomes), scores, met)

    def _has_time(self, trial: Trial, seed: int) -> bool:
        return time.monotonic() < self._deadline or self._finished(trial, seed) is not None

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

    def _share(self) -> float:
        """When the next run must end so that all that are left get the same time."""
        if not math.isfinite(self._deadline):
            return math.inf
        now = time.monotonic()
        return now + max(0.0, self._deadline - now) / max(self._seeds, self._runs - self._done)

    def _train(self, trial: Trial, seed: int) -> Outcome:
        finished = self._finished(trial, seed)
        if finished is not None:
            return Outcome(finished["score"], finished["loss"], finished["epochs"], finished["seconds"])
        self._progress(
            min(1.0, self._done / self._runs), f"fine-tuning {trial.predicted_ms:.4g} ms, seed {seed}"
        )
        schedule, deadline = self._options.final, self._share()
        if self._epoch_seconds and math.isfinite(deadline):
            fits = int((deadline - time.monotonic()) / self._epoch_seconds)
            schedule = replace(schedule, epochs=max(_LEAST_EPOCHS, min(schedule.epochs, fits)))
        network = self._prepared.network_of(trial.candidate, self._workspace.folder)
        checkpoint = self._workspace.path("checkpoints", f"{self._key(trial, seed)}.npz")
        try:
            outcome = self._prepared.tuner.fit(network, schedule, seed, checkpoint, deadline)
        except TrainingError:
            # Some seeds of a bold schedule diverge; a gentler one of the same length is tried once.
            network = self._prepared.network_of(trial.candidate, self._workspace.folder)
            gentle = replace(schedule, learning_rate=schedule.learning_rate / 10)
            outcome = self._prepared.tuner.fit(network, gentle, seed, checkpoint, deadline)
        self._done += 1
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
        if len(widths) > 60 or trial.keep is not None or trial.network is not None:
            widths = trial.candidate.key
        return f"{widths}_seed{seed}"
