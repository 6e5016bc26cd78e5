"""Data to train, calibrate and judge with, checked before any work starts.

Imports no other room of the compressor.
"""

from __future__ import annotations

from compressor.data.files import read_arrays
from compressor.data.loading import Data, check_data, check_fits, load_data, load_inputs
from compressor.data.split import split_rows

__all__ = ["Data", "check_data", "check_fits", "load_data", "load_inputs", "read_arrays", "split_rows"]
