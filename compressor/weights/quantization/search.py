"""Search of mixed precision: fast ones by the time model first, then what each integer operator does to the outputs, then Optuna.

1. Every operator float, every one int8, every one dynamic.
2. From the fastest of these, downhill in predicted time: all operators of one kind together, then one by one. What slows down as
   integers on this device becomes float again here, and what would only be converted back and forth.
3. Sensitivities: how much less the outputs move when one integer operator of the fastest becomes float, per time that this costs;
   the most sensitive 1, 2, 4, ... are float.
4. Optuna's NSGA-II goes on from all of these for few milliseconds *and* small divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from compressor.export import TfliteRunner, require
from compressor.weights.quantization.assignment import CHOICES, FLOAT, Assignment, QuantizableNetwork, Unit
from compressor.weights.quantization.effect import divergence
from profiler.progress import ProgressCallback, silent
from profiler.tradeoff import pareto_front

_GAIN = 0.999
"""A step downhill leaves at most this share of the time; less is rounding."""

MOST_STEPS = 400
"""Files that the way downhill may make; networks of thousands of operators end there."""


@dataclass(frozen=True)
class MixedCandidate:
    """One precision for every operator, the file, its predicted time and how far its outputs move on the search's rows."""

    assignment: Assignment
    content: bytes = field(repr=False)
    predicted_ms: float
    divergence: float

    @property
    def mixed(self) -> bool:
        """Whether operators that can be integer differ in what they are."""
        return len(set(self.assignment.values())) > 1


class AssignmentEvaluator:
    """Files of one network, made, priced and run once each."""

    def __init__(
        self,
        network: QuantizableNetwork,
        rows: Mapping[str, npt.NDArray],
        predict_ms: Callable[[bytes], float],
    ) -> None:
        self.network = network
        self._rows = dict(rows)
        self._predict_ms = predict_ms
        self._before = TfliteRunner(network.content).predict(self._rows)
        self._times: dict[tuple[tuple[int, str], ...], float] = {}
        self._candidates: dict[tuple[tuple[int, str], ...], MixedCandidate] = {}

    def time_ms(self, assignment: Assignment) -> float:
        """Predicted time."""
        key = _key(assignment)
        if key not in self._times:
            self._times[key] = self._predict_ms(self.network.build(assignment))
        return self._times[key]

    def candidate(self, assignment: Assignment) -> MixedCandidate:
        """The file, run on the rows."""
        key = _key(assignment)
        if key not in self._candidates:
            content = self.network.build(assignment)
            moved = divergence(self._before, TfliteRunner(content).predict(self._rows))
            self._candidates[key] = MixedCandidate(dict(assignment), content, self.time_ms(assignment), moved)
        return self._candidates[key]

    def front(self) -> list[MixedCandidate]:
        """Of all that were run, those that no other beats in time and divergence, the fastest first."""
        found = sorted(self._candidates.values(), key=lambda one: (one.predicted_ms, one.divergence))
        marks = pareto_front([one.predicted_ms for one in found], [-one.divergence for one in found])
        return [one for one, marked in zip(found, marks, strict=True) if marked]


def search(
    network: QuantizableNetwork,
    rows: Mapping[str, npt.NDArray],
    predict_ms: Callable[[bytes], float],
    *,
    trials: int = 60,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> list[MixedCandidate]:
    """Find precisions for the operators of a network.

    Parameters
    ----------
    network
        The float network.
    rows
        Inputs by name [rows, ...] on which outputs are compared; no labels.
    predict_ms
        Time of a ``.tflite`` on the device, in ms.
    trials
        How many assignments Optuna tries.
    seed
        Of Optuna's sampler.
    progress
        Told how far it is.

    Returns
    -------
    list of MixedCandidate
        The front of time against divergence, the fastest first; its last one moves no output (all float) unless integers are
        both faster and exact.
    """
    evaluator = AssignmentEvaluator(network, rows, predict_ms)
    uniform = [network.uniform(choice) for choice in CHOICES]
    progress(0.0, "making uniform files")
    for assignment in uniform:
        evaluator.candidate(assignment)
    fastest = _downhill(evaluator, min(uniform, key=evaluator.time_ms), progress)
    seeds = [*uniform, fastest, *_desensitized(evaluator, fastest, progress)]
    _explore(evaluator, seeds, trials, seed, progress)
    progress(1.0, "searched")
    return evaluator.front()


def _key(assignment: Assignment) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((index, choice) for index, choice in assignment.items() if choice != FLOAT))


def _downhill(
    evaluator: AssignmentEvaluator, start: Assignment, progress: ProgressCallback
) -> dict[int, str]:
    """Lower the predicted time: kinds of operators first, until none helps, then single operators."""
    units = evaluator.network.units
    kinds = {unit.op: [one for one in units if one.op == unit.op] for unit in units}
    best = dict(start)
    steps = 0
    for groups in (list(kinds.values()), [[unit] for unit in units]):
        falls = True
        while falls and steps < MOST_STEPS:
            falls = False
            for group in groups:
                for choice in CHOICES:
                    changed = best | _set(group, choice)
                    if changed == best or steps >= MOST_STEPS:
                        continue
                    steps += 1
                    progress(0.5 * steps / MOST_STEPS, f"{group[0].op} as {choice}")
                    if evaluator.time_ms(changed) < _GAIN * evaluator.time_ms(best):
                        best, falls = changed, True
    return best


def _set(group: list[Unit], choice: str) -> dict[int, str]:
    return {unit.index: choice for unit in group if choice in unit.choices}


def _desensitized(
    evaluator: AssignmentEvaluator, fastest: Assignment, progress: ProgressCallback
) -> list[dict[int, str]]:
    """The fastest with its most sensitive 1, 2, 4, ... integer operators as floats."""
    all_of_it = evaluator.candidate(fastest)
    worth = []
    integer = [index for index, choice in fastest.items() if choice != FLOAT]
    for number, index in enumerate(integer):
        progress(0.5 + 0.2 * number / len(integer), f"sensitivity of operator {index}")
        one = evaluator.candidate({**fastest, index: FLOAT})
        less = all_of_it.divergence - one.divergence
        costs_ms = max(one.predicted_ms - all_of_it.predicted_ms, 1e-3 * all_of_it.predicted_ms)
        worth.append((less / costs_ms, index))
    order = [index for _, index in sorted(worth, reverse=True)]
    counts = [2**power for power in range(len(order).bit_length())]
    return [{**fastest, **dict.fromkeys(order[:count], FLOAT)} for count in counts]


def _explore(
    evaluator: AssignmentEvaluator,
    seeds: list[dict[int, str]],
    trials: int,
    seed: int,
    progress: ProgressCallback,
) -> None:
    require("optuna")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=min(len(seeds), max(trials, 2)), seed=seed)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    units = evaluator.network.units
    for assignment in seeds:
        study.enqueue_trial({str(unit.index): assignment[unit.index] for unit in units}, skip_if_exists=True)

    def objective(trial: Any) -> tuple[float, float]:
        progress(0.7 + 0.3 * trial.number / (trials + len(seeds)), f"trial {trial.number + 1}")
        found = evaluator.candidate(
            {unit.index: trial.suggest_categorical(str(unit.index), unit.choices) for unit in units}
        )
        return found.predicted_ms, min(found.divergence, 1e6)

    study.optimize(objective, n_trials=trials + len(seeds))
