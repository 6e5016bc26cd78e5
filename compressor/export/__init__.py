"""From Keras to a `.tflite` file that was run and compared, and its time on a device in turns.

May import the rooms of data and training.
"""

from __future__ import annotations

from compressor.export.check_rows import Given, load_known
from compressor.export.comparison import Comparison, accuracy, compare, fault
from compressor.export.conversion import (
    CALIBRATION_ROWS,
    RECIPES,
    WEIGHTS_ALONE,
    calibration_rows,
    convert_named,
    quantize_weights,
    to_tflite_bytes,
)
from compressor.export.exporter import (
    Checked,
    ExportResult,
    compare_networks,
    export,
    opened,
    write_checked,
)
from compressor.export.freezing import argument_names
from compressor.export.keras_files import in_float32, input_specs, load_keras, save_keras
from compressor.export.lean import lean
from compressor.export.precision import PrecisionTimes, faster_in_words, keep_float32, precision_times
from compressor.export.running import TfliteRunner, interpreter_class
from compressor.export.silence import quiet, require, tensorflow
from compressor.export.turns import (
    Turns,
    check_target,
    file_outputs,
    file_score,
    layers_ms,
    measure_in_turns,
    seconds_a_turn,
    target_of,
)

__all__ = [
    "CALIBRATION_ROWS",
    "RECIPES",
    "WEIGHTS_ALONE",
    "Checked",
    "Comparison",
    "ExportResult",
    "Given",
    "PrecisionTimes",
    "TfliteRunner",
    "Turns",
    "accuracy",
    "argument_names",
    "calibration_rows",
    "check_target",
    "compare",
    "compare_networks",
    "convert_named",
    "export",
    "faster_in_words",
    "fault",
    "file_outputs",
    "file_score",
    "in_float32",
    "input_specs",
    "interpreter_class",
    "keep_float32",
    "layers_ms",
    "lean",
    "load_keras",
    "load_known",
    "measure_in_turns",
    "opened",
    "precision_times",
    "quantize_weights",
    "quiet",
    "require",
    "save_keras",
    "seconds_a_turn",
    "target_of",
    "tensorflow",
    "to_tflite_bytes",
    "write_checked",
]
