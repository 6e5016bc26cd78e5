"""A graph of a `.tflite` file to which operators are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from profiler.tflite import OPERATORS, schema
from profiler.tflite.schema import TENSOR_TYPE_CODES, TENSOR_TYPES

_OPTIONS = {
    "add": "AddOptions",
    "arg_max": "ArgMaxOptions",
    "dequantize": "DequantizeOptions",
    "equal": "EqualOptions",
    "fully_connected": "FullyConnectedOptions",
    "gather": "GatherOptions",
    "greater_equal": "GreaterEqualOptions",
    "if": "IfOptions",
    "log_softmax": "LogSoftmaxOptions",
    "logical_and": "LogicalAndOptions",
    "maximum": "MaximumMinimumOptions",
    "mul": "MulOptions",
    "quantize": "QuantizeOptions",
    "reduce_max": "ReducerOptions",
    "softmax": "SoftmaxOptions",
    "sum": "ReducerOptions",
    "topk_v2": "TopKV2Options",
}
"""What the format calls the options of an operator."""


class Graph:
    """One graph of a model of `profiler.tflite.to_objects`, which it changes."""

    def __init__(self, model: Any, graph: Any) -> None:
        self.model = model
        self.graph = graph

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Sizes of a tensor."""
        return tuple(int(size) for size in self.graph.tensors[tensor].shape)

    def dtype(self, tensor: int) -> str:
        """Number type of a tensor."""
        return TENSOR_TYPES[self.graph.tensors[tensor].type]

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        """A tensor that the runtime computes, or that is fed."""
        return self._added(name, shape, dtype, 0)

    def constant(self, values: ArrayLike) -> int:
        """A tensor of given values, float32 or int32."""
        array = np.asarray(values)
        array = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self._added("constant", array.shape, str(array.dtype), len(self.model.buffers) - 1)

    def add(
        self, op: str, inputs: Sequence[int], *shapes: Sequence[int], dtype: str = "float32", **options: Any
    ) -> int:
        """An operator and the tensors of these shapes that it computes; gives the first of them."""
        outputs = [self.tensor(op, shape, dtype) for shape in shapes]
        self.operate(op, inputs, outputs, **options)
        return outputs[0]

    def operate(self, op: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """An operator between tensors that there are."""
        known = schema()
        operator = known.OperatorT()
        operator.opcodeIndex = self._code(op)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if op in _OPTIONS:
            operator.builtinOptionsType = getattr(known.BuiltinOptions, _OPTIONS[op])
            operator.builtinOptions = getattr(known, f"{_OPTIONS[op]}T")()
            for name, value in options.items():
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)

    def _added(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> int:
        tensor = schema().TensorT()
        tensor.name, tensor.shape = f"{name}_{len(self.graph.tensors)}", [int(size) for size in shape]
        tensor.type, tensor.buffer, tensor.hasRank = TENSOR_TYPE_CODES[dtype], buffer, True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _code(self, op: str) -> int:
        wanted = OPERATORS.index(op)
        for index, known in enumerate(self.model.operatorCodes):
            if max(known.deprecatedBuiltinCode, known.builtinCode) == wanted:
                return index
        code = schema().OperatorCodeT()
        code.deprecatedBuiltinCode, code.builtinCode, code.version = min(wanted, 127), wanted, 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1
