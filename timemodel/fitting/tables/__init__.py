"""From tables of layer measurements to a time model."""

from __future__ import annotations

from timemodel.fitting.tables.csv_files import Csv, Record, read_csv
from timemodel.fitting.tables.fit import (
    MAX_LEAVES,
    described,
    fit_leaves,
    fit_structure,
    fit_table_operator,
    fit_tables,
    table_model,
)
from timemodel.fitting.tables.shared_tree import grow_shared
from timemodel.fitting.tables.table import (
    TIME_COLUMNS,
    UNITS,
    LayerTable,
    checked,
    read_table,
    write_predictions,
)
from timemodel.fitting.tables.time_units import suspect

__all__ = [
    "MAX_LEAVES",
    "TIME_COLUMNS",
    "UNITS",
    "Csv",
    "LayerTable",
    "Record",
    "checked",
    "described",
    "fit_leaves",
    "fit_structure",
    "fit_table_operator",
    "fit_tables",
    "grow_shared",
    "read_csv",
    "read_table",
    "suspect",
    "table_model",
    "write_predictions",
]
