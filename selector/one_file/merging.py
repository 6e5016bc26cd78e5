"""Members of a policy as one file: each stage is a graph, which calls the next one where a row goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from profiler.errors import UsageError
from profiler.tflite import append, schema, to_bytes, to_objects
from selector.one_file import gate
from selector.one_file.graph import Graph
from selector.runtime import Specification, read_policy

ANSWER, STAGE = "answer", "stage"
"""Outputs of the file: what the policy answers [1, classes], and the number of the stage that did [1], int32."""


class _Member(NamedTuple):
    """A network's graph in the whole file, and its inputs and outputs by name."""

    graph: Any
    inputs: dict[str, int]
    outputs: dict[str, int]


def one_file(policy: Path) -> bytes:
    """The content of a `.tflite` file that answers as the policy does, one row at a time.

    Parameters
    ----------
    policy
        The policy's JSON file.

    Raises
    ------
    UsageError
        It is no cascade (nor exits of one network, nor a detector with what it wakes), or another machine runs a part of it.
    EdgetimeError
        It is damaged.
    """
    specification, contents = read_policy(policy)
    _check(policy, specification)
    members, whole = _merged(specification, contents, policy)
    _Writer(specification, members, whole, policy).write()
    return to_bytes(whole)


def _check(policy: Path, specification: Specification) -> None:
    if len(specification.stages) < 2:
        raise UsageError(
            f"{policy} is a policy of kind {specification.kind!r}: only stages that follow each other become one file."
        )
    away = [one.network for one in specification.stages if specification.networks[one.network].remote]
    if away:
        raise UsageError(
            f"{policy} asks another machine, which a file cannot: its stages do not become one file."
        )


def _merged(
    specification: Specification, contents: Mapping[str, bytes], policy: Path
) -> tuple[list[_Member], Any]:
    """The graph of each stage, in one model; networks of one file stay together, so that weights are stored once."""
    files: dict[str, dict[str, _Member]] = {}
    whole = None
    for stage in specification.stages:
        file = specification.networks[stage.network].file
        if file in files:
            continue
        model = to_objects(contents[file], str(policy.parent / file))
        files[file] = _members(model)
        if whole is None:
            whole = model
        else:
            append(whole, model)
    members = []
    for stage in specification.stages:
        network = specification.networks[stage.network]
        known = files[network.file]
        member = known.get(network.signature or "") or next(iter(known.values()))
        _fix_rows(member, str(policy.parent / network.file))
        members.append(member)
    return members, whole


def _members(model: Any) -> dict[str, _Member]:
    """The networks of a file by their signatures; under no name what runs where a file has none."""
    found = {}
    for one in model.signatureDefs or []:
        inputs = {_text(tensor.name): int(tensor.tensorIndex) for tensor in one.inputs}
        outputs = {_text(tensor.name): int(tensor.tensorIndex) for tensor in one.outputs}
        found[_text(one.signatureKey)] = _Member(model.subgraphs[one.subgraphIndex], inputs, outputs)
    if len(found) == 1:
        return found
    graph = model.subgraphs[0]
    inputs, outputs = (
        {_text(graph.tensors[index].name): int(index) for index in indices}
        for indices in (graph.inputs, graph.outputs)
    )
    return {"": _Member(graph, inputs, outputs), **found}


def _fix_rows(member: _Member, shown: str) -> None:
    """Make a network that leaves the number of rows open one of a single row."""
    for tensor in member.graph.tensors:
        sizes = tensor.shapeSignature
        if sizes is not None and any(int(size) < 0 for size in list(sizes)[1:]):
            raise UsageError(
                f"{shown} leaves more than the number of rows open: it cannot become a part of one file."
            )
        tensor.shapeSignature = None
    for index in member.inputs.values():
        rows = int(member.graph.tensors[index].shape[0])
        if rows != 1:
            raise UsageError(f"{shown} takes {rows} rows at a time, not one: export it with a batch of 1.")


