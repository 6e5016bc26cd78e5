"""What the test rows, which chose nothing, show of the accuracy that is lost on new data of the same kind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from compressor.data import Rows, row_count, take
from compressor.export import file_outputs
from compressor.pipeline.prepare import Prepared
from compressor.pipeline.result.files import WINNER, PointFiles
from compressor.training import Task
from profiler.paired import betting_p_value, fewest_units, paired_p_value

CONFIDENCE = 0.95
_LEVEL = 1 - CONFIDENCE
_POWER = 0.8
_DRAWS, _FEWEST_DRAWS = 200, 40
_MOST_DRAWING_S = 30.0
_FEWEST_OF_A_CLASS = 10
_BINS = 10
_HALVINGS = 14
_NO_CLAIM = 0.5
SATURATED = 0.99
"""An original this accurate leaves few rows on which anything could be lost."""


@dataclass(frozen=True)
class Promise:
    """A paired test of the file that is handed over against the original's.

    Attributes
    ----------
    lost
        What was lost on the test rows: accuracy 0 to 1, or score.
    most
        With 95% confidence no more is lost on new data of the same kind; None where nothing could be shown.
    asked
        What may be lost; None where no limit was asked for.
    units, unit
        What the test is over: ``rows``, or ``groups`` where they are known.
    units_needed
        About how many would show what was asked (four times in five); None where it is shown, or none would.
    worst_class, worst_group
        The class and the group that lose most, and how much; None where each has too few rows.
    agreement
        Share of rows on which both give the same answer; None where they give no classes.
    calibration_before, calibration_after
        Mean distance between how sure a network is and how often it is right; None where it gives no probabilities.
    sentence
        The claim in words.
    """

    lost: float
    most: float | None
    asked: float | None
    units: int
    unit: str
    units_needed: int | None
    worst_class: tuple[str, float] | None
    worst_group: tuple[str, float] | None
    agreement: float | None
    calibration_before: float | None
    calibration_after: float | None
    sentence: str

    @property
    def holds(self) -> bool:
        """Whether what was asked is shown."""
        return self.asked is None or (self.most is not None and self.most <= self.asked)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {**plain, "confidence": CONFIDENCE, "holds": self.holds}


def promise_of(
    task: Task,
    before: Rows,
    after: Rows,
    x: Rows,
    y: Rows,
    groups: NDArray[Any] | None = None,
    asked: float | None = None,
) -> Promise:
    """Test what was lost, from both networks' outputs on rows that had no part in any choice.

    Parameters
    ----------
    before, after
        Outputs of the original and of the compressed network [rows, ...].
    x, y, groups
        The rows, their labels, and what belongs together [rows]; without groups rows are what is independent.
    asked
        The loss that was allowed, as a share (0.005 for half a point) or in units of the score.
    """
    if groups is not None and len(np.unique(groups)) == row_count(y):
        groups = None  # each row is a group of its own
    units = row_count(y) if groups is None else len(np.unique(groups))
    unit = "rows" if groups is None else "groups"
    worst: dict[str, tuple[str, float] | None] = {"class": None, "group": None}
    needed = None
    if task.counts_right:
        right = task.right(before, y), task.right(after, y)
        lost = right[0] - right[1]
        per_unit = lost if groups is None else _means(lost, groups)
        most = _least_claim(lambda claim: _chance(lost, groups, claim))
        if asked is not None and (most is None or most > asked):
            needed = _needed(per_unit, asked, groups is not None)
        if not isinstance(y, Mapping):
            worst["class"] = _worst(lost, y, _FEWEST_OF_A_CLASS)
        if groups is not None:
            worst["group"] = _worst(lost, groups, 1)
        mean = float(lost.mean())
    else:
        mean = task.score(before, x, y) - task.score(after, x, y)
        most = _by_bootstrap(task, before, after, x, y, groups)
    agreement = _agreement(task, before, after)
    sure = _calibration(task, before, y), _calibration(task, after, y)
    return Promise(
        mean, most, asked, units, unit, needed, worst["class"], worst["group"], agreement, sure[0], sure[1],
        _sentence(task.counts_right, most, asked, units, unit, needed, mean),
    )  # fmt: skip


def promise_of_files(prepared: Prepared, files: PointFiles, asked: float | None) -> dict[str, Any] | None:
    """What the test rows show of the winner's file against the original's; None where no rows chose nothing."""
    if not prepared.test_given:
        return None
    x, y = prepared.test_rows
    before, after = (file_outputs(prepared.task, files.tflite[name], x) for name in ("original", WINNER))
    return promise_of(prepared.task, before, after, x, y, prepared.task.data.groups_test, asked).to_dict()


def _chance(lost: NDArray[np.float64], groups: NDArray[Any] | None, claim: float) -> float:
    """Probability of such a result where more than the claim is lost."""
    if groups is not None:
        return betting_p_value(_means(lost, groups), claim)
    whole = np.isin(lost, (-1.0, 0.0, 1.0)).all()
    if whole:
        return paired_p_value(int((lost > 0).sum()), int((lost < 0).sum()), len(lost), claim, _LEVEL)
    return betting_p_value(lost, claim)  # of several outputs some are right


def _least_claim(chance: Callable[[float], float]) -> float | None:
    """The least loss whose opposite is ruled out; None where that is half of all or more."""
    low, high = 0.0, _NO_CLAIM
    if chance(high) > _LEVEL:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) <= _LEVEL else (middle, high)
    return high


def _needed(lost: NDArray[np.float64], asked: float, groups: bool) -> int | None:
    """About how many units show it four times in five, were these ones typical; None where too much is lost."""
    spare = asked - max(0.0, float(lost.mean()))
    if spare <= 0:
        return None
    spread = float(ndtri(CONFIDENCE) + ndtri(_POWER)) * float(lost.std()) / spare
    return max(math.ceil(spread**2), fewest_units(asked, _LEVEL, groups=groups))


def _means(values: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each group, in the order of their names."""
    member = np.unique(groups, return_inverse=True)[1].ravel()
    return np.bincount(member, values) / np.bincount(member)


