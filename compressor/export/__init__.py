"""From Keras to a `.tflite` file that was run and compared, and its time on a device in turns.

May import the rooms of data and training.
"""

from __future__ import annotations

from compressor.export.comparison import accuracy, compare, fault, top_class
from compressor.export.conversion import to_tflite_bytes
from compressor.export.exporter import ExportResult, export
from compressor.export.freezing import argument_names
from compressor.export.keras_files import input_specs, load_keras, save_keras
from compressor.export.running import TfliteRunner
from compressor.export.silence import quiet, require, tensorflow
from compressor.export.tensor_types import read_types
from compressor.export.turns import (
    Turns,
    check_target,
    file_score,
    layers_ms,
    measure_in_turns,
    seconds_a_turn,
    target_of,
)

__all__ = [
    "ExportResult",
    "TfliteRunner",
    "Turns",
    "accuracy",
    "argument_names",
    "check_target",
    "compare",
    "export",
    "fault",
    "file_score",
    "input_specs",
    "layers_ms",
    "load_keras",
    "measure_in_turns",
    "quiet",
    "read_types",
    "require",
    "save_keras",
    "seconds_a_turn",
    "target_of",
    "tensorflow",
    "to_tflite_bytes",
    "top_class",
]
