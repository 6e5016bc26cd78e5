"""How often a loop of a `.tflite` file turns, where that can be read from the file."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.tflite.graph import RawGraph, RawModel, RawOperator

_DEEPEST = 16
_COMPARISONS = {"less": 0, "less_equal": 1, "greater": 0, "greater_equal": 1}


def trip_count(model: RawModel, caller: RawGraph, loop: RawOperator, condition: int, body: int) -> int | None:
    """Turns of `loop`, an operator ``while`` of the graph `caller`; None where they depend on data.

    Read are conditions of the form ``counter < limit``, also joined by *and*, where the counter starts at a
    constant and grows by a constant, and the limit is a constant or handed through unchanged: what recurrent
    Keras layers become.
    """
    found = _Loop(model, caller, loop, model.graphs[condition], model.graphs[body])
    ends = model.graphs[condition].outputs
    return found.turns_while(ends[0], _DEEPEST) if len(ends) == 1 else None


@dataclass(frozen=True)
class _Loop:
    _model: RawModel
    _caller: RawGraph
    _loop: RawOperator
    _condition: RawGraph
    _body: RawGraph

    def turns_while(self, tensor: int, depth: int) -> int | None:
        """Turns until `tensor` of the condition's graph becomes false."""
        operator = _producer(self._condition, tensor)
        if operator is None or len(operator.inputs) != 2 or not depth:
            return None
        left, right = operator.inputs
        if operator.op == "logical_and":
            known = [t for t in (self.turns_while(i, depth - 1) for i in (left, right)) if t is not None]
            # The loop ends with the first of its conditions, so one that is known bounds the others.
            return min(known, default=None)
        if operator.op not in _COMPARISONS:
            return None
        if operator.op.startswith("greater"):
            left, right = right, left
        return self._turns_below(left, right, _COMPARISONS[operator.op])

    def _turns_below(self, counter: int, limit: int, inclusive: int) -> int | None:
        end = self._limit(limit)
        if end is None or counter not in self._condition.inputs:
            return None
        position = self._condition.inputs.index(counter)
        start, step = self._start(position), self._step(position)
        if start is None or step is None or step < 1:
            return None
        return max(0, -(-(end + inclusive - start) // step))

    def _limit(self, tensor: int) -> int | None:
        value = self._scalar(self._condition, tensor)
        if value is not None or tensor not in self._condition.inputs:
            return value
        position = self._condition.inputs.index(tensor)
        before, after = self._in_body(position)
        return self._start(position) if before is not None and before == after else None

    def _start(self, position: int) -> int | None:
        if position >= len(self._loop.inputs):
            return None
        return self._scalar(self._caller, self._loop.inputs[position])

    def _in_body(self, position: int) -> tuple[int, int] | tuple[None, None]:
        """The tensors of a variable before and after a turn."""
        body = self._body
        if position >= min(len(body.inputs), len(body.outputs)):
            return None, None
        return body.inputs[position], body.outputs[position]

    def _step(self, position: int) -> int | None:
        before, after = self._in_body(position)
        operator = None if after is None else _producer(self._body, after)
        if operator is None or operator.op != "add" or len(operator.inputs) != 2:
            return None
        left, right = operator.inputs
        if right == before:
            left, right = right, left
        return self._scalar(self._body, right) if left == before else None

    def _scalar(self, graph: RawGraph, index: int) -> int | None:
        if index < 0:
            return None
        values = self._model.integers(graph.tensors[index])
        return values[0] if values is not None and len(values) == 1 else None


def _producer(graph: RawGraph, tensor: int) -> RawOperator | None:
    return next((operator for operator in graph.operators if tensor in operator.outputs), None)
