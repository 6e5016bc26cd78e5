"""``optuna``: Optuna searches the proportions of widths, alone or in many processes that share a study.

It may import what search methods may: costs, graph, training, and `compressor.search.base`.
"""

from __future__ import annotations

from compressor.search.optuna.search import OptunaSearch
from compressor.search.optuna.storage import (
    DATABASE,
    checked_url,
    reading,
    shown_url,
    with_password,
    without_password,
)
from compressor.search.optuna.study import ABOUT, OVER

__all__ = [
    "ABOUT",
    "DATABASE",
    "OVER",
    "OptunaSearch",
    "checked_url",
    "reading",
    "shown_url",
    "with_password",
    "without_password",
]
