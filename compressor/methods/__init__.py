"""Ways to choose the widths of a network, behind one interface: `SearchMethod`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from profiler.errors import UsageError

if TYPE_CHECKING:
    from compressor.methods.base import SearchMethod

METHODS = {
    "deepiot": ("compressor.methods.deepiot", "DeepIoT"),
    "fastdeepiot": ("compressor.methods.fastdeepiot", "FastDeepIoT"),
    "importance": ("compressor.methods.group_importance", "GroupImportance"),
    "knapsack": ("compressor.methods.knapsack", "Knapsack"),
    "netadapt": ("compressor.methods.netadapt", "NetAdapt"),
    "optuna": ("compressor.methods.optuna_search", "OptunaSearch"),
    "uniform": ("compressor.methods.uniform", "UniformWidth"),
    "uniform-snapped": ("compressor.methods.uniform_snapped", "UniformSnapped"),
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
