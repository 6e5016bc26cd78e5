"""Rules of layers that stand around another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compressor.graph.rules.attention import RULES as ATTENTION
from compressor.graph.rules.base import ChannelIds, Frozen, Outputs, Recorder, Rule, in_words
from compressor.graph.rules.elementwise import RULES as ELEMENTWISE
from compressor.graph.rules.normalisation import RULES as NORMALISATION
from compressor.graph.rules.reshaping import RULES as RESHAPING
from compressor.graph.rules.weighted import RULES as WEIGHTED
from compressor.graph.topology import Call, kind_of

_INSIDE: Mapping[str, Rule] = {**WEIGHTED, **NORMALISATION, **ELEMENTWISE, **RESHAPING, **ATTENTION}


def _time_distributed(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """The same layer at every step: what it does to channels, it does without the axis of time."""
    kind = kind_of(call.config["layer"])
    rule = _INSIDE.get(kind)
    if rule is None or (kind == "BatchNormalization" and len(call.input_shapes[0]) < 3):
        inside = "a model" if kind in ("Sequential", "Functional") else in_words(kind)
        raise Frozen(f"no rule for {inside} inside it")
    shapes = tuple((shape[0], *shape[2:]) for shape in call.input_shapes)
    results = {index: (shape[0], *shape[2:]) for index, shape in call.output_shapes.items()}
    inner = call.inner(
        "layer",
        {name: (name, shape) for name, shape in call.node.variables},
        input_shapes=shapes,
        output_shapes=results,
    )
    return rule(inner, inputs, recorder)


RULES: Mapping[str, Rule] = {"TimeDistributed": _time_distributed}
