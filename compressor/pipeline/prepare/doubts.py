"""What makes a judgement of rows weak, in sentences; and what makes it none at all, as an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compressor.data import Data, Rows, evenly, named, row_count, shared_rows, take
from compressor.pipeline.prepare.aside import told_apart
from compressor.training import Task
from profiler.errors import DataError

_TRIED = 512
_SAME = 1e-12


def check_labels(task: Task) -> None:
    """Refuse labels of a single class: no network could lose anything on them."""
    data = task.data
    for name, labels in named(data.y, "y").items():
        if data.classifies(name.partition(".")[2]) and labels.size > 1 and (labels == labels.flat[0]).all():
            raise DataError(
                f"{data.source}: all labels in {name} are class {labels.flat[0]}, so that nothing can be lost or learned: give "
                "rows of several classes."
            )


def check_metric(task: Task, x: Rows, y: Rows, outputs: Rows) -> list[str]:
    """Notes on outputs that the metric does not look at; a DataError where it looks at none.

    `outputs` are the original's on `x`. They are shuffled among the rows, and put at 0: a score that stays the same in both
    cases does not depend on them.
    """
    metric = task.data.metric
    if metric is None:
        return []
    few = evenly(y, _TRIED)  # the first ones of a sorted file are all of one class
    x, y, outputs = (take(rows, few) for rows in (x, y, outputs))
    try:
        if row_count(y) < 2 or not np.isfinite(task.score(outputs, x, y)):
            return []
    except Exception:  # a metric that refuses so few rows says nothing
        return []
    if isinstance(metric, Mapping):
        ignored = [name for name in metric if _same(task, x, y, outputs, [name])]
        looked_at = len(metric) > len(ignored)
    else:
        names = list(outputs) if isinstance(outputs, Mapping) else [""]
        ignored = [name for name in names if _same(task, x, y, outputs, [name])]
        looked_at = not _same(task, x, y, outputs, names)
    source = task.data.source
    if not looked_at:
        raise DataError(
            f"{source}: metric gives {task.score(outputs, x, y):.4g} whatever the network answers, so that no loss could be "
            "seen: mend it, or leave it out."
        )
    return [
        f"{source}: metric does not look at the output {name}: nothing is known of what is lost there."
        for name in ignored
    ]


def _same(task: Task, x: Rows, y: Rows, outputs: Rows, names: list[str]) -> bool:
    """Whether the score is the same with other values in some outputs."""
    score = task.score(outputs, x, y)
    for change in (
        lambda array: np.roll(array, 1, axis=0),
        np.zeros_like,
        lambda array: np.flip(array, axis=-1),
    ):
        if isinstance(outputs, Mapping):
            changed: Any = {k: change(v) if k in names else v for k, v in outputs.items()}
        else:
            changed = change(outputs)
        try:
            found = task.score(changed, x, y)
        except Exception:  # a metric that refuses what the original never answers does look at it
            return False
        if not abs(found - score) <= _SAME * max(1.0, abs(score)):
            return False
    return True


def unseen(given: Data, part: str) -> tuple[bool, list[str]]:
    """Whether a part (``val`` or ``test``) is given and no copy of other rows, and what there is to say of that.

    Test rows are compared with those for validation too, which choose.
    """
    x = getattr(given, f"x_{part}")
    if x is None:
        return False, []
    name, rows = {"val": "validation", "test": "test"}[part], row_count(x)
    chose = [given.x_val] if part == "test" and given.x_val is not None else []
    shared = shared_rows(x, given.x, *chose)
    if not shared:
        return True, []
    trained = shared_rows(x, given.x) if chose else shared
    some = "All" if shared == rows else f"{shared:,} of the"
    like = "training" if trained == shared else "training or validation" if trained else "validation"
    use = "the network was made to know" if trained else "choose the network"
    mend = f"{some} {rows:,} {name} rows have the content of {like} rows, which {use}"
    if 2 * shared < rows:
        return True, [f"{mend}: give others in their place."]
    return False, [f"{mend}: they say nothing of new data, so give x_{part} and y_{part} of other rows."]


def grouping_notes(given: Data) -> list[str]:
    """What to know of what belongs together."""
    notes = []
    if given.maybe_groups and given.groups is None:
        name = given.maybe_groups
        notes.append(
            f"{given.source} has an array {name} and no groups: if rows of one {name} belong together, give "
            f"--groups {name}, so that whole ones are held out and losses are bounded over them."
        )
    parts = {"": "x", "_val": "x_val", "_test": "x_test"}
    for part, rows in parts.items():
        groups = getattr(given, f"groups{part}")
        if groups is None:
            if part and given.groups is not None and getattr(given, rows) is not None:
                notes.append(
                    f"{given.source} has groups for x and none for {rows} (groups{part}): its rows count as independent, which is "
                    "too bold where they belong together."
                )
        elif len(groups) > 1 and told_apart(groups) is None:
            notes.append(
                f"{given.source}: groups{part} gives every row of {rows} a group of its own: rows count as independent."
            )
        elif part and len(np.unique(groups)) == 1:
            notes.append(
                f"{given.source}: groups{part} names a single group ({groups[0]}): how much others differ from it "
                f"cannot be known, so give {rows} of several."
            )
    return notes


def label_notes(task: Task) -> list[str]:
    """Parts whose rows are of a single class."""
    data, notes = task.data, []
    for part in ("y_val", "y_test"):
        labels = getattr(data, part)
        if (
            isinstance(labels, np.ndarray)
            and data.classifies("")
            and len(labels) > 1
            and (labels == labels[0]).all()
        ):
            notes.append(
                f"{data.source}: {part} has class {labels[0]} alone: what is lost on the others is not seen."
            )
    return notes
