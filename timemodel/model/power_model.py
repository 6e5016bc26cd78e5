"""`PowerModel`: what a device draws while a layer runs, from which and from its time its energy follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.network import Layer
from timemodel.features import kind_of
from timemodel.model.checking import number, table, text
from timemodel.tree import nonnegative

LIKE_ALL = 2.0
"""An operator is taken to draw as all others do until about so many layers of it say otherwise."""
WIDER = 1.1
"""No layer draws more than this many times what any measured one did, or less than its inverse."""
_GIGA = 1e9

Kind = tuple[str, str]


@dataclass(frozen=True)
class PowerModel:
    """Energy of a layer in mJ: ``base_w`` times its time, and so much for its multiplications and for the bytes that it touches.

    Parameters
    ----------
    source
        Where power was read, in words.
    base_w
        What anything draws that runs, beyond rest.
    mj_per_gmac
        By number type, what 10^9 multiply-accumulates take beside that.
    mj_per_gb
        What 10^9 bytes take that are read or written.
    factors
        By operator and number type, how many times that its layers drew.
    low_w, high_w
        Between these all layers lie.
    idle_w
        What the device draws at rest, which is taken off; None where that is not known (or is part of what was measured).
    layers, error
        Of how many layers the power was measured, and the mean relative error of the power of each, told from the others.
    """

    source: str
    base_w: float
    mj_per_gmac: Mapping[str, float] = field(default_factory=dict)
    mj_per_gb: float = 0.0
    factors: Mapping[Kind, float] = field(default_factory=dict)
    low_w: float = 0.0
    high_w: float = 1e6
    idle_w: float | None = None
    layers: int = 0
    error: float | None = None

    def energies_mj(self, layers: Sequence[Layer], times_ms: np.ndarray) -> np.ndarray:
        """Energies ``[n]`` in mJ of `layers` that take these times; what takes no time takes no energy."""
        times = np.asarray(times_ms, dtype=np.float64)
        macs, moved = _work(layers)
        per_mac = np.array([self.mj_per_gmac.get(layer.dtype, self._usual) for layer in layers])
        factors = np.array([self.factors.get(kind_of(layer), 1.0) for layer in layers])
        energies = factors * (self.base_w * times + per_mac * macs + self.mj_per_gb * moved)
        return np.asarray(np.clip(energies, self.low_w * times, self.high_w * times))

    @property
    def _usual(self) -> float:
        """Of a number type that was not measured."""
        return float(np.mean(list(self.mj_per_gmac.values()))) if self.mj_per_gmac else 0.0

    @classmethod
    def fit(
        cls,
        source: str,
        layers: Sequence[Layer],
        times_ms: np.ndarray,
        power_w: np.ndarray,
        idle_w: float | None = None,
    ) -> PowerModel:
        """Learn from the power of `layers`, one or more, in least relative error; nothing costs less than nothing."""
        model = _fitted(source, layers, times_ms, power_w, idle_w)
        off = []
        folds = np.arange(len(layers)) % min(8, len(layers))
        for fold in range(folds.max() + 1 if len(layers) > 1 else 0):
            here, there = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            other = _fitted(source, [layers[i] for i in here.tolist()], times_ms[here], power_w[here], idle_w)
            energies = other.energies_mj([layers[i] for i in there.tolist()], times_ms[there])
            off += np.abs(energies / times_ms[there] / power_w[there] - 1.0).tolist()
        known = {key: value for key, value in vars(model).items() if key not in ("layers", "error")}
        return cls(**known, layers=len(layers), error=float(np.mean(off)) if off else None)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        factors = [[op, dtype, factor] for (op, dtype), factor in sorted(self.factors.items())]
        return {**vars(self), "mj_per_gmac": dict(self.mj_per_gmac), "factors": factors}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> PowerModel:
        """Read what `to_dict` wrote."""
        rows = table(value["mj_per_gmac"], "its energy of multiplications")
        idle_w, error = (
            None if value[name] is None else number(value[name], name) for name in ("idle_w", "error")
        )
        return cls(
            text(value["source"], "its source of power"),
            number(value["base_w"], "its power"),
            {dtype: number(cost, "an energy of multiplications") for dtype, cost in rows.items()},
            number(value["mj_per_gb"], "its energy of bytes"),
            {
                (text(op, "an operator"), text(dtype, "a dtype")): number(
                    factor, "a factor of power", above=True
                )
                for op, dtype, factor in value["factors"]
            },
            number(value["low_w"], "its least power"),
            number(value["high_w"], "its most power", above=True),
            idle_w,
            int(value["layers"]),
            error,
        )


def _work(layers: Sequence[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Multiply-accumulates and bytes touched ``[n]``, in 10^9, all rounds of a loop together."""
    macs = np.array([layer.macs * layer.repeat for layer in layers], dtype=np.float64) / _GIGA
    moved = [(x.input_bytes + x.output_bytes + x.weight_bytes) * x.repeat for x in layers]
    return macs, np.array(moved, dtype=np.float64) / _GIGA


def _fitted(
    source: str, layers: Sequence[Layer], times_ms: np.ndarray, power_w: np.ndarray, idle_w: float | None
) -> PowerModel:
    macs, moved = _work(layers)
    dtypes = sorted({layer.dtype for layer in layers})
    own = [np.where([layer.dtype == dtype for layer in layers], macs, 0.0) for dtype in dtypes]
    energies = times_ms * power_w
    rows = np.column_stack([times_ms, *own, moved]) / energies[:, None]
    norm = np.sqrt(np.mean(rows**2, axis=0))
    norm = np.where(norm > 0, norm, 1.0)
    scaled = rows / norm
    found = nonnegative.solve(scaled.T @ scaled, scaled.sum(axis=0)) / norm
    bounds = float(power_w.min()) / WIDER, float(power_w.max()) * WIDER
    logs: dict[Kind, list[float]] = {}
    for layer, ratio in zip(layers, (rows @ found).tolist(), strict=True):
        logs.setdefault(kind_of(layer), []).append(-float(np.log(max(ratio, 1e-3))))
    factors = {kind: float(np.exp(sum(own) / (len(own) + LIKE_ALL))) for kind, own in logs.items()}
    per_mac = dict(zip(dtypes, found[1:-1].tolist(), strict=True))
    return PowerModel(source, float(found[0]), per_mac, float(found[-1]), factors, *bounds, idle_w)
