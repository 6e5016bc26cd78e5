"""Names of edgetime's search methods: light, since every ``--help`` shows them."""

from __future__ import annotations

METHODS = {
    "deepiot": ("compressor.search.deepiot.method", "DeepIoT"),
    "fastdeepiot": ("compressor.search.deepiot.method", "FastDeepIoT"),
    "importance": ("compressor.search.group_importance", "GroupImportance"),
    "knapsack": ("compressor.search.knapsack", "Knapsack"),
    "netadapt": ("compressor.search.netadapt", "NetAdapt"),
    "optuna": ("compressor.search.optuna.search", "OptunaSearch"),
    "structure": ("compressor.search.structure", "StructureSearch"),
    "uniform": ("compressor.search.uniform", "UniformWidth"),
    "uniform-snapped": ("compressor.search.uniform", "UniformSnapped"),
}
"""The methods of edgetime by name: the module and the class. Modules are imported when asked for."""

DEFAULT, SHARED_DEFAULT = "structure", "optuna"
"""The method where none is named: in one process, and where several take part, which not every method knows how to."""
