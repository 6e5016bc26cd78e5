"""Several converted networks as one `.tflite` file, each with a signature of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.tflite import append, to_bytes, to_objects

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
    models = [to_objects(part.content, part.signature) for part in parts]
    for model, part in zip(models, parts, strict=True):
        _name(model, part)
    for earlier, later in itertools.pairwise(models if hand_on else []):
        _keep_integers(earlier, later)
    whole = models[0]
    for model in models[1:]:
        append(whole, model)
    return to_bytes(whole)


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
