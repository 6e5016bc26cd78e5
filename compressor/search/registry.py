"""Ways to choose the widths of a network, behind one interface: `SearchMethod`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from profiler.errors import UsageError

if TYPE_CHECKING:
    from compressor.search.base import SearchMethod

METHODS = {
    "deepiot": ("compressor.search.deepiot.method", "DeepIoT"),
    "fastdeepiot": ("compressor.search.deepiot.fastdeepiot", "FastDeepIoT"),
    "importance": ("compressor.search.group_importance", "GroupImportance"),
    "knapsack": ("compressor.search.knapsack", "Knapsack"),
    "netadapt": ("compressor.search.netadapt", "NetAdapt"),
    "optuna": ("compressor.search.optuna.search", "OptunaSearch"),
    "uniform": ("compressor.search.uniform", "UniformWidth"),
    "uniform-snapped": ("compressor.search.uniform_snapped", "UniformSnapped"),
}
"""By name: the module and the class. Modules are imported when asked for."""


def get_method(name: str, **options: object) -> SearchMethod:
    """Make a method by its name.

    Raises
    ------
    UsageError
        There is no such method.
    """
    if name not in METHODS:
        raise UsageError(f"There is no method {name!r}: choose one of {', '.join(sorted(METHODS))}.")
    module, kind = METHODS[name]
    made: SearchMethod = getattr(importlib.import_module(module), kind)(**options)
    return made
