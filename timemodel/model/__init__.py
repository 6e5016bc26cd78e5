"""`TimeModel` and its parts, predictions with intervals, and the file that keeps them.

May import the rooms of features, tree and runtime.
"""

from timemodel.model.conditions import Conditions, Load
from timemodel.model.differences import ChangeErrors, pair_error, single_error
from timemodel.model.layer_times import FALLBACK, is_estimate, is_nameless
from timemodel.model.operator_fit import (
    FEWEST_PROBES,
    MIN_PROBES,
    conformal_bounds,
    describe,
    find_tiles,
    fit_operator,
)
from timemodel.model.operator_model import (
    SLOWEST,
    WAITS_FOR,
    OperatorModel,
    Sweep,
    feature_matrix,
    unfitted_tree,
)
from timemodel.model.power_model import PowerModel
from timemodel.model.prediction import LayerPrediction, NetworkPrediction, NetworkPredictor, in_words
from timemodel.model.setting_model import SettingModel
from timemodel.model.slowest import CALL
from timemodel.model.time_model import TimeModel

__all__ = [
    "CALL",
    "FALLBACK",
    "FEWEST_PROBES",
    "MIN_PROBES",
    "SLOWEST",
    "WAITS_FOR",
    "ChangeErrors",
    "Conditions",
    "LayerPrediction",
    "Load",
    "NetworkPrediction",
    "NetworkPredictor",
    "OperatorModel",
    "PowerModel",
    "SettingModel",
    "Sweep",
    "TimeModel",
    "conformal_bounds",
    "describe",
    "feature_matrix",
    "find_tiles",
    "fit_operator",
    "in_words",
    "is_estimate",
    "is_nameless",
    "pair_error",
    "single_error",
    "unfitted_tree",
]
