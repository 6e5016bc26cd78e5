"""Several converted networks as one `.tflite` file, each with a signature of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor.export import require

_ALIKE = 1e-3
"""Two scales whose ratio is nearer to 1 than this are of the same calibration."""


@dataclass(frozen=True)
class Part:
    """One network of the file.

    `inputs` are the names that its signature gives to tensors, by those that the converter gave them; `outputs` likewise, by
    their places.
    """

    content: bytes
    signature: str
    inputs: Mapping[str, str]
    outputs: Sequence[str]


def join(parts: Sequence[Part], hand_on: bool = True) -> bytes:
    """Write converted networks as one file; what one hands to the next stays int8 where both store it alike.

    The converter begins a quantised network by quantising its inputs and ends it by dequantising its outputs: between two parts
    that undo each other both are left out; without `hand_on` each part stays as it is.
    """
    require("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    models = [schema.ModelT.InitFromPackedBuf(part.content, 0) for part in parts]
    for model, part in zip(models, parts, strict=True):
        _name(model, part)
    for earlier, later in itertools.pairwise(models if hand_on else []):
        _keep_integers(earlier, later)
    whole = models[0]
    for model in models[1:]:
        _append(whole, model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _name(model: Any, part: Part) -> None:
    (signature,) = model.signatureDefs
    signature.signatureKey = part.signature.encode()
    for tensor in signature.inputs:
        tensor.name = part.inputs[tensor.name.decode()].encode()
    ordered = sorted(signature.outputs, key=lambda tensor: tensor.name)
    for tensor, name in zip(ordered, part.outputs, strict=True):
        tensor.name = name.encode()


def _keep_integers(earlier: Any, later: Any) -> None:
    """Leave out the dequantising at the end of one network and the quantising at the start of the next, where they match."""
    ends = {tensor.name: tensor for tensor in earlier.signatureDefs[0].outputs}
    for start in later.signatureDefs[0].inputs:
        end = ends.get(start.name)
        if end is None:
            continue
        first, second = earlier.subgraphs[0], later.subgraphs[0]
        made = _lone(first, end.tensorIndex, made=True)
        read = _lone(second, start.tensorIndex, made=False)
        if made is None or read is None:
            continue
        inner, outer = int(made.inputs[0]), int(read.outputs[0])
        if not _stored_alike(first.tensors[inner], second.tensors[outer]):
            continue
        first.outputs = _replaced(first.outputs, end.tensorIndex, inner)
        end.tensorIndex = inner
        second.inputs = _replaced(second.inputs, start.tensorIndex, outer)
        start.tensorIndex = outer
        first.operators.remove(made)
        second.operators.remove(read)


def _lone(graph: Any, index: int, made: bool) -> Any | None:
    """The operator of one input and one output that alone touches a tensor, making or reading it; None where it is none such."""
    makers = [one for one in graph.operators if index in one.outputs]
    readers = [one for one in graph.operators if index in one.inputs]
    found, others = (makers, readers) if made else (readers, makers)
    if len(found) != 1 or others or len(found[0].inputs) != 1 or len(found[0].outputs) != 1:
        return None
    return found[0]


def _stored_alike(one: Any, other: Any) -> bool:
    """Whether two tensors are integers of the same type, scale and zero point."""
    if one.type != other.type or one.quantization is None or other.quantization is None:
        return False
    scales = [tensor.quantization.scale for tensor in (one, other)]
    zeros = [tensor.quantization.zeroPoint for tensor in (one, other)]
    if any(value is None or len(value) != 1 for value in (*scales, *zeros)):
        return False
    return bool(np.allclose(scales[0], scales[1], rtol=_ALIKE)) and int(zeros[0][0]) == int(zeros[1][0])


def _replaced(indices: Any, old: int, new: int) -> Any:
    return np.where(np.asarray(indices) == old, new, indices).astype(np.int32)


def _append(whole: Any, model: Any) -> None:
    """Add the graphs of a model, with its weights and signatures, to another one."""
    buffers, graphs = len(whole.buffers), len(whole.subgraphs)
    codes = []
    for code in model.operatorCodes:
        alike = [i for i, known in enumerate(whole.operatorCodes) if vars(known) == vars(code)]
        if not alike:
            whole.operatorCodes.append(code)
        codes.append(alike[0] if alike else len(whole.operatorCodes) - 1)
    whole.buffers += model.buffers
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer += buffers
        for operator in graph.operators:
            operator.opcodeIndex = codes[operator.opcodeIndex]
            _shift_called(operator.builtinOptions, graphs)
            _shift_called(operator.builtinOptions2, graphs)
    whole.subgraphs += model.subgraphs
    for signature in model.signatureDefs:
        signature.subgraphIndex += graphs
    whole.signatureDefs += model.signatureDefs


_CALLED = (
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "initSubgraphIndex",
    "subgraph",
)
"""What operators that call graphs name them by."""


def _shift_called(options: Any, graphs: int) -> None:
    for name in _CALLED:
        if hasattr(options, name):
            setattr(options, name, getattr(options, name) + graphs)
