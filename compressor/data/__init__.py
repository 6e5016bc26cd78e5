"""Data to train, calibrate and judge with, checked before any work starts.

Imports no other room of the compressor.
"""

from __future__ import annotations

from compressor.data.checks import format_shape
from compressor.data.dataset import Data, check_data, check_fits
from compressor.data.files import read_arrays
from compressor.data.loading import load_data, load_inputs
from compressor.data.rows import Rows, each, evenly, joined, named, row_count, take
from compressor.data.split import split_rows

__all__ = [
    "Data",
    "Rows",
    "check_data",
    "check_fits",
    "each",
    "evenly",
    "format_shape",
    "joined",
    "load_data",
    "load_inputs",
    "named",
    "read_arrays",
    "row_count",
    "split_rows",
    "take",
]
