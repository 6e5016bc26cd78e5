"""The widths that a device likes, read off the model's own staircases where the measured ones do not contradict."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from timemodel.features import geometry
from timemodel.model import OperatorModel, pair_error, with_width

WIDEST = 160
PERIODS = (2, 4, 8, 12, 16, 24, 32, 48, 64)
_LIMIT, _AT_LEAST = 4, 48
"""A period must show at so many of its multiples (as far as `WIDEST` reaches), and up to this width."""

_VECTOR = 4
"""Kernels end on multiples of this. Where a line falls at another width it is the tree's edge and not the device's."""

_USUAL = 64
"""An example is taken from widths up to this, if there is one."""

TWICE = 1.95
"""From here on a ratio is said as a multiple, below it as a percentage."""

_AGREEING = 0.75
_NOUNS = {"depthwise_conv_2d": "channels", "fully_connected": "output units"}


@dataclass(frozen=True)
class WidthFinding:
    """One statement about widths; the fields are those of `timemodel.explain.findings.Statement`."""

    kind: str
    topic: str
    text: str
    effect: float
    error: float
    layers: tuple[tuple[Layer, Layer], ...]
    works: tuple[float, ...] = field(default=())
    measured: float | None = None


@dataclass(frozen=True)
class Lines:
    """Predicted times of several layers at every width.

    Parameters
    ----------
    layers
        Ordinary layers; the width of each is varied.
    times : ndarray [layers, WIDEST + 2]
        In ms; column w is width w.
    errors : ndarray [layers, WIDEST + 2]
        Of the ratio of neighbours; relative.
    sweeps
        Measured widths, ``[n]``, with measured and predicted times in ms at each, overhead taken off.
    """

    layers: tuple[Layer, ...]
    times: np.ndarray
    errors: np.ndarray
    sweeps: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]

    def at(self, width: int) -> list[Layer]:
        """The layers with `width` channels."""
        return [with_width(layer, width) for layer in self.layers]

    def _beyond(self, width: int, other: int, work: float) -> bool:
        """Whether `other` costs more than `work` times what `width` does, by more than the error."""
        ratio = self.times[:, other] / self.times[:, width] - work
        sure = np.mean(ratio > self.errors[:, [width, other]].max(axis=1)) >= _AGREEING
        return bool(sure) and not self._contradicted(min(width, other))

    def _contradicted(self, width: int) -> bool:
        """Whether measured widths on both sides of the step above `width` show less than half of what is predicted."""
        for widths, measured, predicted in self.sweeps:
            below, above = np.flatnonzero(widths <= width), np.flatnonzero(widths > width)
            if len(below) and len(above):
                one, two = below[-1], above[0]
                said = np.log(predicted[two] / predicted[one])
                if np.log(measured[two] / measured[one]) / said < 0.5:
                    return True
        return False

    def measured(self, good: int, bad: int) -> float | None:
        """Measured ratio of two widths, of the first sweep that has both."""
        for widths, times_ms, _ in self.sweeps:
            known = dict(zip(widths.tolist(), times_ms.tolist(), strict=True))
            if good in known and bad in known:
                return float(known[bad] / known[good])
        return None

    def steps_up(self, width: int) -> bool:
        """Whether one channel more than `width` costs more than its work, beyond the error."""
        return self._beyond(width, width + 1, 1 + 1 / width)

    def dips(self, width: int) -> bool:
        """Whether one channel less than `width` costs more, beyond the error."""
        return self._beyond(width, width - 1, 1.0)


def width_findings(model: OperatorModel, overhead_ms: float = 0.0) -> list[WidthFinding]:
    """What the model says of widths: multiples it likes, and single widths that are dearer than the next wider one.

    `overhead_ms` is what a call costs: a network pays it once, whatever its widths.
    """
    lines = staircases(model, overhead_ms)
    if lines is None:
        return []
    up = {w for w in range(1, WIDEST + 1) if lines.steps_up(w)}
    found: list[WidthFinding] = []
    noun = _NOUNS.get(model.op, "output channels")
    period = main_period(up)
    if period:
        text = f"{noun} in multiples of {period}"
        finer = finer_period(up, period)
        if finer:
            text += f", below that {finer}"
        found.append(_finding(lines, "likes", "widths", text, period, period + 1))
    downs = [w for w in range(_VECTOR, WIDEST + 1, _VECTOR) if lines.dips(w)]
    if downs:
        common = [w for w in downs if w <= _USUAL] or downs
        most = max(common, key=lambda w: float(np.median(lines.times[:, w - 1] / lines.times[:, w])))
        more = [str(w) for w in downs if w != most][:6]
        likewise = f" (likewise {', '.join(more)})" if more else ""
        text = f"{noun} just below {most}{likewise}"
        found.append(_finding(lines, "avoid", "one channel less", text, most, most - 1))
    return found


def staircases(model: OperatorModel, overhead_ms: float = 0.0) -> Lines | None:
    """Lines over the width at the measured sweeps and at ordinary layers of measured sizes; None without a sweep.

    Without measured neighbours there is nothing to tell a step from the tree's own edges.
    """
    if not model.sweeps:
        return None
    recipe = operator(model.op).reference
    layers = [sweep.layer for sweep in model.sweeps]
    if recipe is not None:
        layers += recipe.layers(model.op, model.dtype)
        if model.op == "conv_2d":
            layers += recipe.layers(model.op, model.dtype, kernel=1)
    kept, rows, errors = [], [], []
    error = pair_error(model)
    for layer in layers:
        array = geometry([with_width(layer, w) for w in range(1, WIDEST + 2)])
        if np.all(model.stretch(array) <= 1.0):
            calls = model.predict_ms(array)
            times = calls - overhead_ms
            if np.all(times > 0):
                kept.append(layer)
                rows.append(np.concatenate([[np.nan], times]))
                # The error is that of whole calls: of what remains without the overhead it is a larger share.
                errors.append(np.concatenate([[np.nan], error * calls / times]))
    if not kept:
        return None
    sweeps = []
    for sweep in model.sweeps:
        predicted = model.predict_ms(geometry(sweep.at(sweep.widths))) - overhead_ms
        measured = np.array(sweep.times_ms) - overhead_ms
        if np.all(predicted > 0) and np.all(measured > 0):
            sweeps.append((np.array(sweep.widths), measured, predicted))
    return Lines(tuple(kept), np.stack(rows), np.stack(errors), tuple(sweeps))


def main_period(up: set[int]) -> int:
    """The least of `PERIODS` at all of whose first multiples there is a step up; 0 where there is none."""
    for period in PERIODS:
        multiples = range(period, min(max(_LIMIT * period, _AT_LEAST), WIDEST) + 1, period)
        if len(multiples) > 1 and up.issuperset(multiples):
            return period
    return 0


def finer_period(up: set[int], period: int) -> int:
    """The least period that divides `period` and shows below it only; 0 where there is none."""
    for finer in PERIODS:
        if finer < period and period % finer == 0 and up.issuperset(range(finer, period, finer)):
            return finer
    return 0


def _finding(lines: Lines, kind: str, topic: str, text: str, good: int, bad: int) -> WidthFinding:
    ratios = lines.times[:, bad] / lines.times[:, good]
    effect = float(np.median(ratios))
    pairs = tuple(zip(lines.at(good), lines.at(bad), strict=True))
    words = f"{text}: {bad} costs {_more(effect)} {good}"
    return WidthFinding(
        kind, topic, words, effect, float(np.median(lines.errors[:, good])), pairs, (1.0,) * len(pairs),
        lines.measured(good, bad),
    )  # fmt: skip


def _more(effect: float) -> str:
    return times(effect) if effect >= TWICE else f"{effect - 1:.0%} more than"


def times(effect: float) -> str:
    """``twice`` or ``3.1 times``."""
    return "twice" if effect < 2.05 else f"{effect:.2g} times" if effect < 99.5 else f"{effect:.0f} times"
