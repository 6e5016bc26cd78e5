"""What a stage says and whether a row stops there, as operators: the same as `selector.runtime.cascade` computes."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import NamedTuple

import numpy as np

from selector.one_file.graph import Graph
from selector.runtime import Specification, Stage
from selector.runtime.confidence import FLOOR

NEVER = float(np.finfo(np.float32).max)


class Said(NamedTuple):
    """What stages so far say of a row, as tensors: scores whose softmax counts, and its probabilities [1, classes]."""

    scores: int
    probabilities: int


def alone(graph: Graph, answer: int, form: str) -> int:
    """Scores [1, classes] of one network alone: logarithms of its probabilities but for what is the same for all classes."""
    shape = graph.shape(answer)
    if graph.dtype(answer) != "float32":
        answer = graph.add("dequantize", [answer], shape)
    if form == "logits":
        return answer
    floor = graph.constant([FLOOR])
    return graph.add("log", [graph.add("maximum", [answer, floor], shape)], shape)


def combined(graph: Graph, stage: Stage, heard: Mapping[int, int]) -> Said:
    """All stages so far together; `heard` are scores by the number of their stage."""
    last = len(stage.weights) - 1
    weights = {
        number: weight for number, weight in enumerate(stage.weights) if weight != 0 and number in heard
    }
    if stage.answers is not None or not weights:
        weights = {last: 1.0}
    shape = graph.shape(heard[last])
    total = -1
    for number, weight in weights.items():
        part = heard[number]
        if weight != 1:
            part = graph.add("mul", [part, graph.constant([weight])], shape)
        total = part if total < 0 else graph.add("add", [total, part], shape)
    return Said(total, graph.add("softmax", [total], shape, beta=1.0))


def stops(graph: Graph, stage: Stage, position: int, said: Said, heard: Mapping[int, int]) -> int:
    """Whether the row stops at a stage: a tensor of one truth value."""
    sure = graph.add(
        "greater_equal", [_confidence(graph, stage, said), _needed(graph, stage, said)], (1,), dtype="bool"
    )
    if stage.agree and position > 0:
        now, before = (_named(graph, heard[number]) for number in (position, position - 1))
        same = graph.add("equal", [now, before], (1,), dtype="bool")
        sure = graph.add("logical_and", [sure, same], (1,), dtype="bool")
    return sure


def answer_of(graph: Graph, policy: Specification, stage: Stage, said: Said) -> int:
    """The policy's answer [1, classes] where a row stops at a stage: logits where its single network gives logits."""
    found = said.probabilities
    shape = (1, policy.classes)
    if stage.answers is not None:
        means = np.zeros((policy.classes, len(stage.answers)), np.float32)
        for own, meant in enumerate(stage.answers):
            if meant is not None:
                means[meant, own] = 1
        weights, none = graph.constant(means), graph.constant(np.zeros(policy.classes, np.float32))
        found = graph.add("fully_connected", [found, weights, none], shape)
    if policy.networks[policy.single].form != "logits":
        return found
    if stage.answers is None:
        return graph.add("log_softmax", [said.scores], shape)
    tiny = graph.constant([float(np.finfo(np.float32).tiny)])
    return graph.add("log", [graph.add("maximum", [found, tiny], shape)], shape)


def _confidence(graph: Graph, stage: Stage, said: Said) -> int:
    classes = graph.shape(said.probabilities)[1]
    along = graph.constant(np.array([1], np.int32))
    if stage.confidence == "top":
        return graph.add("reduce_max", [said.probabilities, along], (1,))
    if stage.confidence == "entropy":
        log_p = graph.add("log_softmax", [said.scores], (1, classes))
        product = graph.add("mul", [said.probabilities, log_p], (1, classes))
        total = graph.add("sum", [product, along], (1,))
        scaled = graph.add("mul", [total, graph.constant([1 / log(classes)])], (1,))
        return graph.add("add", [scaled, graph.constant([1.0])], (1,))
    two = graph.constant(np.array(2, np.int32))
    best, places = graph.tensor("best", (1, 2)), graph.tensor("places", (1, 2), "int32")
    graph.operate("topk_v2", [said.probabilities, two], [best, places])
    difference, none = graph.constant([[1.0, -1.0]]), graph.constant([0.0])
    return graph.add("fully_connected", [best, difference, none], (1, 1))


def _needed(graph: Graph, stage: Stage, said: Said) -> int:
    """The threshold: of the class that is named where there are several."""
    thresholds = stage.threshold
    assert thresholds is not None
    if stage.answers is not None:
        each = thresholds if isinstance(thresholds, tuple) else (thresholds,) * len(stage.answers)
        thresholds = tuple(
            NEVER if meant is None else one for meant, one in zip(stage.answers, each, strict=True)
        )
    if not isinstance(thresholds, tuple):
        return graph.constant([thresholds])
    return graph.add("gather", [graph.constant(list(thresholds)), _named(graph, said.scores)], (1,), axis=0)


def _named(graph: Graph, scores: int) -> int:
    """The class of the highest score."""
    return graph.add(
        "arg_max", [scores, graph.constant(np.array(1, np.int32))], (1,), dtype="int32", outputType=2
    )
