"""`TimeModel` and its parts, predictions with intervals, and the file that keeps them.

May import the rooms of features, tree and runtime.
"""

from __future__ import annotations

from timemodel.model.differences import ChangeErrors, pair_error, single_error
from timemodel.model.file import checksum, signed
from timemodel.model.operator_model import (
    MIN_PROBES,
    OperatorError,
    OperatorModel,
    conformal_bounds,
    feature_matrix,
    find_tiles,
    fit_operator,
)
from timemodel.model.prediction import LayerPrediction, NetworkPrediction
from timemodel.model.setting_model import FALLBACK, SettingModel, kernel_of
from timemodel.model.sweeps import WITH_WIDTH, Sweep, find_sweeps, width_of, with_width
from timemodel.model.time_model import TimeModel

__all__ = [
    "FALLBACK",
    "MIN_PROBES",
    "WITH_WIDTH",
    "ChangeErrors",
    "LayerPrediction",
    "NetworkPrediction",
    "OperatorError",
    "OperatorModel",
    "SettingModel",
    "Sweep",
    "TimeModel",
    "checksum",
    "conformal_bounds",
    "feature_matrix",
    "find_sweeps",
    "find_tiles",
    "fit_operator",
    "kernel_of",
    "pair_error",
    "signed",
    "single_error",
    "width_of",
    "with_width",
]
