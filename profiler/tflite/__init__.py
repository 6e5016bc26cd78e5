"""Reading and writing `.tflite` files without TensorFlow.

May import `profiler.network`.
"""

from __future__ import annotations

from profiler.tflite.flatbuffer import Buffer, FlatbufferError, Table
from profiler.tflite.graph import RawGraph, RawModel, RawOperator, RawTensor, read_model
from profiler.tflite.loops import trip_count
from profiler.tflite.reader import read_network
from profiler.tflite.schema import (
    ACTIVATIONS,
    OPERATORS,
    OPTION_TYPES,
    OPTION_TYPES_2,
    TENSOR_TYPE_CODES,
    TENSOR_TYPES,
    OptionField,
)
from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode

__all__ = [
    "ACTIVATIONS",
    "OPERATORS",
    "OPTION_TYPES",
    "OPTION_TYPES_2",
    "TENSOR_TYPES",
    "TENSOR_TYPE_CODES",
    "Buffer",
    "FlatbufferError",
    "ModelPlan",
    "OperatorPlan",
    "OptionField",
    "RawGraph",
    "RawModel",
    "RawOperator",
    "RawTensor",
    "Table",
    "TensorPlan",
    "encode",
    "read_model",
    "read_network",
    "trip_count",
]
