"""What types the tensors of a `.tflite` file have: did quantisation do what its mode promises?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from profiler.errors import ModelFileError
from profiler.network import WEIGHTED
from profiler.tflite import Buffer, FlatbufferError, RawGraph, RawModel, RawOperator, read_model

FLOATS = frozenset({"float32", "float64"})
INTEGERS = frozenset({"int8", "uint8", "int16", "int4", "int2", "uint4"})

_BOUNDARY = frozenset({"quantize", "dequantize", "cast"})
"""Operators between float and integer parts: having floats on one side is what they are for."""

_WEIGHTED = WEIGHTED | {"embedding_lookup", "gather"}


@dataclass(frozen=True)
class TypeReport:
    """What of a file is integer, half or float.

    `constants` counts stored tensors by type, loops' bodies included; `float_operators` those operators that a mode promised to
    change and that compute in float32.
    """

    constants: dict[str, int]
    operators: int
    float_operators: dict[str, int]

    @property
    def quantized(self) -> int:
        """Number of stored tensors that are not float32; networks from Keras have none before quantisation."""
        return sum(count for dtype, count in self.constants.items() if dtype not in FLOATS)

    def describe_float(self) -> str:
        """``2 softmax, 1 mean``; empty where nothing stayed float."""
        return ", ".join(f"{count} {op}" for op, count in sorted(self.float_operators.items()))


def read_types(content: bytes, quantize: str) -> TypeReport:
    """Read the types in a `.tflite` file that was made in mode `quantize`; ModelFileError where it is none."""
    try:
        model = read_model(Buffer(content))
    except FlatbufferError as error:
        raise ModelFileError(f"The converted network is damaged ({error}).") from error
    constants: Counter[str] = Counter()
    stayed: Counter[str] = Counter()
    operators = 0
    for graph in model.graphs:
        constants.update(
            tensor.dtype
            for tensor in graph.tensors
            if tensor.stored and tensor.dtype in FLOATS | INTEGERS | {"float16"}
        )
        operators += len(graph.operators)
        stayed.update(
            operator.op for operator in graph.operators if _stayed(model, graph, operator, quantize)
        )
    return TypeReport(dict(constants), operators, dict(stayed))


def _stayed(model: RawModel, graph: RawGraph, operator: RawOperator, quantize: str) -> bool:
    """Whether `quantize` should have changed this operator and did not."""
    if quantize == "none" or operator.op in _BOUNDARY:
        return False
    operands = [graph.tensors[index] for index in operator.inputs if index >= 0]
    stored_floats = any(t.dtype in FLOATS and t.stored and len(t.shape) > 1 for t in operands)
    if quantize in ("float16", "dynamic"):
        return operator.op in _WEIGHTED and stored_floats
    results = [graph.tensors[index] for index in operator.outputs]
    return any(tensor.dtype in FLOATS for tensor in (*operands, *results))
