"""Data to train, calibrate and judge with, checked before any work starts.

Imports no other room of the compressor.
"""

from __future__ import annotations

from compressor.data.dataset import Data, check_data, check_fits, split_rows
from compressor.data.loading import load_data, load_inputs, read_arrays
from compressor.data.overlap import copies, shared_rows
from compressor.data.rows import Rows, each, evenly, format_shape, joined, named, row_count, take
from compressor.data.stored import StoredRows

__all__ = [
    "Data",
    "Rows",
    "StoredRows",
    "check_data",
    "check_fits",
    "copies",
    "each",
    "evenly",
    "format_shape",
    "joined",
    "load_data",
    "load_inputs",
    "named",
    "read_arrays",
    "row_count",
    "shared_rows",
    "split_rows",
    "take",
]
