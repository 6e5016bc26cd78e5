"""Reading and writing `.tflite` files without TensorFlow.

May import `profiler.operators`, whose entries say how operators are stored.
"""

from __future__ import annotations

from profiler.tflite.flatbuffer import Buffer, FlatbufferError
from profiler.tflite.graph import RawGraph, RawModel, RawOperator, read_model
from profiler.tflite.objects import append, schema, to_bytes, to_objects
from profiler.tflite.parameters import operator_params
from profiler.tflite.reader import read_network
from profiler.tflite.schema import OPERATORS
from profiler.tflite.signatures import only_signature, read_signatures
from profiler.tflite.splitting import Cut, find_cuts, split_file
from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode

__all__ = [
    "OPERATORS",
    "Buffer",
    "Cut",
    "FlatbufferError",
    "ModelPlan",
    "OperatorPlan",
    "RawGraph",
    "RawModel",
    "RawOperator",
    "TensorPlan",
    "append",
    "encode",
    "find_cuts",
    "only_signature",
    "operator_params",
    "read_model",
    "read_network",
    "read_signatures",
    "schema",
    "split_file",
    "to_bytes",
    "to_objects",
]
