"""From Keras to a `.tflite` file that was run and compared, and its time on a device in turns.

May import the rooms of data and training.
"""

from __future__ import annotations

from compressor.export.comparison import accuracy
from compressor.export.conversion import to_tflite_bytes
from compressor.export.exporter import ExportResult, export, load_known
from compressor.export.keras_files import input_specs, load_keras, save_keras
from compressor.export.precision import PrecisionTimes, faster_in_words, keep_float32, precision_times
from compressor.export.running import TfliteRunner
from compressor.export.silence import require, tensorflow
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
    "PrecisionTimes",
    "TfliteRunner",
    "Turns",
    "accuracy",
    "check_target",
    "export",
    "faster_in_words",
    "file_score",
    "input_specs",
    "keep_float32",
    "layers_ms",
    "load_keras",
    "load_known",
    "measure_in_turns",
    "precision_times",
    "require",
    "save_keras",
    "seconds_a_turn",
    "target_of",
    "tensorflow",
    "to_tflite_bytes",
]
