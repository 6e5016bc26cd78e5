"""`.tflite` files that a converter seldom writes, operator by operator, with the schema's own code."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from profiler.tflite import to_bytes

_TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8")
_RESOURCE = 13


class OddFile:
    """A file being made; `graph` begins a further graph."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"odd"
        self.model.buffers, self.model.operatorCodes, self.model.subgraphs = [schema.BufferT()], [], []
        self.model.signatureDefs = []

    def graph(self) -> OddGraph:
        """A new graph, empty."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = b"g", [], [], [], []
        self.model.subgraphs.append(graph)
        return OddGraph(self.model, graph)

    def signature(self, name: str, number: int) -> None:
        """Name a graph."""
        made, graph = schema.SignatureDefT(), self.model.subgraphs[number]
        made.signatureKey, made.subgraphIndex = name.encode(), number
        for slot, places in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            tensor = schema.TensorMapT()
            tensor.name, tensor.tensorIndex = slot.encode(), places[0]
            setattr(made, slot, [tensor])
        self.model.signatureDefs.append(made)

    def content(self) -> bytes:
        """The file's bytes."""
        return to_bytes(self.model)


class OddGraph:
    """One graph of an `OddFile`."""

    def __init__(self, model: Any, graph: Any) -> None:
        self._model, self._graph = model, graph

    def tensor(
        self,
        shape: tuple[int, ...] = (),
        dtype: str = "float32",
        data: Any = None,
        name: str = "",
        **more: Any,
    ) -> int:
        """Add a tensor; `more` are `scales` along `axis`, and `signature` with -1 where it is open."""
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), list(shape), 0
        made.type = _RESOURCE if dtype == "resource" else _TYPES.index(dtype)
        made.shapeSignature = more.get("signature")
        if data is not None:
            made.buffer = len(self._model.buffers)
            self._model.buffers.append(schema.BufferT())
            self._model.buffers[-1].data = np.frombuffer(np.asarray(data, dtype).tobytes(), np.uint8)
        if "scales" in more:
            made.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(more["scales"], np.float32))
            made.quantization.scale, made.quantization.zeroPoint = scales, np.zeros(len(scales), np.int64)
            made.quantization.quantizedDimension = more.get("axis", 0)
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def op(self, kind: str, inputs: list[int], outputs: list[int], options: str = "", **values: Any) -> None:
        """Add an operator; `kind` is a builtin one, else the name of a custom one."""
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        number = getattr(schema.BuiltinOperator, kind, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        if number == schema.BuiltinOperator.CUSTOM:
            code.customCode = kind.encode()
        made.opcodeIndex, made.inputs, made.outputs = len(self._model.operatorCodes), inputs, outputs
        self._model.operatorCodes.append(code)
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(made.builtinOptions, name, value)
        self._graph.operators.append(made)

    def dense(self, given: int, inputs: int, units: int, result: int) -> None:
        """Add a fully connected layer."""
        weights = self.tensor((units, inputs), data=np.ones((units, inputs)))
        self.op("FULLY_CONNECTED", [given, weights], [result], "FullyConnectedOptions")

    def ends(self, inputs: list[int], outputs: list[int]) -> None:
        """Say what the caller fills and reads."""
        self._graph.inputs, self._graph.outputs = inputs, outputs


def empty_file() -> bytes:
    """One graph without operators."""
    file = OddFile()
    file.graph()
    return file.content()


def two_signatures(few: int = 4, many: int = 64) -> bytes:
    """A dense layer of `few` units as ``decode``, and one of `many` as ``prefill``."""
    file = OddFile()
    for number, (name, width) in enumerate((("decode", few), ("prefill", many))):
        graph = file.graph()
        given, result = graph.tensor((1, width)), graph.tensor((1, width))
        graph.dense(given, width, width, result)
        graph.ends([given], [result])
        file.signature(name, number)
    return file.content()


def endless_loop() -> bytes:
    """While a number is below 10 it is multiplied by 1: for ever."""
    file = OddFile()
    main, condition, body = file.graph(), file.graph(), file.graph()
    start, end = main.tensor(), main.tensor(name="loop")
    main.op("WHILE", [start], [end], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    main.ends([start], [end])
    number, ten, below = condition.tensor(), condition.tensor(data=10.0), condition.tensor(dtype="bool")
    condition.op("LESS", [number, ten], [below])
    condition.ends([number], [below])
    number, same = body.tensor(), body.tensor()
    body.op("MUL", [number, body.tensor(data=1.0)], [same], "MulOptions")
    body.ends([number], [same])
    return file.content()
