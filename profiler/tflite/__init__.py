"""Reading and writing `.tflite` files without TensorFlow.

May import `profiler.operators`, whose entries say how operators are stored.
"""

from __future__ import annotations

from profiler.tflite.flatbuffer import Buffer, FlatbufferError, Table
from profiler.tflite.graph import RawGraph, RawModel, RawOperator, RawTensor, read_model
from profiler.tflite.loops import trip_count
from profiler.tflite.reader import read_network
from profiler.tflite.schema import (
    ACTIVATIONS,
    OPERATORS,
    TENSOR_TYPE_CODES,
    TENSOR_TYPES,
)
from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode

__all__ = [
    "ACTIVATIONS",
    "OPERATORS",
    "TENSOR_TYPES",
    "TENSOR_TYPE_CODES",
    "Buffer",
    "FlatbufferError",
    "ModelPlan",
    "OperatorPlan",
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
