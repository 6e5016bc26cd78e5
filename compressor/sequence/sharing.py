"""Weights that several graphs of a file hold alike are stored once."""

from __future__ import annotations

from typing import Any

from compressor.export import require


def share_weights(content: bytes) -> bytes:
    """The same file with equal buffers stored once."""
    require("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    places: dict[bytes, int] = {}
    kept: list[Any] = []
    moved: dict[int, int] = {}
    for index, buffer in enumerate(model.buffers):
        data = b"" if buffer.data is None else bytes(buffer.data)
        key = data if index else b""  # the first buffer is the empty one
        if key not in places:
            places[key] = len(kept)
            kept.append(buffer)
        moved[index] = places[key]
    model.buffers = kept
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = moved[tensor.buffer]
    for entry in model.metadata or ():
        entry.buffer = moved[entry.buffer]
    model.metadataBuffer = None
    builder = flatbuffers.Builder(len(content) // 2 + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