class _Writer:
    """Writes gates between the stages."""

    def __init__(self, policy: Specification, members: list[_Member], whole: Any, file: Path) -> None:
        self.policy = policy
        self.members = members
        self.whole = whole
        self.file = file
        self.names = self._input_names()

    def write(self) -> None:
        """Change the model so that its first graph decides."""
        whole, first = self.whole, self.members[0].graph
        # The first graph is the one that runs.
        place = whole.subgraphs.index(first)
        if place:
            raise UsageError(f"{self.file}: its first stage is not the first graph of its file.")
        main = Graph(whole, first)
        rows = {name: self._entry(main, 0, name) for name in self.names}
        outputs = self._stage(main, 0, rows, {})
        first.inputs, first.outputs = list(rows.values()), outputs
        known = schema()
        signature = known.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs = [_named(name, index) for name, index in rows.items()]
        signature.outputs = [
            _named(name, index) for name, index in zip((ANSWER, STAGE), outputs, strict=True)
        ]
        whole.signatureDefs = [signature]
        whole.metadata = []

    def _input_names(self) -> list[str]:
        """Names of the rows that the policy takes: of all inputs that are not fed by the stage before."""
        names: dict[str, None] = {}
        for stage, member in zip(self.policy.stages, self.members, strict=True):
            feeds = self.policy.networks[stage.network].feeds
            for name in member.inputs:
                if name not in feeds:
                    names[name] = None
        single = all(
            len([n for n in member.inputs if n not in self.policy.networks[stage.network].feeds]) <= 1
            for stage, member in zip(self.policy.stages, self.members, strict=True)
        )
        return list(names)[:1] if single else list(names)

    def _own(self, position: int) -> dict[str, int]:
        """For each of a stage's inputs that is a row of the policy: its name there, and its tensor."""
        stage, member = self.policy.stages[position], self.members[position]
        feeds = self.policy.networks[stage.network].feeds
        own = {name: index for name, index in member.inputs.items() if name not in feeds}
        return dict(zip(self.names, own.values(), strict=True)) if len(self.names) == 1 == len(own) else own

    def _entry(self, graph: Graph, position: int, name: str) -> int:
        """The float32 tensor by which a row comes into the graph of a stage, quantised there where the network takes integers."""
        inner = self._own(position).get(name)
        if inner is None:  # taken by a later stage only
            for later in range(position + 1, len(self.members)):
                found = self._own(later).get(name)
                if found is not None:
                    other = Graph(self.whole, self.members[later].graph)
                    return graph.tensor(name, other.shape(found))
            raise UsageError(f"{self.file}: no stage takes {name}.")
        if graph.dtype(inner) == "float32" or not _is_quantised(graph.graph.tensors[inner]):
            return inner
        entry = graph.tensor(name, graph.shape(inner))
        graph.operate("quantize", [entry], [inner])
        graph.graph.operators.insert(0, graph.graph.operators.pop())
        return entry

    def _stage(self, graph: Graph, position: int, rows: dict[str, int], heard: dict[int, int]) -> list[int]:
        """Add what follows a stage's network to its graph; gives the tensors of answer and stage."""
        stages, member = self.policy.stages, self.members[position]
        stage = stages[position]
        network = self.policy.networks[stage.network]
        answer = member.outputs[network.answer or next(iter(member.outputs))]
        own = gate.alone(graph, answer, network.form)
        heard = {**heard, position: own}
        said = gate.combined(
            graph, stage, {k: v for k, v in heard.items() if k == position or stages[k].answers is None}
        )
        found = gate.answer_of(graph, self.policy, stage, said)
        if stage.threshold is None:
            return [found, graph.constant([position])]
        sure = gate.stops(graph, stage, position, said, heard)
        passed = {"answer": found}
        passed |= {f"row {name}": rows[name] for name in self.names if self._takes_later(position, name)}
        passed |= {
            f"heard {number}": heard[number] for number in heard if self._hears_later(position, number)
        }
        following = self.policy.networks[stages[position + 1].network]
        passed |= {f"fed {name}": member.outputs[name] for name in following.feeds}
        then = self._answering(graph, passed, position)
        other = self._going_on(graph, passed, position + 1)
        outputs = [graph.tensor(ANSWER, (1, self.policy.classes)), graph.tensor(STAGE, (1,), "int32")]
        graph.operate(
            "if", [sure, *passed.values()], outputs, thenSubgraphIndex=then, elseSubgraphIndex=other
        )
        return outputs

    def _takes_later(self, position: int, name: str) -> bool:
        return any(name in self._own(later) for later in range(position + 1, len(self.members)))

    def _hears_later(self, position: int, number: int) -> bool:
        """Whether a stage after this one needs what stage `number` said."""
        later = self.policy.stages[position + 1 :]
        weighed = self.policy.stages[number].answers is None and any(
            len(stage.weights) > number and stage.weights[number] != 0
            for stage in later
            if stage.answers is None
        )
        return weighed or (number == position and bool(later) and later[0].agree)

    def _answering(self, outer: Graph, passed: dict[str, int], position: int) -> int:
        """The graph that runs where a row stops: it hands on the answer."""
        graph = Graph(self.whole, schema().SubGraphT())
        graph.graph.tensors, graph.graph.operators = [], []
        graph.graph.name = f"stage {position + 1} answers"
        inputs = {name: graph.tensor(name, outer.shape(i), outer.dtype(i)) for name, i in passed.items()}
        for name, index in passed.items():
            graph.graph.tensors[inputs[name]].quantization = outer.graph.tensors[index].quantization
        graph.graph.inputs = list(inputs.values())
        graph.graph.outputs = [inputs["answer"], graph.constant([position])]
        self.whole.subgraphs.append(graph.graph)
        return len(self.whole.subgraphs) - 1

    def _going_on(self, outer: Graph, passed: dict[str, int], position: int) -> int:
        """The graph of the next stage, whose inputs become what is passed."""
        member = self.members[position]
        graph = Graph(self.whole, member.graph)
        inputs, rows, heard = [], {}, {}
        for name, index in passed.items():
            kind, _, what = name.partition(" ")
            if kind == "row":
                tensor = rows[what] = self._entry(graph, position, what)
            elif kind == "fed":
                tensor = self._fed(outer, index, graph, member.inputs[what])
            else:
                tensor = graph.tensor(name, outer.shape(index), outer.dtype(index))
                if kind == "heard":
                    heard[int(what)] = tensor
            inputs.append(tensor)
        outputs = self._stage(graph, position, rows, heard)
        member.graph.inputs, member.graph.outputs = inputs, outputs
        return int(self.whole.subgraphs.index(member.graph))

    def _fed(self, outer: Graph, index: int, graph: Graph, inner: int) -> int:
        """What a segment hands on, stored as it was there."""
        if outer.dtype(index) == graph.dtype(inner):
            return inner
        entry = graph.tensor("fed", outer.shape(index), outer.dtype(index))
        graph.graph.tensors[entry].quantization = outer.graph.tensors[index].quantization
        graph.operate("dequantize" if graph.dtype(inner) == "float32" else "quantize", [entry], [inner])
        graph.graph.operators.insert(0, graph.graph.operators.pop())
        return entry


def _is_quantised(tensor: Any) -> bool:
    known = tensor.quantization
    return known is not None and known.scale is not None and len(known.scale) > 0


def _named(name: str, index: int) -> Any:
    found = schema().TensorMapT()
    found.name, found.tensorIndex = name.encode(), index
    return found


def _text(name: Any) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
    return text.removeprefix("serving_default_").split(":")[0]
