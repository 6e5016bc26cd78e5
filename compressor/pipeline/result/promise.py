"""What the test rows, which chose nothing, show of the accuracy that is lost on new data of the same kind."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from compressor.data import Rows, row_count, take
from compressor.export import file_outputs
from compressor.pipeline.prepare import LEVEL, Prepared, told_apart
from compressor.pipeline.result.files import WINNER, PointFiles
from compressor.training import Task
from profiler.paired import fewest_units, group_means, loss_interval, loss_p_value

CONFIDENCE = 1 - LEVEL
_POWER = 0.8
_DRAWS, _FEWEST_DRAWS = 400, 40
_MOST_DRAWING_S = 30.0
_CHOOSING_DRAWS = 200
"""Where a bound chooses: always so many, since a choice must not depend on how busy the machine is."""

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
    most_if_normal
        As `most`, were the losses of groups spread normally, which few groups cannot show: no promise. None for rows.
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
    most_if_normal: float | None = None

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
    rows: str = "test",
    no_tighter: bool = False,
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
    rows
        What the rows are called.
    no_tighter
        Whether nothing below `asked` is claimed: where these rows choose among several networks only that holds of each.
    """
    groups = told_apart(groups)
    units = row_count(y) if groups is None else len(np.unique(groups))
    unit = "rows" if groups is None else "groups"
    worst: dict[str, tuple[str, float] | None] = {"class": None, "group": None}
    needed = normal = None
    if task.counts_right:
        right = task.right(before, y), task.right(after, y)
        lost = right[0] - right[1]
        per_unit = group_means(lost, groups)
        most = least_claim(lost, groups)
        if asked is not None and (most is None or most > asked):
            needed = _needed(per_unit, asked, groups is not None)
        if not isinstance(y, Mapping):
            worst["class"] = _worst(lost, y, _FEWEST_OF_A_CLASS)
        if groups is not None:
            worst["group"] = _worst(lost, groups, 1)
            ends = loss_interval(lost, groups, 1 - 2 * LEVEL)
            normal = None if ends is None else ends[1]
        mean = float(lost.mean())
    else:
        mean = task.score(before, x, y) - task.score(after, x, y)
        draws = _CHOOSING_DRAWS if no_tighter else None
        most = loss_bound(task, before, after, x, y, groups, draws)
    if no_tighter and asked is not None and most is not None:
        most = max(most, asked)
    agreement = _agreement(task, before, after)
    sure = _calibration(task, before, y), _calibration(task, after, y)
    sentence = _sentence(task.counts_right, most, asked, units, unit, needed, mean, rows)
    if normal is not None and (most is None or max(normal, 0.0) < most > (asked or 0.0)):
        sentence += (
            f" Were the losses of groups spread normally, which {units} groups cannot show, it would be at most "
            f"{100 * max(normal, 0.0):.2g} points."
        )
    return Promise(
        mean, most, asked, units, unit, needed, worst["class"], worst["group"], agreement, sure[0], sure[1],
        sentence, normal,
    )  # fmt: skip


def promise_of_files(prepared: Prepared, files: PointFiles, asked: float | None) -> dict[str, Any] | None:
    """What the test rows show of the winner's file against the original's; None where no rows chose nothing."""
    if not prepared.test_given:
        return None
    x, y = prepared.test_rows
    before, after = (file_outputs(prepared.task, files.tflite[name], x) for name in ("original", WINNER))
    return promise_of(prepared.task, before, after, x, y, prepared.task.data.groups_test, asked).to_dict()


def least_claim(
    lost: NDArray[np.float64], groups: NDArray[Any] | None = None, level: float = LEVEL
) -> float | None:
    """The least loss whose opposite is ruled out, of what each row loses [rows]; None where that is half of all or more."""

    def ruled_out(claim: float) -> bool:
        return loss_p_value(lost, claim, groups, level) <= level

    low, high = 0.0, _NO_CLAIM
    if not ruled_out(high):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if ruled_out(middle) else (middle, high)
    return high


def _needed(lost: NDArray[np.float64], asked: float, groups: bool) -> int | None:
    """About how many units show it four times in five, were these ones typical; None where too much is lost."""
    spare = asked - max(0.0, float(lost.mean()))
    if spare <= 0:
        return None
    spread = float(ndtri(CONFIDENCE) + ndtri(_POWER)) * float(lost.std()) / spare
    return max(math.ceil(spread**2), fewest_units(asked, LEVEL, groups=groups))


