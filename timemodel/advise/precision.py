"""What a network would take in another number type, as a whole and operator by operator."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from profiler.network import Layer, Network
from profiler.operators import network_with_dtype
from timemodel.advise.results import NumberType, OperatorInType
from timemodel.model import ChangeErrors, NetworkPrediction, SettingModel

_TRIED = ("float32", "dynamic_int8", "int8")
_MEASURED = 0.5
"""So much of a network's time must come from what was measured in a number type, or the comparison means nothing."""


def number_types(time_model: Any, network: Network, setting: str | None = None) -> tuple[NumberType, ...]:
    """The network in every other number type in which a `TimeModel` has measured what it spends its time in.

    None where the time of an operator is not known at all, see `NetworkPrediction.at_least`.
    """
    if not hasattr(time_model, "setting") or network.dtype not in _TRIED:
        return ()
    model: SettingModel = time_model.setting(setting)
    found = []
    for dtype in _TRIED:
        if not model.runs(dtype):
            continue
        changed = network_with_dtype(network, dtype)
        if dtype == network.dtype or all(layer.dtype != dtype for layer in changed.layers):
            continue
        times = model.in_network_ms(changed)
        if times.predicted_ms[times.covered].sum() < _MEASURED * times.predicted_ms.sum():
            continue
        before = time_model.predict(network, setting=setting)
        after = time_model.predict(changed, setting=setting)
        if before.at_least or after.at_least:
            continue  # what is left out of one may be in the other
        saving = before.predicted_ms - after.predicted_ms
        share = saving / before.predicted_ms if before.predicted_ms > 0 else 0.0
        error = float(np.hypot(_error_ms(before), _error_ms(after)))
        rows = _by_operator(model, network, changed)
        known = before.energy_mj is not None and after.energy_mj is not None
        saving_mj = (before.energy_mj or 0.0) - (after.energy_mj or 0.0) if known else None
        found.append(NumberType(after.predicted_ms, saving, share, error, dtype, rows, saving_mj=saving_mj))
    return tuple(found)


def _error_ms(prediction: NetworkPrediction) -> float:
    middle = prediction.predicted_ms
    return max(prediction.high_ms - middle, middle - prediction.low_ms)


def _by_operator(model: SettingModel, network: Network, changed: Network) -> tuple[OperatorInType, ...]:
    errors = ChangeErrors(model)
    now, times = model.in_network_ms(network), model.in_network_ms(changed)
    before = _sums(network.layers, now.predicted_ms, errors)
    after = _sums(changed.layers, times.predicted_ms, errors)
    covered = zip(changed.layers, times.covered, strict=True)
    estimated = {layer.op for layer, measured in covered if not measured}
    rows = []
    for op in dict.fromkeys([*before, *after]):
        count, now_ms, now_error = before.get(op, (0, 0.0, 0.0))
        other_count, other_ms, other_error = after.get(op, (0, 0.0, 0.0))
        count, error_ms = max(count, other_count), float(np.hypot(now_error, other_error))
        rows.append(OperatorInType(op, count, now_ms, other_ms, error_ms, op not in estimated))
    return tuple(sorted(rows, key=lambda row: -abs(row.now_ms - row.other_ms)))


def _sums(
    layers: Sequence[Layer], times_ms: np.ndarray, errors: ChangeErrors
) -> dict[str, tuple[int, float, float]]:
    """By operator: its layers, their time and its error. Equal layers are equally wrong, so theirs add up."""
    counts = Counter(layer.op for layer in layers)
    kinds: defaultdict[str, defaultdict[Layer, float]] = defaultdict(lambda: defaultdict(float))
    for layer, time_ms in zip(layers, times_ms.tolist(), strict=True):
        kinds[layer.op][layer] += time_ms
    sums = {}
    for op, row in kinds.items():
        off_ms = [errors.of(layer)[0] * time_ms for layer, time_ms in row.items()]
        sums[op] = counts[op], sum(row.values()), float(np.linalg.norm(off_ms))
    return sums
