"""What a network would take in another number type, as a whole and operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.network import Network
from profiler.operators import network_with_dtype
from timemodel.model import errors_of

if TYPE_CHECKING:
    from timemodel.model import SettingModel

_TRIED = ("float32", "dynamic_int8", "int8")


@dataclass(frozen=True)
class OperatorInType:
    """All layers of one operator in a network, now and in another number type, in ms.

    `error_ms` is by how much (90%) the difference may be off, `measured` whether the operator was measured there.
    """

    op: str
    layers: int
    now_ms: float
    other_ms: float
    error_ms: float
    measured: bool

    @property
    def slower(self) -> bool:
        """Whether it surely takes longer there."""
        return self.other_ms - self.now_ms > self.error_ms

    @property
    def faster(self) -> bool:
        """Whether it surely takes less there."""
        return self.now_ms - self.other_ms > self.error_ms


@dataclass(frozen=True)
class NumberType:
    """A network in another number type.

    Parameters
    ----------
    dtype
        Such as ``int8``: everything quantised, inputs and outputs too; ``dynamic_int8``: weights only.
    saving_ms, saving_share
        What it would take less than now (negative: more).
    error_ms
        By how much (90%) the saving may be off.
    operators
        What differs most comes first.
    """

    dtype: str
    predicted_ms: float
    saving_ms: float
    saving_share: float
    error_ms: float
    operators: tuple[OperatorInType, ...]


def number_types(time_model: Any, network: Network, setting: str | None = None) -> tuple[NumberType, ...]:
    """The network in every other number type in which the model has measured what the network spends its time in.

    Parameters
    ----------
    time_model
        A `TimeModel`; of other timers nothing is known, and nothing is returned.
    """
    if not hasattr(time_model, "setting") or network.dtype not in _TRIED:
        return ()
    model: SettingModel = time_model.setting(setting)
    now = model.in_network_ms(network).predicted_ms
    found = []
    for dtype in _TRIED:
        if dtype == network.dtype:
            continue
        changed = network_with_dtype(network, dtype)
        times = model.in_network_ms(changed)
        # Most of the time must come from what was measured in that type, or the comparison means nothing.
        if (
            not len(changed.layers)
            or times.predicted_ms[times.covered].sum() < 0.5 * times.predicted_ms.sum()
        ):
            continue
        if all(one.dtype != dtype for one in changed.layers):
            continue
        total = time_model.predict_total_ms(network, setting=setting)
        before = time_model.predict(network, setting=setting)
        after = time_model.predict(changed, setting=setting)
        error = float(
            np.hypot(
                max(before.high_ms - before.predicted_ms, before.predicted_ms - before.low_ms),
                max(after.high_ms - after.predicted_ms, after.predicted_ms - after.low_ms),
            )
        )
        saving = total - after.predicted_ms
        found.append(
            NumberType(
                dtype, after.predicted_ms, saving, saving / total if total > 0 else 0.0, error,
                _by_operator(model, network, now, changed, times.predicted_ms, times.covered),
            )
        )  # fmt: skip
    return tuple(found)


def _by_operator(
    model: SettingModel,
    network: Network,
    now: np.ndarray,
    changed: Network,
    other: np.ndarray,
    covered: np.ndarray,
) -> tuple[OperatorInType, ...]:
    errors = errors_of(model)

    def sums(layers: Sequence[Any], times: np.ndarray) -> dict[str, tuple[int, float, float]]:
        kinds: dict[str, dict[Any, float]] = {}
        for layer, time in zip(layers, times.tolist(), strict=True):
            row = kinds.setdefault(layer.op, {})
            row[layer] = row.get(layer, 0.0) + time
        counts: dict[str, int] = {}
        for layer in layers:
            counts[layer.op] = counts.get(layer.op, 0) + 1
        return {
            op: (
                counts[op],
                sum(row.values()),
                float(np.linalg.norm([errors.of(layer)[0] * time for layer, time in row.items()])),
            )
            for op, row in kinds.items()
        }

    before, after = sums(network.layers, now), sums(changed.layers, other)
    seen: dict[str, bool] = {}
    for layer, known in zip(changed.layers, covered.tolist(), strict=True):
        seen[layer.op] = seen.get(layer.op, True) and bool(known)
    rows = []
    for op in dict.fromkeys([*before, *after]):
        count, was, was_error = before.get(op, (0, 0.0, 0.0))
        more, now_ms, now_error = after.get(op, (0, 0.0, 0.0))
        rows.append(
            OperatorInType(
                op, max(count, more), was, now_ms, float(np.hypot(was_error, now_error)), seen.get(op, True)
            )
        )
    return tuple(sorted(rows, key=lambda row: -abs(row.now_ms - row.other_ms)))