def _worst(lost: NDArray[np.float64], parts: NDArray[Any], fewest: int) -> tuple[str, float] | None:
    """The part of the rows that lost most, of those with enough rows."""
    names, member = np.unique(parts, return_inverse=True)
    counts = np.bincount(member.ravel())
    means = np.where(counts >= fewest, np.bincount(member.ravel(), lost) / counts, -np.inf)
    place = int(np.argmax(means))
    return (str(names[place]), float(means[place])) if np.isfinite(means[place]) else None


def _by_bootstrap(
    task: Task, before: Rows, after: Rows, x: Rows, y: Rows, groups: NDArray[Any] | None
) -> float | None:
    """The loss of a score that 95% of resamplings of rows, or of groups, stay below.

    A slow metric is asked for as long as time allows; None where that was too seldom.
    """
    rng, rows = np.random.default_rng(0), row_count(y)
    members = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    units = int(members.max()) + 1
    if units < 2:
        return None
    places = [np.flatnonzero(members == unit) for unit in range(units)] if groups is not None else None
    losses: list[float] = []
    started = time.monotonic()
    while len(losses) < _DRAWS and time.monotonic() - started < _MOST_DRAWING_S:
        drawn = rng.integers(units, size=units)
        chosen = drawn if places is None else np.concatenate([places[unit] for unit in drawn])
        some_x, some_y = take(x, chosen), take(y, chosen)
        scores = [task.score(take(one, chosen), some_x, some_y) for one in (before, after)]
        losses.append(scores[0] - scores[1])
    known = np.array(losses)[np.isfinite(losses)]
    enough = len(losses) >= _FEWEST_DRAWS and len(known) > len(losses) / 2
    return float(np.quantile(known, CONFIDENCE)) if enough else None


def _agreement(task: Task, before: Rows, after: Rows) -> float | None:
    if not task.counts_right or isinstance(before, Mapping):
        return None
    head = next(iter(task.heads.values()))
    return float(np.mean(head.answers(before) == head.answers(after)))


def _calibration(task: Task, outputs: Rows, y: Rows) -> float | None:
    """Expected calibration error over ten equally full bins; of softmax outputs only."""
    if not task.counts_right or isinstance(outputs, Mapping) or task.head != "softmax":
        return None
    sure, right = np.max(outputs, axis=-1).ravel(), task.right(outputs, y)
    parts = np.array_split(np.argsort(sure, kind="stable"), min(_BINS, len(sure)))
    return float(sum(len(p) * abs(sure[p].mean() - right[p].mean()) for p in parts) / len(sure))


def _sentence(
    share: bool,
    most: float | None,
    asked: float | None,
    units: int,
    unit: str,
    needed: int | None,
    lost: float,
) -> str:
    def shown(value: float) -> str:
        return f"{100 * value:.2g} points" if share else f"{value:.3g}"

    what = "accuracy" if share else "score"
    tested = f"{units:,} test {unit if units != 1 else unit[:-1]} that chose nothing"
    if most is None:
        return f"No loss of {what} can be ruled out with {CONFIDENCE:.0%} confidence: there is too little data ({tested})."
    claim = (
        f"With {CONFIDENCE:.0%} confidence at most {shown(max(most, 0.0))} of {what} are lost on new data of the same kind"
        f" ({tested})"
    )
    if asked is None or most <= asked:
        return f"{claim}."
    if needed is None:
        more = f"; on these {shown(lost)} were lost" if lost > 0 else ""
        return f"{claim}, which is more than the {shown(asked)} that are allowed{more}."
    return f"{claim}; about {max(needed, units + 1):,} {unit} would show {shown(asked)}."
