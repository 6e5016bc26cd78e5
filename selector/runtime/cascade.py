"""Running stages one after another until one is sure: cascades, networks with early exits, detectors that wake the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selector.runtime.confidence import by_class, scores
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
        answers = np.empty((block.rows, self.specification.classes), np.float32)
        lost: list[Rows] = []
        rows = np.arange(block.rows)
        before: list[NDArray[np.float32]] = []  # what each stage so far alone says of the rows that are open
        fed: Fed | None = None
        for position, stage in enumerate(stages):
            found = self.run(stage.network, block, rows, trace, fed, self.feeds_of(order, position + 1))
            trace.predicted_ms[rows] += self.specification.decide_ms
            answer = found.answer
            kept: Rows | None = None
            if not np.isfinite(answer.sum()):
                fine = finite_rows(answer)
                trace.untrusted[rows[~fine]] = True
                lost.append(rows[~fine])
                kept = np.flatnonzero(fine)
                rows, answer = rows[kept], answer[kept]
                before = [one[kept] for one in before]
            before.append(scores(by_class(answer), self.specification.networks[stage.network].form))
            said = Said.of(self.combined(position, before))
            stops = decide(stage, before, said)
            if stops is None or stops.all():
                self._stop(answers, rows, said, stage, trace, position)
                break
            stopped = stops.nonzero()[0]
            self._stop(answers, rows[stopped], said.at(stopped), stage, trace, position)
            going = (~stops).nonzero()[0]
            rows = rows[going]
            before = [one[going] for one in before]
            fed = Fed(found.outputs, going if kept is None else kept[going])
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
        self, answers: NDArray[np.float32], rows: Rows, said: Said, stage: Stage, trace: Trace, position: int
    ) -> None:
        """Note the answers of rows that stop: probabilities, or logits where the best single network gives these."""
        trace.stage[rows] = position
        logits = self.specification.networks[self.specification.single].form == "logits"
        if logits and stage.answers is None:
            answers[rows] = said.shifted - np.log(said.total)[:, None]
            return
        chances = said.chances / said.total[:, None]
        if stage.answers is not None:
            chances = self._translated(chances, stage.answers)
        answers[rows] = np.log(np.maximum(chances, np.finfo(np.float32).tiny)) if logits else chances

    def _translated(
        self, chances: NDArray[np.float32], answers: tuple[int | None, ...]
    ) -> NDArray[np.float32]:
        """Probabilities of the policy's classes from those of a detector's own classes."""
        translated = np.zeros((len(chances), self.specification.classes), np.float32)
        for own, meant in enumerate(answers):
            if meant is not None:
                translated[:, meant] += chances[:, own]
        return translated


class Said(NamedTuple):
    """What the stages so far together say of rows: scores without what is the same for all classes of a row.

    `shifted` [rows, classes] has 0 for the likeliest class; `chances` are their exponentials, `total` [rows] the sum of these.
    """

    shifted: NDArray[np.float32]
    chances: NDArray[np.float32]
    total: NDArray[np.float32]

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> Said:
        """Of scores [rows, classes], whose softmax are probabilities."""
        shifted = scores - scores.max(axis=1)[:, None]
        chances = np.exp(shifted)
        return cls(shifted, chances, chances.sum(axis=1))

    def at(self, rows: Rows) -> Said:
        """Of some of the rows."""
        return Said(self.shifted[rows], self.chances[rows], self.total[rows])


def combine(
    stage: Stage, before: list[NDArray[np.float32]], stages: tuple[Stage, ...]
) -> NDArray[np.float32]:
    """Combined scores [rows, classes] after a stage, from those of each stage so far alone; softmax makes probabilities of them.

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
    return combined


def decide(stage: Stage, before: list[NDArray[np.float32]], said: Said) -> NDArray[Any] | None:
    """Which rows stop at a stage [rows], as `confidence` would say; None where all do."""
    if stage.threshold is None:
        return None
    named = said.shifted.argmax(axis=1) if isinstance(stage.threshold, tuple) or stage.answers else None
    each = np.asarray(stage.threshold, np.float32)
    needed = each[named] if each.ndim else each
    # Multiplied by `total`, and the likeliest class is 1.
    if stage.confidence == "margin":
        stops = np.count_nonzero(said.chances > (1 - needed * said.total)[:, None], axis=1) <= 1
    elif stage.confidence == "top":
        stops = needed * said.total <= 1
    else:
        entropy = np.log(said.total) - (said.chances * said.shifted).sum(axis=1) / said.total
        stops = 1 - entropy / np.log(said.shifted.shape[1]) >= needed
    if stage.agree and len(before) > 1:
        stops &= before[-1].argmax(axis=1) == before[-2].argmax(axis=1)
    if stage.answers is not None:
        stops &= np.array([meant is not None for meant in stage.answers])[named]
    return stops
