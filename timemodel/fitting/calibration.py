"""What small whole networks say of the sum of their layers: a factor by number type, and how far others lie from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from profiler.probes import Probe
from timemodel.model import MIN_PROBES, SettingModel, conformal_bounds

Measured = tuple[Probe, float]
"""A probe and its time in ms."""


def calibrated(model: SettingModel, networks: Sequence[Measured]) -> SettingModel:
    """`model` without calibration, with one (and an interval) by at least `MIN_PROBES` networks of a number type.

    Networks whose time is not all known tell nothing of it.
    """
    by_dtype: dict[str, list[float]] = {}
    for probe, time in networks:
        predicted_ms = model.predict_total_ms(probe.network)
        if not predicted_ms > 0 or not model.in_network_ms(probe.network).known.all():
            continue
        ratio = np.log(time / predicted_ms)
        by_dtype.setdefault(probe.network.dtype, []).append(float(ratio))
    enough = {dtype: ratios for dtype, ratios in by_dtype.items() if len(ratios) >= MIN_PROBES}
    middles = {dtype: float(np.median(ratios)) for dtype, ratios in enough.items()}
    calibration = {dtype: float(np.exp(middle)) for dtype, middle in middles.items()}
    low, high = {}, {}
    if enough:
        # What is left is alike in all number types, and its tails want many networks.
        left = np.concatenate([np.array(ratios) - middles[dtype] for dtype, ratios in enough.items()])
        bounds = conformal_bounds(np.exp(left))
        low, high = ({dtype: bound for dtype in enough} for bound in bounds)
    return model.with_terms(replace(model.terms, calibration=calibration, low=low, high=high))
