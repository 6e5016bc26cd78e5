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
from compressor.search import Candidate, Goal, Trial
from compressor.training import Options, Outcome, TrainingError
from profiler.progress import ProgressCallback, silent
from profiler.records import read_arrays, write_arrays
from profiler.tradeoff import pareto_front

_OUTPUTS = "outputs"

_BISECTED = 4
"""How many candidates are expected where a score must be kept: the first, a step from it, and two halfway."""


class FinalTraining:
    """Fine-tunes candidates in full. Finished ones are kept and not done again.

    The first one is trained to its end whatever the time. After it nothing is begun that would not be finished in time by
    `epoch_seconds`, what an epoch takes where it is known; what time ended all the same does not count.
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
        self._precisions_s = 0.0
        self._done, self._left, self._share_done = 0, seeds, 0.0
        self._deadline = math.inf
        self._progress: ProgressCallback = silent
        self._precisions: dict[str, dict[str, Trial]] = {}

    def training_s(self) -> float:
        """How many seconds a training takes, and judging its files in each precision, as far as that is known."""
        return self._epoch_seconds * self._options.final.epochs + self._precisions_s

    def run(
        self,
        trials: Sequence[Trial],
        deadline: float,
        progress: ProgressCallback,
        in_proportion: Callable[[Trial, float], Trial | None] = lambda trial, ratio: None,
        control: Candidate | None = None,
    ) -> Finalist:
        """Train what `Shortlist` asks for, one seed each, and its choice with every seed.

        Where the other seeds change the choice, it goes on; where time ends, with fewer. Where nothing that was trained
        reaches the goal and there is no time for more, a network that does as the search left it is handed over.
        """
        self._deadline, self._progress = deadline, progress
        wanted = Shortlist(
            self._goal, trials, self._prepared.original, self._options.finalists, in_proportion, control
        )
        expected = (
            _BISECTED
            if self._goal.least_score is not None
            else min(len(trials), wanted.finalists + (control is not None))
        )
        known: dict[str, Finalist] = {}
        confirmed: set[str] = set()
        while True:
            finalists = list(known.values())
            trial, found = wanted.next(finalists), None
            if trial is not None and (not known or self._is_worth_it(trial)):
                left = min(max(1, expected - len(known)) + self._seeds - 1, self._room())
                self._left = max(self._seeds, math.floor(left))
                found = self._with_seeds(trial, 1, always=not known)
            found = found or self._spare(wanted, finalists)
            if found is not None:
                known[found.trial.candidate.key] = found
                continue
            choice = wanted.choice(finalists)
            key = choice.trial.candidate.key
            if self._seeds == 1 or key in confirmed or not self._has_time(choice.trial, self._seed + 1):
                return choice
            confirmed.add(key)
            known[key] = self._with_seeds(choice.trial, self._seeds) or choice

    def _spare(self, wanted: Shortlist, known: Sequence[Finalist]) -> Finalist | None:
        """What reached the goal in the search, where nothing that was trained does: trained, or as the search left it."""
        trial = wanted.untrained(known)
        if trial is None or not is_trained(self._workspace.folder, trial.candidate):
            return None
        return self._with_seeds(trial, 1) or self._as_searched(trial)

    def one(self, trial: Trial, deadline: float, progress: ProgressCallback) -> Finalist | None:
        """Train one more candidate, with one seed; None where there is no time for it."""
        self._done, self._left, self._share_done = 0, 1, 0.0
        self._deadline, self._progress = deadline, progress
        return self._with_seeds(trial, 1)

    def _with_seeds(self, trial: Trial, seeds: int, always: bool = False) -> Finalist | None:
        """Train a candidate with as many seeds as there is time for, or whatever the time; None where that is none."""
        outcomes: list[tuple[int, Outcome]] = []
        for seed in range(self._seed, self._seed + seeds):
            if seeds > 1:
                self._left = self._seed + seeds - seed
            if always or self._has_time(trial, seed):
                outcome = self._train(trial, seed, math.inf if always else self._deadline)
                if outcome is not None:
                    outcomes.append((seed, outcome))
        return self._finalist(trial, outcomes) if outcomes else None

    def _as_searched(self, trial: Trial) -> Finalist:
        """A candidate as the search left it."""
        network = self._network(trial)
        outcome = self._prepared.tuner.fit(network, self._options.final, self._seed, None, -math.inf)
        self._keep(trial, self._seed, network)
        return self._finalist(trial, [(self._seed, outcome)])

    def _finalist(self, trial: Trial, outcomes: list[tuple[int, Outcome]]) -> Finalist:
        """What its seeds came to, as files of the precision that suits the goal best; the best on validation comes first."""
        if self._prepared.precisions is not None:
            trial, outcomes = self._in_best_precision(trial, outcomes)
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

    def _in_best_precision(
        self, trial: Trial, outcomes: list[tuple[int, Outcome]]
    ) -> tuple[Trial, list[tuple[int, Outcome]]]:
        found = [(seed, outcome, self._in_precisions(trial, seed, outcome)) for seed, outcome in outcomes]
        shared = [name for name in found[0][2] if all(name in trials for _, _, trials in found)]
        if not shared:
            found, shared = found[:1], list(found[0][2])

        def rank(name: str) -> tuple[float, ...]:
            mean = float(np.mean([trials[name].score for _, _, trials in found]))
            return self._goal.rank(replace(found[0][2][name], score=mean))

        best = max(shared, key=rank)
        judged = [
            (seed, replace(outcome, score=trials[best].score, loss=trials[best].loss))
            for seed, outcome, trials in found
        ]
        return found[0][2][best], judged

    def _in_precisions(self, trial: Trial, seed: int, outcome: Outcome) -> dict[str, Trial]:
        """A trained network as each precision makes it; worked out once."""
        key = self._key(trial, seed)
        if key not in self._precisions:
            started = time.monotonic()
            judged = replace(
                trial,
                configuration=trial.configuration.with_precision(""),
                score=outcome.score,
                loss=outcome.loss,
            )
            self._precisions[key] = self._prepared.in_precisions(judged, load_keras(self._path(trial, seed)))
            self._precisions_s = time.monotonic() - started
        return self._precisions[key]

    def others(self, points: Sequence[Finalist]) -> list[Finalist]:
        """The networks of some points in the other precisions, as far as none of these or one another is as fast and as good."""
        known = [(one.trial, one) for one in points]
        for one in points:
            for trials in (found for key, found in self._precisions.items() if key == one.networks[0].stem):
                taken = one.trial.configuration.precision
                known += [(trial, one) for name, trial in trials.items() if name != taken]
        marks = pareto_front([trial.costs.time_ms for trial, _ in known], [trial.score for trial, _ in known])
        found = []
        for (trial, one), mark in list(zip(known, marks, strict=True))[len(points) :]:
            if mark:
                met = self._goal.met_by(trial)
                found.append(Finalist(trial, one.networks[:1], (trial.score,), met, one.error, met))
        return found

    def _is_worth_it(self, trial: Trial) -> bool:
        """Whether a further finalist was trained, or can be, and the choice with all seeds."""
        if self._finished(trial, self._seed) is not None:
            return True
        return self._room() >= self._seeds and self._has_time(trial, self._seed)

    def _room(self) -> float:
        """How many networks can be trained by the whole schedule in the time that is left."""
        if not self._epoch_seconds or not math.isfinite(self._deadline):
            return math.inf
        return max(0.0, self._deadline - time.monotonic()) / self.training_s()

    def _has_time(self, trial: Trial, seed: int) -> bool:
        """Whether it is finished, or would be in time: a network that is cut and not trained says nothing of its widths."""
        if self._finished(trial, seed) is not None:
            return True
        return time.monotonic() + self.training_s() < self._deadline

    def _train(self, trial: Trial, seed: int, deadline: float) -> Outcome | None:
        """Train by the whole schedule; None where the deadline came first."""
        finished = self._finished(trial, seed)
        if finished is not None:
            return Outcome(finished["score"], finished["loss"], finished["epochs"], finished["seconds"])
        # Where other seeds change the choice there is more to do than was expected.
        self._share_done = max(self._share_done, self._done / (self._done + self._left))
        self._progress(self._share_done, f"fine-tuning {shown_ms(trial, self._steer):.4g} ms, seed {seed}")
        network, schedule = self._network(trial), self._options.final
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
        if not outcome.complete:
            return None
        self._keep(trial, seed, network)
        self._workspace.finish_seed(self._key(trial, seed), outcome.__dict__)
        return outcome

    def _keep(self, trial: Trial, seed: int, network: Any) -> None:
        save_keras(network, self._path(trial, seed))
        self._keep_outputs(trial, seed, network)

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
        if (
            len(widths) > 60
            or trial.configuration.removed
            or trial.keep is not None
            or trial.network is not None
        ):
            widths = trial.candidate.key
        return f"{widths}_seed{seed}"
