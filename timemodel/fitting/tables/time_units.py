"""Times that look a thousand times too long or too short: units mixed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profiler.network import Layer
from timemodel.tree import nonnegative

THOUSAND = float(np.log(1000.0))
_TOLERANCE = float(np.log(3.5))
_GAP = float(np.log(4.0))

TOO_SHORT_MS = 1e-5
"""No call of a layer takes less than ten nanoseconds."""

TOO_FAST = 1.5e14
"""No device multiplies faster than this, per second, in half of its layers, or four times faster in its best."""

TOO_LONG_MS = 2000.0
"""Nobody measures tables of layers that take seconds each."""

SLOWEST_START_MS = 20.0
"""No device that multiplies `FAST` and more per second needs so long to start a layer."""

FAST = 1e8
LARGE_BYTES = 4e6
"""A layer with so much data runs on nothing that multiplies less than `FAST` per second."""

SLOWEST_BYTES = 2e8
"""Nor on anything that reads less than this per second, where reading is most of the work."""

FASTEST_BYTES = 1.2e13
"""No memory, and hardly a cache, delivers more than this per second in half of the layers, or four times more in the best."""


@dataclass(frozen=True)
class Suspicion:
    """Why times look wrong, and the unit that would make them plausible (None where units look mixed)."""

    reason: str
    unit: str | None
    rows: tuple[int, ...] = ()


def suspect(layers: Sequence[Layer], times_ms: np.ndarray) -> Suspicion | None:
    """What is implausible about `times_ms` of `layers` if they are milliseconds; None where nothing is."""
    work = [(x.macs, x.input_bytes + x.output_bytes + x.weight_bytes) for x in layers]
    macs, moved = np.array(work, dtype=np.float64).reshape(-1, 2).T
    mixed = _mixed(macs, moved, times_ms)
    if mixed is not None:
        return mixed
    rate = macs / times_ms * 1e3
    busy = macs > 0
    if float(np.quantile(times_ms, 0.05)) < TOO_SHORT_MS:
        return Suspicion(f"the shortest layers take {times_ms.min() * 1e6:.2g} nanoseconds", "s")
    if busy.any() and _beyond(rate[busy], TOO_FAST):
        return Suspicion(f"layers multiply {np.median(rate[busy]):.1e} times per second", "s")
    speed = moved / times_ms * 1e3
    large = moved > LARGE_BYTES
    heavy = speed[large] if large.any() else speed
    if _beyond(heavy, FASTEST_BYTES):
        return Suspicion(f"layers move {np.median(heavy):.1e} bytes per second", "s")
    middle = float(np.median(times_ms))
    if middle > TOO_LONG_MS:
        return Suspicion(f"half of the layers take more than {middle / 1e3:.1f} seconds", "us")
    if not busy.any():
        return None
    best = float(np.quantile(rate[busy], 0.95))
    large &= busy
    if large.any():
        fastest, usual = np.quantile(speed[large], 0.95), np.median(rate[large])
        if fastest < SLOWEST_BYTES:
            return Suspicion(
                f"layers with megabytes of data move at most {fastest:.1e} bytes per second", "us"
            )
        if usual < FAST:
            return Suspicion(
                f"layers with megabytes of data multiply only {usual:.1e} times per second", "us"
            )
    # What remains when even a thirtieth of the best speed is granted is what every layer waits before it starts.
    start = float(np.min(times_ms[busy] - macs[busy] / best * 30e3))
    if best > FAST and start > SLOWEST_START_MS:
        return Suspicion(f"even the smallest layers take more than {start:.0f} ms", "us")
    return None


def _beyond(rates: np.ndarray, most: float) -> bool:
    return bool(np.median(rates) > most or np.quantile(rates, 0.95) > 4 * most)


def _mixed(macs: np.ndarray, moved: np.ndarray, times_ms: np.ndarray) -> Suspicion | None:
    """Two heaps of rows a thousandfold apart, when times are held against the work they were taken for."""
    if len(times_ms) < 8:
        return None
    residual = _against_work(np.column_stack([np.ones(len(macs)), macs, moved]), times_ms)
    order = np.argsort(residual)
    ordered = residual[order]
    gaps = np.diff(ordered)
    at = int(np.argmax(gaps))
    apart = float(np.median(ordered[at + 1 :]) - np.median(ordered[: at + 1]))
    low, high = order[: at + 1], order[at + 1 :]
    few, most = (low, high) if len(low) <= len(high) else (high, low)
    spread = float(np.std(residual[most]))
    # The middle of a few rows is nearer to or further from the rest by chance.
    tolerance = _TOLERANCE + spread / np.sqrt(len(few))
    if gaps[at] < max(_GAP, 2 * spread) or abs(apart - THOUSAND) > tolerance:
        return None
    than = f"a thousand times {'shorter' if few is low else 'longer'} than the rest for their work"
    rows = tuple(sorted(few.tolist()))
    return Suspicion(f"{len(few)} of {len(residual)} rows take about {than}", None, rows)


def _against_work(work: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Logarithms ``[n]`` of times by what most rows take for the work they do (sums of the columns of `work` ``[n, k]``)."""
    # Rows a thousand times off draw the line towards whichever heap it begins at. So several beginnings are tried, the time
    # of each kind of work alone, and each with the lower heap put a thousand times higher: what agrees with most rows counts.
    best, least = np.zeros(len(times_ms)), np.inf
    for column in work.T:
        if not np.all(column > 0):
            continue
        plain = _robust_residual(work, times_ms, column * np.median(times_ms / column))
        joined = _joined(work, times_ms, plain)
        for residual, shifted in ((plain, plain), joined):
            loss = float(np.log1p((shifted / _GAP) ** 2).sum())
            if loss < least:
                best, least = residual, loss
    return best


def _joined(work: np.ndarray, times_ms: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of times and of shifted times against a line through two heaps, of which the lower was shifted."""
    order = np.sort(residual)
    sums, count = np.cumsum(order)[:-1], np.arange(1, len(order))
    # Two heaps are parted where their means are furthest from each other, by their sizes.
    apart = ((order.sum() - sums) / (len(order) - count) - sums / count) ** 2 * count * (len(order) - count)
    at = int(np.argmax(apart))
    low = residual <= order[at]
    for _ in range(4):
        whole = np.where(low, times_ms * 1e3, times_ms)
        shifted = _robust_residual(work, whole, whole * np.exp(-residual - THOUSAND * low))
        residual = shifted - THOUSAND * low
        low = residual < -THOUSAND / 2
    return residual, shifted


def _robust_residual(work: np.ndarray, times_ms: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Least squares in logarithms, by reweighting, from `fitted` on: a few rows a thousand times off do not rule the line."""
    residual = np.log(times_ms / fitted)
    for _ in range(12):
        excess = np.expm1(residual)
        slope = np.where(np.abs(excess) > 1e-6, residual / np.where(excess == 0, 1.0, excess), 1.0)
        weight = slope**2 / (1.0 + (residual / _GAP) ** 2)
        rows = work / fitted[:, None]
        norm = np.sqrt(np.mean(rows**2, axis=0))
        rows = rows / np.where(norm > 0, norm, 1.0)
        gram, moment = (rows * weight[:, None]).T @ rows, rows.T @ (weight * times_ms / fitted)
        fitted = np.maximum(rows @ nonnegative.solve(gram, moment) * fitted, 1e-12)
        residual = np.log(times_ms / fitted)
        middle = float(np.median(residual))
        residual, fitted = residual - middle, fitted * np.exp(middle)
    return residual
