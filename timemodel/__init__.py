"""From measured layers to a readable model of execution time."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timemodel.fitting import fit_profile
    from timemodel.model import LayerPrediction, NetworkPrediction, TimeModel
    from timemodel.tree import TimeTreeRegressor

__all__ = ["LayerPrediction", "NetworkPrediction", "TimeModel", "TimeTreeRegressor", "fit_profile"]

_ROOMS = {"TimeTreeRegressor": "tree", "fit_profile": "fitting"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: scikit-learn takes a second that ``edgetime --help`` must not."""
    if name in __all__:
        return getattr(importlib.import_module(f"timemodel.{_ROOMS.get(name, 'model')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
