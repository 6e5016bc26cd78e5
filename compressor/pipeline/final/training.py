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
from compressor.pipeline.final.contest import WHOLE, ContestPart, part_of, taking_part
from compressor.pipeline.final.halving import demand_of, halve, parts_of
from compressor.pipeline.final.shortlist import Finalist, Shortlist
from compressor.pipeline.final.time_plan import TimePlan, epoch_s_of
from compressor.pipeline.prepare import (
    Prepared,
    Workspace,
    is_trained,
    shown_ms,
    trained_network,
)
from compressor.search import Candidate, Goal, Trial
from compressor.training import Options, Outcome, TrainingError, behind
from profiler.progress import ProgressCallback, silent
from profiler.records import read_arrays, write_arrays
from profiler.tradeoff import pareto_front

_OUTPUTS = "outputs"
_CONTEST = "contest.json"

_BISECTED = 4
"""How many candidates are expected where a score must be kept: the first, a step from it, and two halfway."""


class FinalTraining:
    """Fine-tunes candidates in full. Finished trainings are kept and not done again.

    Where time is limited (`TimePlan`) trainings are as long as it allows, those that decide first; as many candidates take part
    as can be trained by the whole schedule. The control is one of them and drops out like others, so that the winner gets most
    of the time; where there is plenty it is trained to the end. Where there is not even time for whole schedules two take part;
    and one alone where the first part of their training would hardly be longer than that in the search (`searched`, in whole
    schedules) and say little new. Nothing else is begun that would get less than its schedule. `epoch_seconds` is what an epoch
    takes, where it is known. A candidate whose training diverges drops out alone; `notes` say so.
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
        searched: float = 0.0,
    ) -> None:
        self._prepared, self._workspace, self._goal = prepared, workspace, goal
        self._options, self._seed, self._seeds, self._steer = options, seed, seeds, steer
        self._searched = searched
        self._plan = TimePlan(options.final, epoch_s_of(workspace.finished_seeds()) or epoch_seconds)
        self._dropped: dict[str, str] = {}
        self._trained = self._share_done = 0.0
        self._progress: ProgressCallback = silent
        self._precisions: dict[str, dict[str, Trial]] = {}
        self._last_part = WHOLE

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was left out."""
        return tuple(self._dropped.values())

    @property
    def shortest(self) -> float:
        """The least share of its schedule that a training got; 1 where all got it whole."""
        return self._plan.shortest

    def run(
        self,
        trials: Sequence[Trial],
        deadline: float,
        progress: ProgressCallback,
        in_proportion: Callable[[Trial, float], Trial | None] = lambda trial, ratio: None,
        control: Candidate | None = None,
    ) -> Finalist:
        """Train what `Shortlist` asks for, one seed each, and its choice with every seed.

        Under a budget the first few and the control take part in a contest (`compressor.pipeline.final.halving`). Where the
        other seeds change the choice, it goes on; where time ends, with fewer. Where nothing that was trained reaches the goal
        and there is no time for more, a network that does as the search left it is handed over.
        """
        self._begin(deadline, progress)
        wanted = Shortlist(
            self._goal, trials, self._prepared.original, self._options.finalists, in_proportion, control
        )
        known: dict[str, Finalist] = {}
        confirmed: set[str] = set()
        if self._goal.least_score is None:
            known = {one.trial.candidate.key: one for one in self._contest(wanted)}
        while True:
            wanted = replace(wanted, dropped=frozenset(self._dropped))
            finalists = list(known.values())
            decided = self._goal.least_score is None and known
            trial, found = None if decided else wanted.next(finalists), None
            if trial is not None and (not known or self._is_worth_it(trial)):
                found = self._with_seeds(
                    trial, 1, max(1, _BISECTED - len(known)) + self._seeds - 1, not known
                )
                if found is None and trial.candidate.key in self._dropped:
                    continue
            found = found or self._spare(wanted, finalists)
            if found is not None:
                known[found.trial.candidate.key] = found
                continue
            if not known:
                raise TrainingError(next(iter(self._dropped.values())))
            choice = wanted.choice(finalists)
            key = choice.trial.candidate.key
            if self._seeds == 1 or key in confirmed or not self._has_time(choice.trial, self._seed + 1):
                return choice
            confirmed.add(key)
            known[key] = self._with_seeds(choice.trial, self._seeds, self._seeds) or choice

    def one(
        self, trial: Trial, deadline: float, progress: ProgressCallback, others: int = 0
    ) -> Finalist | None:
        """Train one more candidate, with one seed, before so many others; None where there is no time for it."""
        self._begin(deadline, progress)
        return self._with_seeds(trial, 1, 1 + others)

    def _begin(self, deadline: float, progress: ProgressCallback) -> None:
        self._plan.deadline, self._progress = deadline, progress
        self._trained = self._share_done = 0.0

    def _contest(self, wanted: Shortlist) -> list[Finalist]:
        """The contenders that were trained to the end, and the control."""
        contenders, control = taking_part(
            *wanted.contenders(),
            self._plan,
            self._searched,
            self._goal,
            self._workspace.path(_CONTEST),
            self._has_begun,
            self._prepared.tolerance,
        )
        parts = parts_of(len(contenders))
        self._last_part = part_of(len(contenders), len(parts) - 1)
        seeds_too = demand_of(len(contenders), control is not None) + self._seeds - 1 <= self._plan.room
        reached: dict[str, Outcome] = {}
        lengths: dict[int, float] = {}

        def train(trial: Trial, number: int, of: int, demand: float) -> Outcome | None:
            demand += self._seeds - 1 if seeds_too else 0
            # Who is compared is trained equally long.
            length = lengths.setdefault(number, self._plan.length(demand))
            outcome = self._train(trial, self._seed, demand, part_of(len(contenders), number), length)
            if outcome is not None:
                reached[trial.candidate.key] = outcome
            return outcome

        ended = halve(contenders, control, train, self._prepared.tolerance)
        return [self._finalist(one, [(self._seed, reached[one.candidate.key])]) for one in ended]

    def _has_begun(self, trial: Trial, part: ContestPart) -> bool:
        return self._finished(trial, self._seed, part) is not None

    def _spare(self, wanted: Shortlist, known: Sequence[Finalist]) -> Finalist | None:
        """What reached the goal in the search, where nothing that was trained does: trained, or as the search left it."""
        trial = wanted.untrained(known)
        if trial is None or not is_trained(self._workspace.folder, trial.candidate):
            return None
        dropped = trial.candidate.key in self._dropped
        return (None if dropped else self._with_seeds(trial, 1, 1)) or self._as_searched(trial)

    def _with_seeds(self, trial: Trial, seeds: int, demand: float, always: bool = False) -> Finalist | None:
        """Train a candidate with as many seeds as there is time for, or whatever the time; None where that is none."""
        outcomes: list[tuple[int, Outcome]] = []
        for seed in range(self._seed, self._seed + seeds):
            left = self._seed + seeds - seed if seeds > 1 else demand
            if always or self._has_time(trial, seed):
                room = self._plan.room
                outcome = self._train(trial, seed, left if room >= left else max(1, math.floor(room)))
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
        trained = outcomes[0][1]
        return Finalist(
            best,
            tuple(self._path(trial, seed) for seed, _ in outcomes),
            scores,
            met,
            error,
            sure,
            trained.steps,
            trained.passes,
            trained.seconds,
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
                networks, scores = one.networks[:1], (trial.score,)
                found.append(replace(one, trial=trial, networks=networks, scores=scores, met=met, sure=met))
        return found

    def _is_worth_it(self, trial: Trial) -> bool:
        """Whether a further finalist was trained, or can be, and the choice with all seeds."""
        if self._finished(trial, self._seed) is not None:
            return True
        return self._plan.room >= self._seeds and self._has_time(trial, self._seed)

    def _has_time(self, trial: Trial, seed: int) -> bool:
        """Whether it is finished, or can be trained by the whole schedule: what gets less says little of its widths."""
        return self._finished(trial, seed) is not None or self._plan.room >= 1

    def _train(
        self, trial: Trial, seed: int, demand: float, part: ContestPart = WHOLE, length: float | None = None
    ) -> Outcome | None:
        """Train a part of the schedule, behind those before it; None where that diverged."""
        if (before := self._finished(trial, seed, part)) is not None:
            self._plan.got(before["share"])
            return self._reached(trial, seed, part)
        # Where other seeds change the choice there is more to do than was expected.
        self._share_done = max(self._share_done, self._trained / (self._trained + demand))
        self._progress(self._share_done, f"fine-tuning {shown_ms(trial, self._steer):.4g} ms, seed {seed}")
        start = self._path(trial, seed, part.before) if part.number else None
        key = self._key(trial, seed, part)
        checkpoint = self._workspace.path("checkpoints", f"{key}.npz")
        length = self._plan.length(demand) if length is None else length
        for gentler in (1, 10):
            # Some seeds of a bold schedule diverge; a gentler one of the same length is tried once.
            began = time.monotonic()
            network = load_keras(start) if start is not None and start.exists() else self._network(trial)
            schedule, seconds = self._plan.training(length, part.share, demand)
            schedule = replace(schedule, learning_rate=schedule.learning_rate / gentler)
            try:
                outcome = self._prepared.tuner.fit(network, schedule, seed, checkpoint, seconds=seconds)
                break
            except TrainingError as error:
                if gentler > 1:
                    self._drop(trial, seed, error)
                    return None
        self._trained += part.share
        self._keep(trial, seed, network, part)
        share = self._plan.learn(outcome, time.monotonic() - began, length)
        self._workspace.finish_seed(key, {**outcome.__dict__, "share": share})
        return self._reached(trial, seed, part)

    def _reached(self, trial: Trial, seed: int, part: ContestPart) -> Outcome:
        """What a finished training reached, with all its parts until then."""
        finished = self._workspace.finished_seeds()
        if part.is_last:  # a whole one may have been the last part of a contest
            part = self._last_part
        outcome = Outcome(**finished[self._key(trial, seed, part)])
        if not part.number or self._key(trial, seed, part.before) not in finished:
            return outcome
        return behind(self._reached(trial, seed, part.before), outcome)

    def _drop(self, trial: Trial, seed: int, error: TrainingError) -> None:
        """Leave a candidate out whose training diverges; of a further seed nothing but that seed."""
        if seed == self._seed:
            self._dropped[trial.candidate.key] = (
                f"The candidate of {shown_ms(trial, self._steer):.4g} ms was left out: {error}"
            )

    def _keep(self, trial: Trial, seed: int, network: Any, part: ContestPart = WHOLE) -> None:
        save_keras(network, self._path(trial, seed, part))
        if part.is_last:
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

    def _finished(self, trial: Trial, seed: int, part: ContestPart = WHOLE) -> dict[str, Any] | None:
        kept = self._workspace.finished_seeds().get(self._key(trial, seed, part))
        return kept if kept is not None and self._path(trial, seed, part).exists() else None

    def _path(self, trial: Trial, seed: int, part: ContestPart = WHOLE) -> Path:
        return self._workspace.path("seeds", f"{self._key(trial, seed, part)}.keras")

    def _key(self, trial: Trial, seed: int, part: ContestPart = WHOLE) -> str:
        widths = "-".join(str(width) for width in trial.widths.values())
        if (
            len(widths) > 60
            or trial.configuration.removed
            or trial.keep is not None
            or trial.network is not None
        ):
            widths = trial.candidate.key
        name = f"_part{part.number + 1}of{part.of}_{part.contenders}"
        return f"{widths}_seed{seed}" + ("" if part.is_last else name)
