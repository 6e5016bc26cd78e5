"""Full fine-tuning: finalists with their seeds, the time that each gets, and what is kept of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import Rows
from compressor.export import load_keras, save_keras
from compressor.pipeline.final.shortlist import Finalist, Shortlist
from compressor.pipeline.prepare import Prepared, Workspace, is_trained, shown_ms, trained_network
from compressor.search import Goal, Trial
from compressor.training import Options, Outcome, TrainingError
from profiler.progress import ProgressCallback, silent
from profiler.records import read_arrays, write_arrays

_OUTPUTS = "outputs"
_LEAST_EPOCHS = 2
_GOOD_PART = 0.5
"""Share of the schedule that a further finalist must have time for."""

_BISECTED = 4
"""How many candidates are expected where a score must be kept: the first, a step from it, and two halfway."""


class FinalTraining:
    """Fine-tunes candidates in full. Finished ones are kept and not done again.

    `epoch_seconds`, what an epoch takes where it is known, shortens schedules to fit the time that is left.
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
        steer: str = "time",
    ) -> None:
        self._prepared, self._workspace, self._goal = prepared, workspace, goal
        self._options, self._seed, self._seeds = options, seed, seeds
        self._epoch_seconds, self._steer = epoch_seconds, steer
        self._done, self._left, self._share_done = 0, seeds, 0.0
        self._deadline = math.inf
        self._progress: ProgressCallback = silent

    def run(
        self,
        trials: Sequence[Trial],
        deadline: float,
        progress: ProgressCallback,
        in_proportion: Callable[[Trial, float], Trial | None] = lambda trial, ratio: None,
    ) -> Finalist:
        """Train what `Shortlist` asks for, one seed each, and its choice with every seed.

        Where the other seeds change the choice, it goes on; it ends early where time does. The best trial comes first.
        """
        self._deadline, self._progress = deadline, progress
        wanted = Shortlist(
            self._goal, trials, self._prepared.original, self._options.finalists, in_proportion
        )
        expected = _BISECTED if self._goal.least_score is not None else min(len(trials), wanted.finalists)
        known: dict[str, Finalist] = {}
        confirmed: set[str] = set()
        while True:
            trial = self._next(wanted, list(known.values()))
            if trial is not None:
                left = min(max(1, expected - len(known)) + self._seeds - 1, self._room())
                self._left = max(self._seeds, math.floor(left))
                known[trial.candidate.key] = self._with_seeds(trial, 1)
                continue
            choice = wanted.choice(list(known.values()))
            key = choice.trial.candidate.key
            if self._seeds == 1 or key in confirmed or not self._has_time(choice.trial, self._seed + 1):
                return choice
            confirmed.add(key)
            known[key] = self._with_seeds(choice.trial, self._seeds)

    def _next(self, wanted: Shortlist, known: Sequence[Finalist]) -> Trial | None:
        """What is asked for, if there is time; else what may be handed over as the search left it, if that is needed."""
        trial = wanted.next(known)
        if trial is not None and (not known or self._is_worth_it(trial)):
            return trial
        spare = wanted.untrained(known)
        return spare if spare is not None and is_trained(self._workspace.folder, spare.candidate) else None

    def one(self, trial: Trial, deadline: float, progress: ProgressCallback) -> Finalist | None:
        """Train one more candidate, with one seed; None where there is no time for it."""
        self._done, self._left, self._share_done = 0, 1, 0.0
        self._deadline, self._progress = deadline, progress
        if not self._has_time(trial, self._seed):
            return None
        found = self._with_seeds(trial, 1)
        return found if self._finished(trial, self._seed) is not None else None

    def _with_seeds(self, trial: Trial, seeds: int) -> Finalist:
        """Train a candidate with as many seeds as there is time for; the best on validation comes first."""
        outcomes: list[tuple[int, Outcome]] = []
        for seed in range(self._seed, self._seed + seeds):
            if seeds > 1:
                self._left = self._seed + seeds - seed
            if not outcomes or self._has_time(trial, seed):
                outcome = self._train(trial, seed)
                if not outcomes or self._finished(trial, seed) is not None:
                    outcomes.append((seed, outcome))
        outcomes.sort(key=lambda item: (-item[1].score, item[1].loss))
        scores = tuple(outcome.score for _, outcome in outcomes)
        error = 0.0
        if self._goal.least_score is not None:
            error = self._prepared.score_error([self._outputs(trial, seed) for seed, _ in outcomes])
        best = replace(trial, score=scores[0], loss=outcomes[0][1].loss)
        mean = sum(scores) / len(scores)
        goal = self._goal
        gains = goal.objective == "score" or goal.cost(trial) < goal.cost(self._prepared.original)
        met = gains and goal.met_by(replace(best, score=mean))
        sure = met and goal.met_by(replace(best, score=mean - error))
        return Finalist(
            best, tuple(self._path(trial, seed) for seed, _ in outcomes), scores, met, error, sure
        )

    def _is_worth_it(self, trial: Trial) -> bool:
        """Whether a further finalist was trained, or can be, and the choice with all seeds."""
        if self._finished(trial, self._seed) is not None:
            return True
        return self._room() >= self._seeds and self._has_time(trial, self._seed)

    def _room(self) -> float:
        """How many networks can be trained for a good part of the full schedule in the time that is left."""
        if not self._epoch_seconds or not math.isfinite(self._deadline):
            return math.inf
        left = max(0.0, self._deadline - time.monotonic())
        return left / (_GOOD_PART * self._options.final.epochs * self._epoch_seconds)

    def _has_time(self, trial: Trial, seed: int) -> bool:
        """Whether it is worth beginning: a network cut and hardly trained says nothing of its widths."""
        if self._finished(trial, seed) is not None:
            return True
        return time.monotonic() + _LEAST_EPOCHS * self._epoch_seconds < self._deadline

    def _train(self, trial: Trial, seed: int) -> Outcome:
        finished = self._finished(trial, seed)
        if finished is not None:
            return Outcome(finished["score"], finished["loss"], finished["epochs"], finished["seconds"])
        # Where other seeds change the choice there is more to do than was expected.
        self._share_done = max(self._share_done, self._done / (self._done + self._left))
        self._progress(self._share_done, f"fine-tuning {shown_ms(trial, self._steer):.4g} ms, seed {seed}")
        now = time.monotonic()
        # All runs that are left get the same time.
        share = now + max(0.0, self._deadline - now) / self._left
        least = now + _LEAST_EPOCHS * self._epoch_seconds
        schedule, deadline = self._options.final, max(share, min(least, self._deadline))
        if self._epoch_seconds and math.isfinite(deadline):
            fits = int((deadline - time.monotonic()) / self._epoch_seconds)
            schedule = replace(schedule, epochs=max(_LEAST_EPOCHS, min(schedule.epochs, fits)))
        network = self._network(trial)
        checkpoint = self._workspace.path("checkpoints", f"{self._key(trial, seed)}.npz")
        try:
            outcome = self._prepared.tuner.fit(network, schedule, seed, checkpoint, deadline)
        except TrainingError:
            # Some seeds of a bold schedule diverge; a gentler one of the same length is tried once.
            network = self._network(trial)
            gentle = replace(schedule, learning_rate=schedule.learning_rate / 10)
            outcome = self._prepared.tuner.fit(network, gentle, seed, checkpoint, deadline)
        self._done += 1
        if outcome.epochs:
            self._epoch_seconds = outcome.seconds / outcome.epochs
        save_keras(network, self._path(trial, seed))
        self._keep_outputs(trial, seed, network)
        if outcome.complete or outcome.epochs:
            self._workspace.finish_seed(self._key(trial, seed), outcome.__dict__)
        return outcome

    def _network(self, trial: Trial) -> Any:
        """The network to train: as the search left it, so that what is handed over is never worse than that."""
        folder, candidate = self._workspace.folder, trial.candidate
        trained = trained_network(folder, candidate)
        return self._prepared.network_of(candidate, folder) if trained is None else trained

    def _outputs(self, trial: Trial, seed: int) -> Rows:
        """A finished network's outputs on the validation rows."""
        found = read_arrays(self._outputs_path(trial, seed), _OUTPUTS)
        if found is None:
            return self._keep_outputs(trial, seed, load_keras(self._path(trial, seed)))
        return found.get(_OUTPUTS, found)

    def _keep_outputs(self, trial: Trial, seed: int, network: Any) -> Rows:
        if self._goal.least_score is None:
            return np.zeros(0)
        outputs = self._prepared.tuner.validation_outputs(network)
        arrays = outputs if isinstance(outputs, Mapping) else {_OUTPUTS: outputs}
        write_arrays(self._outputs_path(trial, seed), _OUTPUTS, arrays)
        return outputs

    def _outputs_path(self, trial: Trial, seed: int) -> Path:
        return self._path(trial, seed).with_suffix(".npz")

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
