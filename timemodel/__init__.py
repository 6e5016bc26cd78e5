"""From measured layers to a readable model of execution time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timemodel.fitting import fit_profile
    from timemodel.model import LayerPrediction, NetworkPrediction, TimeModel
    from timemodel.tree import TimeTreeRegressor

__all__ = ["LayerPrediction", "NetworkPrediction", "TimeModel", "TimeTreeRegressor", "fit_profile"]

_HOMES = {
    "LayerPrediction": "timemodel.model",
    "NetworkPrediction": "timemodel.model",
    "TimeModel": "timemodel.model",
    "TimeTreeRegressor": "timemodel.tree",
    "fit_profile": "timemodel.fitting",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: scikit-learn takes a second that ``edgetime --help`` must not."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
