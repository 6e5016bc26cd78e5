"""Reading a `.tflite` file into a `Network`, without TensorFlow and without a runtime."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from itertools import accumulate
from math import prod
from pathlib import Path

from profiler.errors import ModelFileError, missing
from profiler.network import Edge, Layer, Network, Tensor
from profiler.operators import FORM, LATE, SPARSE, UNPACKED, operator
from profiler.tflite.flatbuffer import Buffer, FlatbufferError, Readable
from profiler.tflite.graph import RawGraph, RawModel, RawOperator, plain, read_model
from profiler.tflite.loops import trip_count
from profiler.tflite.open_shapes import InputShape, close_shapes
from profiler.tflite.parameters import operator_params

_IDENTIFIER = b"TFL3"
_MOST_LAYERS = 200_000
_LOOPS = frozenset({"while", "stablehlo_while"})
_FOUR_BITS = frozenset({"int4", "int2", "uint4"})
"""Weights that runtimes make floats of when they load them, and then multiply in kernels that are slow at it."""
_LATE = frozenset({"conv_2d", "depthwise_conv_2d"})
"""Operators that run in slower kernels where shapes are left out; of others that was not seen."""
_DEEPEST = 64
"""So many graphs may call each other in a row."""
_MOST_BYTES = 2**48
"""No tensor is larger: no machine has such memory."""
_TAKEN_WHOLE = frozenset({"odml.scaled_dot_product_attention"})
"""Composites that the runtime has an operator of its own for, so that what the file says they are made of never runs."""
_FOREIGN = (
    (b"PK\x03\x04", "a Keras or zip file", "export it with `edgetime export` and give the .tflite"),
    (b"\x89HDF", "an HDF5 file (old Keras)", "load and save it as .keras, then use `edgetime export`"),
)


def read_network(
    source: str | os.PathLike[str] | bytes,
    input_shape: InputShape | None = None,
    name: str | None = None,
    turns: int | None = None,
) -> Network:
    """Read a `.tflite` file.

    Weights are not read, so a file of 100 MB takes no longer than its number of layers asks for.

    Parameters
    ----------
    source
        The file, or its bytes.
    input_shape
        Shape for a network with open dimensions: of its only input, or of each input by its name. All other
        shapes then come from the runtime, which must be installed.
    name
        What to call the network; by default the file's name.
    turns
        How often loops turn whose number is not in the file; by default once, and `Network.unknown_loops` names them.

    Returns
    -------
    Network
        Main graph first; what it calls (loops, branches) stands behind the calling layer, see `Layer.repeat`.
        Where the file leaves the batch open it is taken as 1 and `Network.assumed_batch` is set.
        ``metadata`` says under ``loops``, ``branches``, ``once``, ``sparse`` and ``external`` what could not
        be taken at face value.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, no TFLite, or leaves dimensions other than the batch open.
    UsageError
        `input_shape` does not fit the network's inputs.
    """
    if isinstance(source, bytes):
        return _read(source, source, name or "the network", input_shape, turns=turns)
    path = Path(source)
    shown = str(path)
    try:
        if path.is_dir():
            raise ModelFileError(f"{shown} is a folder: name a .tflite file in it.")
        size = path.stat().st_size
        if not size:
            raise ModelFileError(f"{shown} is empty: export or copy it again.")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data, path, shown, input_shape, name or path.name, turns)
    except FileNotFoundError:
        raise missing(ModelFileError(f"{shown} does not exist: check the name.")) from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {shown} ({error.strerror or error}).") from error
    except ValueError as error:
        # A path with a null byte, or a file that shrank while it was being opened.
        raise ModelFileError(f"Cannot read {shown!r} ({error}).") from error


def _read(
    data: Readable,
    source: Path | bytes,
    shown: str,
    input_shape: InputShape | None,
    name: str | None = None,
    turns: int | None = None,
) -> Network:
    _refuse_foreign(data, shown)
    try:
        model = read_model(Buffer(data))
        if not model.graphs[0].operators:
            raise ModelFileError(f"{shown} holds no operators, so there is nothing to run: export it again.")
        shapes = close_shapes(model, source, shown, input_shape)
        assembly = _Assembly(model, turns)
        if shapes.guessed:
            assembly.note("shapes", "shapes that depend on data were taken as the file has them")
        return assembly.network(name or shown, len(data), shapes.assumed_batch)
    except FlatbufferError as error:
        raise ModelFileError(f"{shown} is damaged ({error}): export or copy it again.") from None


def _refuse_foreign(data: Readable, shown: str) -> None:
    if not len(data):
        raise ModelFileError(f"{shown} is empty: export or copy it again.")
    if Buffer(data).identifier() == _IDENTIFIER:
        return
    for magic, what, mend in _FOREIGN:
        if bytes(data[: len(magic)]) == magic:
            raise ModelFileError(f"{shown} is {what} and not TFLite: {mend}.")
    if shown.endswith(".lct"):
        raise ModelFileError(f"{shown} is packed: `edgetime unpack` makes a .tflite of it.")
    raise ModelFileError(
        f"{shown} is not a TFLite file: give one that `edgetime export` or a converter wrote."
    )


class _Assembly:
    """Layers, edges and tensors of a model, gathered in execution order."""

    def __init__(self, model: RawModel, turns: int | None = None) -> None:
        self._model, self._turns = model, turns
        self._layers: list[Layer] = []
        self._edges: list[Edge] = []
        self._tensors: list[Tensor] = []
        self._variables: list[int] = []
        self._first_tensor: dict[int, int] = {}
        self._first_index = list(accumulate((len(graph.operators) for graph in model.graphs), initial=0))
        self._params: dict[tuple[int, int], dict] = {}
        self._unpacked: dict[int, str] = {}
        self._notes: dict[str, list[str]] = {}
        self._unknown_loops: list[str] = []

    def network(self, name: str, file_bytes: int, assumed_batch: bool) -> Network:
        self._add_tensors(0)
        self._walk(0, 1, ())
        main = self._model.graphs[0]
        tensors = [tensor for graph in self._model.graphs for tensor in graph.tensors]
        self._notes["sparse"] = [tensor.name for tensor in tensors if tensor.sparse]
        self._notes["external"] = [tensor.name for tensor in tensors if tensor.external]
        metadata = {key: "; ".join(dict.fromkeys(notes)) for key, notes in self._notes.items() if notes}
        if self._model.description:
            metadata["description"] = self._model.description
        return Network(
            name=name,
            layers=tuple(self._layers),
            edges=tuple(self._edges),
            tensors=tuple(self._tensors),
            inputs=main.inputs,
            outputs=main.outputs,
            file_bytes=file_bytes,
            assumed_batch=assumed_batch,
            metadata=metadata,
            variables=tuple(self._variables),
            unknown_loops=tuple(dict.fromkeys(self._unknown_loops)),
        )

    def _add_tensors(self, number: int) -> int:
        """Position of the graph's first tensor among all."""
        first = self._first_tensor.get(number)
        if first is not None:
            return first
        graph = self._model.graphs[number]
        first = self._first_tensor[number] = len(self._tensors)
        for position, raw in enumerate(graph.tensors):
            if any(n < 0 for n in raw.shape):
                # Loops' bodies keep open batches that the main graph's inputs no longer tell of.
                raw.shape = tuple(1 if n < 0 else n for n in raw.shape)
            self._tensors.append(Tensor(raw.shape, raw.dtype, raw.stored or raw.variable))
            if self._tensors[-1].nbytes > _MOST_BYTES:
                raise FlatbufferError(
                    f"tensor {raw.name!r} has the shape {list(raw.shape)}, which no memory holds"
                )
            if raw.variable and not raw.stored:
                self._variables.append(first + position)
        for stored in graph.operators:
            self._mark_made_on_loading(graph, stored, first)
        return first

    def _mark_made_on_loading(self, graph: RawGraph, stored: RawOperator, first: int) -> None:
        """Weights that the runtime unpacks once count as constants for the layers that use them."""
        made_once = operator(stored.op).file.made_on_loading
        if not made_once or len(stored.inputs) != 1 or len(stored.outputs) != 1:
            return
        source, made = stored.inputs[0], stored.outputs[0]
        if source >= 0 and graph.tensors[source].stored:
            tensor = self._tensors[first + made]
            self._tensors[first + made] = Tensor(tensor.shape, tensor.dtype, True)
            if graph.tensors[source].dtype in _FOUR_BITS:
                self._unpacked[first + made] = graph.tensors[source].dtype

    def _walk(self, number: int, repeat: int, callers: tuple[int, ...]) -> None:
        if number in callers:
            raise FlatbufferError("a subgraph calls itself")
        if len(callers) > _DEEPEST:
            raise FlatbufferError(f"its subgraphs call each other more than {_DEEPEST} deep")
        graph = self._model.graphs[number]
        first = self._add_tensors(number)
        for position, stored in enumerate(graph.operators):
            if len(self._layers) >= _MOST_LAYERS:
                raise FlatbufferError(f"its subgraphs unroll to more than {_MOST_LAYERS} layers")
            params = self._params.get((number, position))
            if params is None:
                params = operator_params(self._model, graph, stored)
                if stored.op in _LOOPS:
                    turns = trip_count(self._model, graph, stored, *self._called(stored.op, params))
                    params |= {} if turns is None else {"rounds": turns}
                self._params[number, position] = params
            edge = Edge(
                tuple(first + i for i in stored.inputs if i >= 0),
                tuple(first + i for i in stored.outputs),
                number,
            )
            weights = edge.inputs[1] if len(edge.inputs) > 1 else -1
            if weights in self._unpacked:
                params = {**params, UNPACKED: self._unpacked[weights]}
            form = _form(graph, stored)
            if form:
                params = {**params, FORM: form}
            composite = str(params.get("composite", ""))
            layer = Layer(
                f"composite:{composite}" if composite in _TAKEN_WHOLE else stored.op,
                tuple(self._tensors[i] for i in edge.inputs),
                tuple(self._tensors[i] for i in edge.outputs),
                params,
                graph.tensors[stored.outputs[0]].name if stored.outputs else "",
                self._first_index[number] + position,
                repeat,
            )
            self._layers.append(layer)
            self._edges.append(edge)
            self._follow(layer, graph, stored, (*callers, number))

    def _follow(self, layer: Layer, graph: RawGraph, stored: RawOperator, callers: tuple[int, ...]) -> None:
        """Append the layers of the subgraphs that `stored` calls."""
        op, called = layer.op, self._called(layer.op, layer.params)
        if op in _LOOPS:
            condition, body = called
            known = layer.params.get("rounds")
            turns = known if isinstance(known, int) else 1 if self._turns is None else self._turns
            if known is None and self._turns is None:
                self._unknown_loops.append(plain(layer.name))
            says = f" turns {turns} times" if known is not None else f": unknown, taken as {turns}"
            self.note("loops", layer.name + says)
            self._walk(condition, layer.repeat * (turns + 1), callers)
            if turns:
                self._walk(body, layer.repeat * turns, callers)
        elif op == "if":
            taken = max(called, key=self._work)
            self.note("branches", f"{layer.name}: the branch of more work is taken")
            self._walk(taken, layer.repeat, callers)
        elif op == "call_once":
            self.note("once", f"{layer.name or op}: runs at the first inference only")
        elif called:
            self._walk(called[0], layer.repeat, callers)

    def _called(self, op: str, params: Mapping[str, object]) -> tuple[int, ...]:
        names = operator(op).file.subgraphs
        called = tuple(int(str(params[name])) for name in names)
        for number in called:
            if not 0 <= number < len(self._model.graphs):
                raise FlatbufferError(
                    f"an operator {op} calls subgraph {number} of {len(self._model.graphs)}"
                )
        return called

    def _work(self, number: int) -> int:
        """Elements that a subgraph computes: enough to tell a branch that works from one that does nothing."""
        graph = self._model.graphs[number]
        return sum(prod(graph.tensors[i].shape) for stored in graph.operators for i in stored.outputs)

    def note(self, key: str, text: str) -> None:
        self._notes.setdefault(key, []).append(text)


def _form(graph: RawGraph, stored: RawOperator) -> str:
    """Why the runtime takes other kernels for an operator than for others like it; empty where it does not."""
    operands = [graph.tensors[i] for i in stored.inputs if i >= 0]
    if len(operands) > 1 and operands[1].sparse:
        return SPARSE
    data = [*operands[:1], *(graph.tensors[i] for i in stored.outputs)]
    late = stored.op in _LATE and any(tensor.shape and not tensor.ranked for tensor in data)
    return LATE if late else ""
