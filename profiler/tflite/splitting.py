"""Cutting a network between two operators into two `.tflite` files that follow each other."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.network import Network
from profiler.tflite.objects import schema, to_bytes, to_objects

MOST_TENSORS = 4
"""Cuts that more tensors cross are left out."""

_KEY = "serving_default"
_FREE_SIZES = ("resource", "variant", "string")


@dataclass(frozen=True)
class Cut:
    """A place between two operators of the main graph.

    Parameters
    ----------
    after
        So many operators come before it.
    tensors
        What has been computed before and is read after it, as positions in `Network.tensors`.
    nbytes
        Their size.
    name
        The operator before it, for people.
    """

    after: int
    tensors: tuple[int, ...]
    nbytes: int
    name: str


def find_cuts(network: Network, most_tensors: int = MOST_TENSORS) -> list[Cut]:
    """Every place at which a network that was read from a file can be cut in two, in the order of its operators.

    A network that keeps a state from run to run is cut only where the state stays on one side; one with resources nowhere.
    Weights that an operator unpacks on loading cross no cut: both files unpack their own.
    """
    main = [
        (layer, edge) for layer, edge in zip(network.layers, network.edges, strict=True) if edge.graph == 0
    ]
    if any(tensor.dtype in _FREE_SIZES for tensor in network.tensors):
        return []
    made = {index: -1 for index in network.inputs}
    last: dict[int, int] = {}
    first_use: dict[int, int] = {}
    for position, (_, edge) in enumerate(main):
        for index in edge.inputs:
            last[index] = position
            first_use.setdefault(index, position)
        for index in edge.outputs:
            if not network.tensors[index].constant:
                made[index] = position
    states = [(first_use[index], last[index]) for index in network.variables if index in last]
    batch = {network.tensors[index].shape[:1] for index in network.inputs}
    found = []
    for after in range(1, len(main)):
        if any(first < after <= end for first, end in states):
            continue
        if any(made.get(index, -1) < after for index in network.outputs):
            continue  # an answer that is there already would have to be carried along
        crossing = tuple(index for index, position in made.items() if position < after <= last.get(index, -1))
        rows = {network.tensors[index].shape[:1] for index in crossing}
        if 0 < len(crossing) <= most_tensors and rows <= batch:  # what crosses must be a row like the inputs
            nbytes = sum(network.tensors[index].nbytes for index in crossing)
            layer = main[after - 1][0]
            found.append(Cut(after, crossing, nbytes, f"{layer.op} {layer.name.split(';')[0]}".strip()))
    return found


def split_file(content: bytes, cut: Cut, shown: str = "the network") -> tuple[bytes, bytes]:
    """Write what comes before and after a cut of `find_cuts` as two files.

    The first file gives, and the second takes, tensors called ``cut_1``, ``cut_2``, …; other inputs and outputs keep the names
    that the file's signature has for them. Each file stores the weights that it uses.

    Raises
    ------
    EdgetimeError
        LiteRT, whose package knows the format of all operators, is not installed.
    ModelFileError
        Weights lie outside of the part of the file that can be rewritten.
    """
    model = to_objects(content, shown)
    graph = model.subgraphs[0]
    inputs, outputs = _names(model)
    crossing = {index: f"cut_{number + 1}" for number, index in enumerate(cut.tensors)}
    head = _part(model, graph.operators[: cut.after], inputs, crossing)
    tail = _part(model, graph.operators, crossing, outputs, stop=set(crossing))
    return head, tail


def _names(model: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Names of inputs and outputs by their tensors, as the only signature of the main graph has them, else the tensors' own."""
    graph = model.subgraphs[0]
    signatures = [one for one in model.signatureDefs or [] if one.subgraphIndex == 0]
    found = []
    for indices, kind in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        names = {int(index): _text(graph.tensors[index].name) for index in indices}
        if len(signatures) == 1:
            names |= {int(one.tensorIndex): _text(one.name) for one in getattr(signatures[0], kind) or []}
        if len(set(names.values())) < len(names):
            names = {index: f"{name}_{index}" for index, name in names.items()}
        found.append(names)
    return found[0], found[1]


def _text(name: Any) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
    return text.removeprefix("serving_default_").split(":")[0]


def _part(
    model: Any,
    operators: Sequence[Any],
    inputs: dict[int, str],
    outputs: dict[int, str],
    stop: Iterable[int] = (),
) -> bytes:
    """A file of the operators that its outputs need, up to the tensors in `stop`."""
    wanted, chosen = set(outputs) - set(stop), []
    for operator in reversed(operators):
        if any(int(index) in wanted for index in operator.outputs):
            chosen.append(operator)
            wanted |= {int(index) for index in operator.inputs if index >= 0} - set(stop)
    chosen.reverse()
    source = model.subgraphs[0]
    used = {
        int(index)
        for one in chosen
        for index in (*one.inputs, *one.outputs, *_list(one.intermediates))
        if index >= 0
    }
    taken = {index: name for index, name in inputs.items() if index in used or index in outputs}
    used |= set(taken) | set(outputs)
    graph = copy.copy(source)
    place = {index: number for number, index in enumerate(sorted(used))}
    graph.tensors = [copy.copy(source.tensors[index]) for index in sorted(used)]
    graph.operators = [_moved(operator, place) for operator in chosen]
    graph.inputs = [place[index] for index in taken]
    graph.outputs = [place[index] for index in outputs]
    others = [copy.copy(one) for one in model.subgraphs[1:]] if _calls(model, chosen) else []
    for other in others:
        other.tensors = [copy.copy(tensor) for tensor in other.tensors]
        other.operators = [copy.copy(operator) for operator in other.operators]
    known = schema()
    part = known.ModelT(version=model.version, subgraphs=[graph, *others], description=model.description)
    _renumber(model, part)
    signature = known.SignatureDefT(signatureKey=_KEY, subgraphIndex=0)
    signature.inputs = [known.TensorMapT(name, place[index]) for index, name in taken.items()]
    signature.outputs = [known.TensorMapT(name, place[index]) for index, name in outputs.items()]
    part.signatureDefs = [signature]
    return to_bytes(part)


def _moved(operator: Any, place: dict[int, int]) -> Any:
    moved = copy.copy(operator)
    for name in ("inputs", "outputs", "intermediates"):
        if getattr(operator, name) is not None:
            setattr(moved, name, [place[int(i)] if i >= 0 else -1 for i in getattr(operator, name)])
    return moved


def _calls(model: Any, operators: Sequence[Any]) -> bool:
    """Whether any of the operators calls another graph of the file."""
    return len(model.subgraphs) > 1 and any(
        "ubgraph" in field for one in operators for options in (one.builtinOptions, one.builtinOptions2)
        if options is not None for field in vars(options)
    )  # fmt: skip


def _renumber(model: Any, part: Any) -> None:
    """Keep only the buffers and kinds of operators that the part uses; buffer 0 stays the empty one."""
    tensors = [tensor for graph in part.subgraphs for tensor in graph.tensors]
    buffers = sorted({0, *(tensor.buffer for tensor in tensors)})
    for tensor in tensors:
        tensor.buffer = buffers.index(tensor.buffer)
    part.buffers = [model.buffers[index] for index in buffers]
    operators = [operator for graph in part.subgraphs for operator in graph.operators]
    codes = sorted({operator.opcodeIndex for operator in operators})
    for operator in operators:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    part.operatorCodes = [model.operatorCodes[index] for index in codes]


def _list(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]
