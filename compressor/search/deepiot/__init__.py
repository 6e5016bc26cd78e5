"""``deepiot`` and ``fastdeepiot``: a network that looks at weights learns which channels can go."""

from __future__ import annotations

from compressor.search.deepiot.fastdeepiot import FastDeepIoT, TimeSteering, expected
from compressor.search.deepiot.keep_network import (
    KeepNetwork,
    WeightViews,
    drawn_masks,
    log_probability,
    moved_average,
    reinforce_loss,
    thresholded,
)
from compressor.search.deepiot.method import DeepIoT
from compressor.search.deepiot.rates import Rates
from compressor.search.deepiot.training import Training
from compressor.search.deepiot.twin import folded, masked_twin

__all__ = [
    "DeepIoT",
    "FastDeepIoT",
    "KeepNetwork",
    "Rates",
    "TimeSteering",
    "Training",
    "WeightViews",
    "drawn_masks",
    "expected",
    "folded",
    "log_probability",
    "masked_twin",
    "moved_average",
    "reinforce_loss",
    "thresholded",
]
