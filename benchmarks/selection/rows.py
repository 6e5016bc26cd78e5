"""What the networks of a task answer on rows that none was trained on, kept beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows, Split
from benchmarks.selection.members import TASKS, files, folder_of
from compressor.data import Data
from selector.candidates import Answers, gather
from timemodel import TimeModel


@dataclass(frozen=True)
class Held:
    """Answers to the rows that thresholds are chosen by and to those that judge, with the rows themselves.

    `exits` are the answers of the segments of a network with early exits to both, where there is one, and `exits_ms` is what it
    takes without exits.
    """

    choose: Answers
    judge: Answers
    choose_rows: Rows
    judge_rows: Rows
    exits: tuple[Answers, Answers] | None = None
    exits_ms: float = 0.0


def held(
    data_folder: Path, work: Path, task: str, seed: int, model: TimeModel, say: Callable[[str], None]
) -> Held | None:
    """Answers of all networks of a task and seed, fastest first; None where not all of them are trained."""
    found = [file for _, _, file in files(work, task, seed)]
    if len(found) < 2 * len(TASKS[task].members):
        say(
            f"{task} seed {seed}: {len(found)} of {2 * len(TASKS[task].members)} files are there, so it is left out"
        )
        return None
    split: Split = TASKS[task].source.load(data_folder, work, seed)
    answers = [
        gather(
            model,
            found,
            Data(rows.x, rows.y, source=f"{task} seed {seed}, {part}"),
            groups=rows.cluster,
            cache=folder_of(work, task, seed) / "answers",
        )
        for part, rows in (("validation", split.validation), ("test", split.test))
    ]
    return Held(*answers, split.validation, split.test)


def of_type(answers: Answers, dtype: str) -> Answers:
    """The networks of one number type; ``"all"`` leaves all."""
    chosen = [i for i, network in enumerate(answers.networks) if dtype in ("all", network.dtype)]
    return answers.of(chosen)


def joined(first: Answers, second: Answers) -> Answers:
    """The same networks on the rows of both."""
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = np.concatenate([first.groups, second.groups])
    return replace(
        first,
        log_probabilities=np.concatenate([first.log_probabilities, second.log_probabilities], axis=1),
        y=np.concatenate([first.y, second.y]),
        groups=groups,
    )


@dataclass(frozen=True)
class Fold:
    """Rows to choose by and rows to judge on, of the rows that are held out.

    Parameters
    ----------
    chosen
        Test rows that choose, beside all validation rows [test rows].
    numbers
        Test rows that judge.
    """

    chosen: NDArray[np.bool_]
    numbers: NDArray[np.int64]

    def answers(self, validation: Answers, test: Answers) -> tuple[Answers, Answers]:
        """Answers that choose and answers that judge."""
        choose = joined(validation, test.at(self.chosen)) if self.chosen.any() else validation
        return choose, test.at(self.numbers)

    def inputs(self, held: Held) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows themselves."""
        test = held.judge_rows.x
        return np.concatenate([held.choose_rows.x, test[self.chosen]]), test[self.numbers]


def folds(held: Held, task: str) -> list[Fold]:
    """Images: both halves of the test rows in turns, each judged by what the other half and the validation rows chose, since the
    validation rows alone are few. Else test people are judged by what was chosen on validation people."""
    count = len(held.judge.y)
    if task != "image":
        return [Fold(np.zeros(count, bool), np.arange(count))]
    side = np.random.default_rng(23).permutation(count) % 2
    return [Fold(side != one, np.flatnonzero(side == one)) for one in (0, 1)]
