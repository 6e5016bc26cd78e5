"""The widths that a device likes: read off predicted staircases, where measured ones do not contradict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from profiler.widths import with_width
from timemodel.explain.finding import AVOID, LIKES, Finding, costs, why
from timemodel.features import geometry
from timemodel.model import OperatorModel, SettingModel, pair_error
from timemodel.staircases import finer_period, main_period

WIDEST = 160

_VECTOR = 4
"""Kernels end on multiples of this. Where a line falls at another width it is the tree's edge and not the device's."""

_USUAL = 64
"""An example is taken from widths up to this, if there is one."""

_AGREEING = 0.75


@dataclass(frozen=True)
class _Lines:
    """Predicted times of several layers at every width, and relative errors of neighbours: column w is width w."""

    layers: tuple[Layer, ...]
    times: np.ndarray  # [layers, WIDEST + 2] in ms
    errors: np.ndarray
    sweeps: tuple[
        tuple[np.ndarray, np.ndarray, np.ndarray], ...
    ]  # widths, measured and predicted ms, overhead off

    def at(self, width: int) -> list[Layer]:
        """The layers with `width` channels."""
        return [with_width(layer, width) for layer in self.layers]

    def ratios(self, good: int, bad: int) -> np.ndarray:
        """How many times as long width `bad` takes as `good` ``[layers]``."""
        return self.times[:, bad] / self.times[:, good]

    def beyond(self, width: int, other: int, work: float) -> bool:
        """Whether `other` costs more than `work` times what `width` does, by more than the error."""
        beyond = self.ratios(width, other) - work > self.errors[:, [width, other]].max(axis=1)
        return bool(np.mean(beyond) >= _AGREEING) and not self._contradicted(min(width, other))

    def _contradicted(self, width: int) -> bool:
        """Whether measured widths on both sides of the step above `width` show less than half of what is predicted."""
        for widths, measured, predicted in self.sweeps:
            at = int(np.searchsorted(widths, width, side="right"))
            if 0 < at < len(widths):
                expected = np.log(predicted[at] / predicted[at - 1])
                if np.log(measured[at] / measured[at - 1]) / expected < 0.5:
                    return True
        return False

    def measured(self, good: int, bad: int) -> float | None:
        """Measured ratio of two widths, of the first sweep that has both."""
        for widths, times_ms, _ in self.sweeps:
            known = dict(zip(widths.tolist(), times_ms.tolist(), strict=True))
            if good in known and bad in known:
                return float(known[bad] / known[good])
        return None


def width_findings(setting: SettingModel, model: OperatorModel) -> list[Finding]:
    """What the model says of widths: multiples it likes, and single widths that cost more than the next wider one."""
    lines = _lines(model, setting.terms.overhead_ms)
    if lines is None:
        return []

    def finding(kind: str, topic: str, text: str, good: int, bad: int) -> Finding:
        effect = float(np.median(lines.ratios(good, bad)))
        pairs = tuple(zip(lines.at(good), lines.at(bad), strict=True))
        works = (1.0,) * len(pairs)
        return Finding(
            kind, model.op, model.dtype, setting.key, topic, f"{text}: {bad} {costs(effect, '', good)}", effect,
            float(np.median(lines.errors[:, good])), why(model, pairs, works, setting.terms.overhead_ms), pairs, works,
            lines.measured(good, bad),
        )  # fmt: skip

    found = []
    noun = operator(model.op).width_name
    ends = {width for width in range(1, WIDEST + 1) if lines.beyond(width, width + 1, 1 + 1 / width)}
    period = main_period(ends, WIDEST)
    if period:
        finer = finer_period(ends, period)
        text = f"{noun} in multiples of {period}" + (f", below that {finer}" if finer else "")
        found.append(finding(LIKES, "widths", text, period, period + 1))
    dips = [width for width in range(_VECTOR, WIDEST + 1, _VECTOR) if lines.beyond(width, width - 1, 1.0)]
    if dips:
        common = [width for width in dips if width <= _USUAL] or dips
        worst = max(common, key=lambda width: float(np.median(lines.ratios(width, width - 1))))
        more = [str(width) for width in dips if width != worst][:6]
        text = f"{noun} just below {worst}" + (f" (likewise {', '.join(more)})" if more else "")
        found.append(finding(AVOID, "one channel less", text, worst, worst - 1))
    return found


def _lines(model: OperatorModel, overhead_ms: float) -> _Lines | None:
    """Lines over the width at the measured sweeps and at reference layers of measured sizes, without a call's overhead."""
    # Without measured neighbours there is nothing to tell a step from the tree's own edges.
    if not model.sweeps:
        return None
    layers = [sweep.layer for sweep in model.sweeps]
    layers += operator(model.op).reference_layers(model.dtype)
    if model.op == "conv_2d":
        layers += operator(model.op).reference_layers(model.dtype, kernel=1)
    kept, rows, errors = [], [], []
    error = pair_error(model)
    for layer in layers:
        array = geometry([with_width(layer, width) for width in range(1, WIDEST + 2)])
        if np.any(model.stretch(array) > 1.0):
            continue
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
        predicted = model.predict_ms(geometry(sweep.layers)) - overhead_ms
        measured = np.array(sweep.times_ms) - overhead_ms
        if np.all(predicted > 0) and np.all(measured > 0):
            sweeps.append((np.array(sweep.widths), measured, predicted))
    return _Lines(tuple(kept), np.stack(rows), np.stack(errors), tuple(sweeps))
