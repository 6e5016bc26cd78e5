"""Finalists: full fine-tuning with several seeds, and the choice by validation rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import Rows
from compressor.export import load_keras
from compressor.pipeline.final.shortlist import (
    SECOND_CHANCES,
    contenders,
    is_apart,
)
from compressor.pipeline.prepare import Prepared, Workspace, levelled, save_model, shown_ms, trained_network
from compressor.search import Goal, Trial
from compressor.training import Options, Outcome, TrainingError
from profiler.progress import ProgressCallback, silent
from profiler.records import read_arrays, write_arrays

_OUTPUTS = "outputs"
_LEAST_EPOCHS = 2
_GOOD_PART = 0.5
_WIDER = (1.3, 1.7, 2.2)
_LEAST_WIDER = 1.02
"""What a network may cost, times the nearest, where no finalist keeps the score; nearer to the cost of the original than
these go, halfway there as long as that is a step."""

_NARROWER = 0.7
_REFINED = 3
_CLOSE = 0.85
"""Cheaper networks in the chosen one's proportions: the first step down, how many are trained at most, and how near
in cost to the next one that failed is near enough."""


@dataclass(frozen=True)
class Chosen:
    """Widths that were trained in full, and the networks of every seed.

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
    error
        Standard error of the mean score less the original's (`compressor.pipeline.prepare.tolerance`).
    sure
        Whether it is reached even if the mean score is by that error too high.
    """

    trial: Trial
    networks: tuple[Path, ...]
    scores: tuple[float, ...]
    met: bool
    error: float = 0.0
    sure: bool = True

    @property
    def mean_score(self) -> float:
        """Validation score, mean over seeds."""
        return sum(self.scores) / len(self.scores)

    @property
    def low_score(self) -> float:
        """The mean score less its error: what the choice is made by where a score must be kept."""
        return self.mean_score - self.error


class Finals:
    """Fine-tunes the best candidates in full. Finished ones are kept and not done again.

    Parameters
    ----------
    epoch_seconds
        What an epoch takes, where it is known: schedules are shortened to fit the time that is left.
    steer
        What stands for time, one of `compressor.costs.network_cost.STEERINGS`; by that candidates are compared.
    luck
        By how much candidates may have missed a limit on the score in the search (`compressor.pipeline.prepare.tolerance.luck`).
    widened
        A candidate in the proportions of another one whose cost by the goal is about so many times as high; None where
        there is none.
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
        luck: float = 0.0,
        widened: Callable[[Trial, float], Trial | None] = lambda trial, ratio: None,
    ) -> None:
        self._prepared, self._workspace, self._goal = prepared, workspace, goal
        self._luck, self._widened = luck, widened
        self._options, self._seed, self._seeds = options, seed, seeds
        self._epoch_seconds, self._steer = epoch_seconds, steer
        self._runs, self._done = seeds, 0
        self._left = seeds
        self._deadline = math.inf
        self._progress: ProgressCallback = silent

    def run(self, trials: Sequence[Trial], deadline: float, progress: ProgressCallback) -> Chosen:
        """Choose among the best trials and train the winner with every seed.

        Under a budget the first few are trained in full, and the one with the best score wins. Under a limit
        on the score they are trained from the fastest on (from the best on, where the search found none that keeps it)
        until one keeps it by a margin, then cheaper ones in the proportions of the chosen one: few epochs tell the
        search little of what a network reaches. Of all that were trained the cheapest is taken that keeps the score,
        also where its neighbours in cost have a say.
        """
        self._deadline, self._progress = deadline, progress
        room = self._room() - (self._seeds - 1)
        wanted = contenders(trials, self._goal, self._options.finalists, self._luck, room)
        keeps = self._goal.least_score is not None
        likely = min(len(wanted), self._options.finalists + SECOND_CHANCES)
        self._runs = likely + self._seeds - 1 + _REFINED * keeps
        tried: list[Chosen] = []
        for position, trial in enumerate(wanted):
            if tried and not self._has_time(trial, self._seed):
                break
            self._left = max(self._seeds, self._runs - position)
            first = self._with_seeds(trial, 1)
            if keeps and first.sure and self._seeds > 1:
                first = self._with_seeds(trial, self._seeds)
            tried.append(first)
            if keeps and first.sure:
                break
        lost = keeps and not any(one.met for one in tried)
        if lost:
            tried += self._wider(max(tried, key=self._standing).trial)
        if keeps:
            tried = self._narrowed(tried)
        chosen = self._confirmed(tried)
        if keeps and not (lost or chosen.met):  # its first seed was lucky, and so were those of all others
            chosen = self._confirmed([*tried, *self._wider(chosen.trial)])
        return chosen

    def _confirmed(self, tried: Sequence[Chosen]) -> Chosen:
        """The nearest with all seeds, which may show that its first one was lucky: then another may be nearest."""
        known = list(tried)
        confirmed: list[Chosen] = []
        while True:
            nearest = self._nearest(known)
            if any(nearest is one for one in confirmed):
                return nearest
            if confirmed and self._failed(nearest):
                return self._nearest(confirmed)
            confirmed.append(self._with_seeds(nearest.trial, self._seeds))
            known = [confirmed[-1] if one is nearest else one for one in known]

    def _narrowed(self, tried: list[Chosen]) -> list[Chosen]:
        """With cheaper networks than the nearest, in its proportions: below it, then between it and what surely failed.

        One that missed the limit by no more than its error does not bar the way down: it may have had bad luck.
        """
        for done in range(_REFINED):
            nearest = self._nearest(tried)
            narrower = self._narrower(nearest, tried) if nearest.met else None
            if narrower is None or self._goal.excess(narrower) > 0:
                break
            spare = self.is_trained(narrower) or self._room() > self._seeds
            if not (spare and self._has_time(narrower, self._seed)):
                break
            self._left = self._seeds + _REFINED - done
            tried = [*tried, self._with_seeds(narrower, 1)]
        return tried

    def _narrower(self, nearest: Chosen, tried: Sequence[Chosen]) -> Trial | None:
        """The next cheaper network to try: bounded by what surely failed, else by the next cheaper one; None for none."""
        cost = self._cost(nearest)
        cheaper = [one for one in tried if self._cost(one) < cost]
        bars = [one for one in cheaper if self._failed(one)], cheaper
        floors = [max(map(self._cost, barring), default=0.0) for barring in bars]
        for below in dict.fromkeys(floors):  # where both are the same it is asked for once
            ratio = math.sqrt(below / cost) if below else _NARROWER
            found = self._widened(nearest.trial, ratio) if ratio <= _CLOSE else None
            between = found is not None and below < self._goal.cost(found) < cost
            if found is not None and between and is_apart(found, [one.trial for one in tried], self._goal):
                return found
        return None

    def _failed(self, one: Chosen) -> bool:
        """Whether a network misses the limit on the score by more than its error."""
        least = self._goal.least_score
        return not one.met and least is not None and not one.mean_score + one.error >= least

    def _cost(self, one: Chosen) -> float:
        return self._goal.cost(one.trial)

    def _wider(self, trial: Trial) -> list[Chosen]:
        """Where no finalist keeps the score: dearer networks in the proportions of the nearest, until one does."""
        found: list[Chosen] = []
        whole = self._goal.cost(self._prepared.original)
        for position, ratio in enumerate(_wider_ratios(whole / self._goal.cost(trial))):
            wider = self._widened(trial, ratio)
            if wider is None or self._goal.cost(wider) >= whole:
                break
            if self._goal.excess(wider) > 0 or not self._has_time(wider, self._seed):
                break
            self._left = self._seeds + len(_WIDER) - position
            found.append(self._with_seeds(wider, 1))
            if found[-1].met:
                break
        return found

    def one(self, trial: Trial, deadline: float, progress: ProgressCallback) -> Chosen | None:
        """Train one more candidate, with one seed; None where there is no time for it."""
        self._runs, self._done, self._left = 1, 0, 1
        self._deadline, self._progress = deadline, progress
        if not self._has_time(trial, self._seed):
            return None
        found = self._with_seeds(trial, 1)
        return found if self.is_trained(trial) else None

    def is_trained(self, trial: Trial) -> bool:
        """Whether a candidate was trained in full with one seed at least."""
        return self._finished(trial, self._seed) is not None

    def _nearest(self, tried: Sequence[Chosen]) -> Chosen:
        """The best; under a limit on the score the cheapest that keeps it and is no lucky draw.

        On few rows a score is partly luck, the cost is not: scores are drawn halfway to those of the neighbours in cost
        (`compressor.pipeline.prepare.levelled`). Of too few for that, or if none goes on keeping the limit, the cheapest is taken
        that surely keeps it, or is not told apart from the best (the rule of one standard error; Breiman et al., 1984).
        """
        best, least = max(tried, key=self._standing), self._goal.least_score
        if least is None or not best.met:
            return best
        costs = [self._cost(one) for one in tried]
        scores = levelled([one.mean_score for one in tried], costs, [one.error for one in tried], least)
        kept = [one for one, score in zip(tried, scores or (), strict=False) if one.met and score >= least]
        enough = best.mean_score - best.error
        alike = [one for one in tried if one.met and (one.sure or one.mean_score >= enough)]
        return min(kept or alike or [best], key=self._cost)

    def _standing(self, chosen: Chosen) -> tuple[float, ...]:
        """What is compared where nobody was sure to reach the goal; the largest wins."""
        if self._goal.least_score is None:
            return float(chosen.met), chosen.mean_score, -chosen.trial.loss
        return float(chosen.met), chosen.low_score, -chosen.trial.loss

    def _with_seeds(self, trial: Trial, seeds: int) -> Chosen:
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
        mean = replace(trial, score=sum(scores) / len(scores), loss=outcomes[0][1].loss)
        met = self._goal.met_by(mean) and self._gains(trial)
        best = replace(trial, score=scores[0], loss=outcomes[0][1].loss)
        networks = tuple(self._path(trial, seed) for seed, _ in outcomes)
        sure = met and self._goal.met_by(replace(mean, score=mean.score - error))
        return Chosen(best, networks, scores, met, error, sure)

    def _gains(self, trial: Trial) -> bool:
        """Whether a candidate is cheaper than the original, where something is to be made small."""
        goal = self._goal
        return goal.objective == "score" or goal.cost(trial) < goal.cost(self._prepared.original)

    def _has_time(self, trial: Trial, seed: int) -> bool:
        """Whether it is worth beginning: a network cut and hardly trained says nothing of its widths."""
        if self._finished(trial, seed) is not None:
            return True
        return time.monotonic() + _LEAST_EPOCHS * self._epoch_seconds < self._deadline

    def _room(self) -> float:
        """How many networks can be trained for half of the full schedule in the time that is left."""
        if not self._epoch_seconds:
            return math.inf
        left = max(0.0, self._deadline - time.monotonic())
        return left / (_GOOD_PART * self._options.final.epochs * self._epoch_seconds)

    def _share(self) -> float:
        """When the next run must end so that all that are left get the same time."""
        if not math.isfinite(self._deadline):
            return math.inf
        now = time.monotonic()
        return now + max(0.0, self._deadline - now) / self._left

    def _train(self, trial: Trial, seed: int) -> Outcome:
        finished = self._finished(trial, seed)
        if finished is not None:
            return Outcome(finished["score"], finished["loss"], finished["epochs"], finished["seconds"])
        self._progress(
            min(1.0, self._done / self._runs),
            f"fine-tuning {shown_ms(trial, self._steer):.4g} ms, seed {seed}",
        )
        least = time.monotonic() + _LEAST_EPOCHS * self._epoch_seconds
        schedule, deadline = self._options.final, max(self._share(), min(least, self._deadline))
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
        save_model(network, self._path(trial, seed))
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


def _wider_ratios(room: float) -> list[float]:
    """What wider networks are to cost, times the one that missed the limit, where the original costs `room` times as much.

    >>> [round(ratio, 2) for ratio in _wider_ratios(1.2)]
    [1.1, 1.15, 1.17]
    """
    ratios = [ratio for ratio in _WIDER if ratio < room]
    while len(ratios) < len(_WIDER):
        last = ratios[-1] if ratios else 1.0
        halfway = math.sqrt(last * room)
        if halfway < _LEAST_WIDER * last:
            break
        ratios.append(halfway)
    return ratios