def _worst(lost: NDArray[np.float64], parts: NDArray[Any], fewest: int) -> tuple[str, float] | None:
    """The part of the rows that lost most, of those with enough rows."""
    names, member = np.unique(parts, return_inverse=True)
    counts = np.bincount(member.ravel())
    means = np.where(counts >= fewest, np.bincount(member.ravel(), lost) / counts, -np.inf)
    place = int(np.argmax(means))
    return (str(names[place]), float(means[place])) if np.isfinite(means[place]) else None


def loss_bound(
    task: Task,
    before: Rows,
    after: Rows,
    x: Rows,
    y: Rows,
    groups: NDArray[Any] | None = None,
    draws: int | None = None,
) -> float | None:
    """The loss that a score, which is no share of rows, has with 95% confidence at most; None where too few resamplings are known.

    With `draws` so many are made, however long they take.

    By simulation the loss that 95% of resamplings stay below is too small in up to 8% of cases. So it is the larger one of two:
    what 97.5% of them stay below, and what lies as far above the observed loss as the lowest 2.5% of them lie below it.
    """
    losses = _by_bootstrap(task, before, after, x, y, groups, draws)
    if losses is None:
        return None
    low, high = np.quantile(losses, [LEVEL / 2, 1 - LEVEL / 2])
    mean = task.score(before, x, y) - task.score(after, x, y)
    return float(max(high, 2 * mean - low))


def interval_of(
    task: Task, before: Rows, after: Rows, x: Rows, y: Rows, groups: NDArray[Any] | None = None
) -> tuple[float, tuple[float, float] | None]:
    """What is lost on rows, and between which losses that on new data lies: paired, to be shown; None where it is not known."""
    groups = told_apart(groups)
    if task.counts_right:
        lost = task.right(before, y) - task.right(after, y)
        return float(lost.mean()), loss_interval(lost, groups, CONFIDENCE)
    losses = _by_bootstrap(task, before, after, x, y, groups)
    ends = None if losses is None else np.quantile(losses, [LEVEL / 2, 1 - LEVEL / 2])
    mean = task.score(before, x, y) - task.score(after, x, y)
    return mean, None if ends is None else (float(ends[0]), float(ends[1]))


def _by_bootstrap(
    task: Task,
    before: Rows,
    after: Rows,
    x: Rows,
    y: Rows,
    groups: NDArray[Any] | None,
    draws: int | None = None,
) -> NDArray[np.float64] | None:
    """Losses of a score in resamplings of rows, or of groups [draws].

    A slow metric is asked for as long as time allows, where not for so many `draws`; None where that was too seldom.
    Resampling n units makes them look alike by a factor of sqrt((n - 1) / n), and few units tell less of their spread than a
    normal distribution knows: losses are spread wider by as much (Hesterberg 2015).
    """
    rng, rows = np.random.default_rng(0), row_count(y)
    members = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    units = int(members.max()) + 1
    if units < 2:
        return None
    places = [np.flatnonzero(members == unit) for unit in range(units)] if groups is not None else None
    losses: list[float] = []
    started = time.monotonic()
    while len(losses) < (draws or _DRAWS):
        if draws is None and time.monotonic() - started >= _MOST_DRAWING_S:
            break
        drawn = rng.integers(units, size=units)
        chosen = drawn if places is None else np.concatenate([places[unit] for unit in drawn])
        some_x, some_y = take(x, chosen), take(y, chosen)
        scores = [task.score(take(one, chosen), some_x, some_y) for one in (before, after)]
        losses.append(scores[0] - scores[1])
    known = np.array(losses)[np.isfinite(losses)]
    if len(losses) < _FEWEST_DRAWS or len(known) <= len(losses) / 2:
        return None
    wider = math.sqrt(units / (units - 1)) * float(stdtrit(units - 1, CONFIDENCE) / ndtri(CONFIDENCE))
    middle = np.median(known)
    spread: NDArray[np.float64] = middle + wider * (known - middle)
    return spread


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
    rows: str,
) -> str:
    def shown(value: float) -> str:
        return f"{100 * value:.2g} points" if share else f"{value:.3g}"

    what = "accuracy" if share else "score"
    tested = f"{units:,} {rows} {unit if units != 1 else unit[:-1]} that chose nothing"
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
