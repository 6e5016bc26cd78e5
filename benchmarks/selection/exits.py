"""Early exits of one network of each task: added as ``edgetime exits`` does, then answering the rows that are held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.compression.tasks import Rows
from benchmarks.selection.members import TASKS, folder_of
from benchmarks.selection.rows import Held
from compressor.data import Data
from profiler.files import write_json
from selector.candidates import Answers, gather_segments
from selector.early_exits import add_early_exits
from timemodel import TimeModel


def make(
    data_folder: Path, work: Path, task: str, seed: int, model: TimeModel, say: Callable[[str], None]
) -> None:
    """Add exits to the task's network, once; a training that was stopped goes on."""
    known = TASKS[task]
    folder = folder_of(work, task, seed)
    source, facts = folder / f"{known.with_exits}.keras", folder / "exits" / "made.json"
    if facts.exists() or not source.exists():
        return
    split = known.source.load(data_folder, work, seed)
    data = Data(
        split.train.x, split.train.y, split.validation.x, split.validation.y,
        augment=known.source.augment, source=f"{task} seed {seed}",
    )  # fmt: skip
    found = add_early_exits(source, data, model, folder / "exits", seed=seed)
    write_json(facts, found.to_dict())
    for note in found.notes:
        say(f"{task} seed {seed}, exits: {note}")


def with_exits(held: Held, work: Path, task: str, seed: int, model: TimeModel) -> Held:
    """With what the exits answer, where there are some."""
    folder = folder_of(work, task, seed) / "exits"
    if not (folder / "made.json").exists():
        return held
    facts = json.loads((folder / "made.json").read_text("utf-8"))

    def answers(rows: Rows, like: Answers) -> Answers:
        found = gather_segments(
            model, folder / "exits.tflite", rows.x, rows.y, form=facts["form"], source=like.source
        )
        return replace(found, groups=like.groups)

    both = answers(held.choose_rows, held.choose), answers(held.judge_rows, held.judge)
    return replace(held, exits=both, exits_ms=float(facts["single_ms"]))
