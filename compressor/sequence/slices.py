"""Slices that only drop axes of one become reshapes: LiteRT slices element by element, and reshapes in no time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compressor.export import require


def slices_as_shapes(content: bytes) -> bytes:
    """The same file with such slices replaced, in all graphs."""
    require("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    operators = schema.BuiltinOperator
    sliced = {
        index for index, code in enumerate(model.operatorCodes) if code.builtinCode == operators.STRIDED_SLICE
    }
    if not any(
        _keeps_all(model, graph, op)
        for graph in model.subgraphs
        for op in graph.operators
        if op.opcodeIndex in sliced
    ):
        return content
    reshape = schema.OperatorCodeT()
    reshape.builtinCode = reshape.deprecatedBuiltinCode = operators.RESHAPE
    reshape.version = 1
    model.operatorCodes.append(reshape)
    for graph in model.subgraphs:
        for op in graph.operators:
            if op.opcodeIndex not in sliced or not _keeps_all(model, graph, op):
                continue
            shape = [int(size) for size in graph.tensors[op.outputs[0]].shape]
            buffer, tensor, options = schema.BufferT(), schema.TensorT(), schema.ReshapeOptionsT()
            buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.shape, tensor.type, tensor.buffer = (
                [len(shape)],
                schema.TensorType.INT32,
                len(model.buffers) - 1,
            )
            tensor.name = b"shape"
            graph.tensors.append(tensor)
            options.newShape = shape
            op.opcodeIndex, op.inputs = len(model.operatorCodes) - 1, [op.inputs[0], len(graph.tensors) - 1]
            op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options
    builder = flatbuffers.Builder(len(content) + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _keeps_all(model: Any, graph: Any, op: Any) -> bool:
    """Whether a slice gives every element, in its order."""
    given, found = (graph.tensors[index] for index in (op.inputs[0], op.outputs[0]))
    sizes = [] if given.shape is None else [int(size) for size in given.shape]
    wanted = [] if found.shape is None else [int(size) for size in found.shape]
    if any(size < 0 for tensor in (given, found) for size in _signature(tensor)):
        return False  # what is 1 here may be more in a run
    strides = model.buffers[graph.tensors[op.inputs[3]].buffer].data
    if (
        not sizes
        or not wanted
        or min(sizes + wanted) < 1
        or strides is None
        or math.prod(sizes) != math.prod(wanted)
    ):
        return False
    return set(np.frombuffer(bytes(strides), np.int32).tolist()) == {1}


def _signature(tensor: Any) -> list[int]:
    """The sizes as they were declared, below 0 where a run may choose; nothing where all are fixed."""
    return [] if tensor.shapeSignature is None else [int(size) for size in tensor.shapeSignature]
