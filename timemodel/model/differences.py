"""How sure a time model is of a *difference*: of one layer against a like one, of a network against a changed one.

Errors of like layers go together, so a difference is known better than either time: how much is read off measured sweeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from profiler.network import Layer
from timemodel.features import geometry, kind_of
from timemodel.model.operator_model import OperatorModel
from timemodel.model.setting_model import SettingModel

_SHARE = 0.9
"""Share of differences that lie within the error, as of single times."""

_UNKNOWN = 1.0
"""Relative error of a layer that the model never measured: any difference of such layers may be wrong."""

_MOST = 1.0


def single_error(model: OperatorModel) -> float:
    """Half the width, relative, of the 90% interval of one layer that the model did not learn from."""
    return float(min(max(model.high - 1.0, 1.0 - model.low, 0.01), _MOST))


def pair_error(model: OperatorModel) -> float:
    """Relative error (90%) of the ratio of two like layers, by all pairs of measured widths within a factor of two."""
    found = []
    for sweep in model.sweeps:
        widths = np.array(sweep.widths)
        predicted = np.maximum(model.predict_ms(geometry(sweep.layers)), 1e-12)
        off = np.log(sweep.times_ms) - np.log(predicted)
        one, two = np.triu_indices(len(widths), 1)
        near = widths[two] <= 2 * widths[one]
        found.append(np.abs(off[two] - off[one])[near])
    if not found or not sum(map(len, found)):
        return single_error(model)
    error = float(np.expm1(np.quantile(np.concatenate(found), _SHARE)))
    # The sweeps are few layers and the model has seen them.
    return float(np.clip(max(error, model.error.median_error), 0.005, max(single_error(model), 0.005)))


class ChangeErrors:
    """Errors of differences under one setting, as its model is now; what is worked out per operator is kept."""

    def __init__(self, model: SettingModel) -> None:
        self._model = model
        self._known: dict[tuple[str, str], tuple[float, float]] = {}

    def of(self, layer: Layer) -> tuple[float, float]:
        """Relative errors (90%) for `layer`: of a single time, and of the ratio of two like layers."""
        key = kind_of(layer)
        if key not in self._known:
            model, measured = self._model.find(*key)
            if model is None or not measured:
                self._known[key] = (_UNKNOWN, _UNKNOWN)
            else:
                self._known[key] = (single_error(model), pair_error(model))
        return self._known[key]

    def change_ms(self, before: Sequence[Layer], after: Sequence[Layer]) -> float:
        """By how much (90%) the predicted saving of a change may be off, in ms; the same layers in the same order."""
        kinds = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
        if not kinds:
            return 0.0
        olds, news = [old for old, _ in kinds], [new for _, new in kinds]
        was, now = self._model.predict_layers_ms(olds), self._model.predict_layers_ms(news)
        errors = np.array([self.of(layer) for layer in news])
        # That of a single time, on what is saved, and that of the ratio of two like layers, on what remains. Equal layers are
        # equally wrong, so theirs add up; different ones partly average out.
        per_layer = np.hypot(errors[:, 0] * (was - now), errors[:, 1] * now)
        return float(np.linalg.norm(per_layer * np.array(list(kinds.values()))))
