"""`.tflite` files as objects that can be changed: read, joined, and written again, by the schema that comes with LiteRT."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from profiler.errors import EdgetimeError, ModelFileError

_CALLED = (
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "initSubgraphIndex",
    "subgraph",
)
"""What operators that call graphs name them by."""


def schema() -> Any:
    """The generated classes of the file format; EdgetimeError where LiteRT is not installed."""
    try:
        from ai_edge_litert import schema_py_generated
    except ModuleNotFoundError:
        raise EdgetimeError("Rewriting a network needs LiteRT: pip install ai-edge-litert.") from None
    return schema_py_generated


def to_objects(content: bytes, shown: str = "the network") -> Any:
    """A file as objects; ModelFileError where weights lie outside of what can be rewritten."""
    model = schema().ModelT.InitFromPackedBuf(content, 0)
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ModelFileError(
            f"{shown} keeps weights behind its own end, as files above 2 GB do: it cannot be rewritten."
        )
    return model


def to_bytes(model: Any) -> bytes:
    """The file of objects."""
    builder = _AlignedBuilder(sum(_size(buffer) for buffer in model.buffers) + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def append(whole: Any, model: Any) -> int:
    """Add the graphs of a model, with its weights and signatures, to another one; gives the number of its first graph there."""
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
    for signature in model.signatureDefs or []:
        signature.subgraphIndex += graphs
    whole.signatureDefs = [*(whole.signatureDefs or []), *(model.signatureDefs or [])]
    return graphs


def _shift_called(options: Any, graphs: int) -> None:
    for name in _CALLED:
        if hasattr(options, name):
            setattr(options, name, getattr(options, name) + graphs)


def _size(buffer: Any) -> int:
    return 0 if buffer.data is None else len(buffer.data) + 16


class _AlignedBuilder(flatbuffers.Builder):
    """Weights lie at multiples of 16 bytes, as the runtime wants them; the generated code does not see to that."""

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 (its name in flatbuffers)
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, 16)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return int(self.EndVector())
