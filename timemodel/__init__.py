"""From measured layers to a readable model of execution time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timemodel.advise import advise
    from timemodel.fitting import fit_profile
    from timemodel.model import LayerPrediction, NetworkPrediction, TimeModel
    from timemodel.tree import TimeTreeRegressor

__all__ = ["LayerPrediction", "NetworkPrediction", "TimeModel", "TimeTreeRegressor", "advise", "fit_profile"]

_HOMES = {
    "LayerPrediction": "timemodel.model.prediction",
    "NetworkPrediction": "timemodel.model.prediction",
    "TimeModel": "timemodel.model.time_model",
    "TimeTreeRegressor": "timemodel.tree.regressor",
    "advise": "timemodel.advise.advice",
    "fit_profile": "timemodel.fitting.profile",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: scikit-learn takes a second that ``edgetime --help`` must not."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
