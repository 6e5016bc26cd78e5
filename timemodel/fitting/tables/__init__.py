"""From tables of layer measurements to a time model."""

from timemodel.fitting.tables.csv_files import Csv, read_csv, read_text
from timemodel.fitting.tables.fit import (
    MAX_LEAVES,
    fit_layers,
    fit_leaves,
    fit_table_operator,
    fit_tables,
    sampled_tiles,
    table_model,
)
from timemodel.fitting.tables.table import (
    TIME_COLUMNS,
    UNITS,
    LayerTable,
    checked,
    read_table,
    write_predictions,
)

__all__ = [
    "MAX_LEAVES",
    "TIME_COLUMNS",
    "UNITS",
    "Csv",
    "LayerTable",
    "checked",
    "fit_layers",
    "fit_leaves",
    "fit_table_operator",
    "fit_tables",
    "read_csv",
    "read_table",
    "read_text",
    "sampled_tiles",
    "table_model",
    "write_predictions",
]
