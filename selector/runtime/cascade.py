"""Running stages one after another until one is sure: cascades, networks with early exits, detectors that wake the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.confidence import by_class, confidence, log_probabilities, log_softmax
from selector.runtime.network import LoadedNetwork
from selector.runtime.one_row import OneRow
from selector.runtime.runner import OneAnswer, PolicyRunner, Trace, finite_rows, runs
from selector.runtime.signals import Block, Fed, Rows
from selector.runtime.specification import Specification, Stage


@runs("cascade", "early_exit", "hierarchical")
class CascadeRunner(PolicyRunner):
    """Each stage runs on all rows that are still open; those that it is sure of stop there."""

    def __init__(self, specification: Specification, networks: Sequence[LoadedNetwork]) -> None:
        super().__init__(specification, networks)
        if not specification.stages:
            raise ValueError("it has no stages")
        for stage in specification.stages:
            if specification.networks[stage.network].remote:
                continue  # opened only where this machine must run it
            network = networks[stage.network]
            classes = specification.classes if stage.answers is None else len(stage.answers)
            answered = network.outputs[network.answers].shape[-1]
            if answered != classes:
                raise ValueError(f"{network.file} answers {answered} classes, not {classes}")

    def answer(self, block: Block, trace: Trace) -> NDArray[np.float32]:
        """Probabilities [rows, classes], or logits where the best single network gives logits."""
        stages = self.specification.stages
        order = [stage.network for stage in stages]
        answers = np.zeros((block.rows, self.specification.classes), np.float32)
        lost: list[Rows] = []
        rows = np.arange(block.rows)
        before: list[NDArray[np.float32]] = []  # what each stage so far alone says of the rows that are open
        fed: Fed | None = None
        for position, stage in enumerate(stages):
            keep = self.feeds_of(order, position + 1)
            found = self.run(stage.network, block, rows, trace, fed, keep)
            fine = finite_rows(found.answer)
            answer = found.answer
            kept = np.arange(len(rows))
            if not fine.all():
                trace.untrusted[rows[~fine]] = True
                lost.append(rows[~fine])
                kept = np.flatnonzero(fine)
                rows, answer = rows[kept], answer[kept]
                before = [one[kept] for one in before]
            alone = log_probabilities(by_class(answer), self.specification.networks[stage.network].form)
            before.append(alone)
            combined = self.combined(position, before)
            stops = decide(stage, before, combined)
            if stops is None:
                self._stop(answers, rows, combined, stage, trace, position)
                break
            stopped = np.flatnonzero(stops)
            self._stop(answers, rows[stopped], combined[stopped], stage, trace, position)
            going = np.flatnonzero(~stops)
            if not len(going):
                break
            rows = rows[going]
            before = [one[going] for one in before]
            fed = Fed(found.outputs, kept[going])
        self._finish(answers)
        if lost:
            again = np.concatenate(lost)
            trace.stage[again] = -1
            answers[again] = self.single(block, again, trace)
        return answers

    def one_row(self) -> Callable[[NDArray[Any]], OneAnswer | None] | None:
        """Plain numbers in place of arrays, for cascades of plain stages."""
        plain = type(self) is CascadeRunner and OneRow.takes(self.specification, self.networks)
        return OneRow(self.specification, self.networks) if plain else None

    def combined(self, position: int, before: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Combined answer [rows, classes] after a stage."""
        stages = self.specification.stages
        return combine(stages[position], before, stages[: position + 1])

    def _stop(
        self,
        answers: NDArray[np.float32],
        rows: Rows,
        combined: NDArray[np.float32],
        stage: Stage,
        trace: Trace,
        position: int,
    ) -> None:
        answers[rows] = combined if stage.answers is None else self._translated(combined, stage)
        trace.stage[rows] = position

    def _translated(self, combined: NDArray[np.float32], stage: Stage) -> NDArray[np.float32]:
        """Logarithms of probabilities of the policy's classes from those of a detector's own classes."""
        assert stage.answers is not None
        chances = np.zeros((len(combined), self.specification.classes), np.float32)
        for own, meant in enumerate(stage.answers):
            if meant is not None:
                chances[:, meant] += np.exp(combined[:, own])
        return np.log(np.maximum(chances, np.finfo(np.float32).tiny))

    def _finish(self, answers: NDArray[np.float32]) -> None:
        """Make probabilities of logarithms where the best single network gives probabilities."""
        if self.specification.networks[self.specification.single].form != "logits":
            np.exp(answers, out=answers)


def combine(
    stage: Stage, before: list[NDArray[np.float32]], stages: tuple[Stage, ...]
) -> NDArray[np.float32]:
    """Combined logarithms of probabilities [rows, classes] after a stage, from those of each stage so far alone.

    A detector has classes of its own, so it is heard at its own stage only.
    """
    if stage.answers is not None:
        return before[-1]
    parts = [
        (weight, alone)
        for weight, alone, one in zip(stage.weights, before, stages)  # noqa: B905
        if weight != 0 and one.answers is None
    ]
    if not parts or (len(parts) == 1 and parts[0][0] == 1):
        return parts[0][1] if parts else before[-1]
    combined = np.float32(parts[0][0]) * parts[0][1]
    for weight, alone in parts[1:]:
        combined += np.float32(weight) * alone
    return log_softmax(combined)


def decide(
    stage: Stage, before: list[NDArray[np.float32]], combined: NDArray[np.float32]
) -> NDArray[Any] | None:
    """Which rows stop at a stage [rows]; None where all do."""
    if stage.threshold is None:
        return None
    sure = confidence(combined, stage.confidence)
    if isinstance(stage.threshold, tuple):
        stops = sure >= np.asarray(stage.threshold)[combined.argmax(axis=1)]
    else:
        stops = sure >= np.float64(stage.threshold)
    if stage.agree and len(before) > 1:
        stops &= before[-1].argmax(axis=1) == before[-2].argmax(axis=1)
    if stage.answers is not None:
        means = np.array([meant is not None for meant in stage.answers])
        stops &= means[combined.argmax(axis=1)]
    return stops
