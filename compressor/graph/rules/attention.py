"""Rules of attention, inside which the heads, the width of queries and keys, and the width of values can be chosen.

The place j of the key width goes in all heads at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compressor.graph.rules.base import Outputs, Rule, each
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call, TensorKey

_PARAMETERS = ("query", "value", "key")


def _multi_head(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    config = call.config
    heads, key, value = (recorder.new(config[name]) for name in ("num_heads", "key_dim", "value_dim"))
    recorder.count(call, "num_heads", heads, label="heads")
    recorder.count(call, "key_dim", key, label="key_width")
    recorder.count(call, "value_dim", value, label="value_width")
    shape = config.get("output_shape")
    if isinstance(shape, (list, tuple)) and len(shape) != 1:
        raise Frozen("its output has several axes")
    _attention(call, inputs, recorder, heads, heads, key, value)
    out = recorder.new(call.variables["attention_output/kernel"][-1])
    recorder.count(call, "output_shape", out)
    _output(call, out, recorder)
    return _results(call, out, recorder)


def _grouped_query(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Query heads that share a key and a value go together; keys and values are equally wide."""
    config = call.config
    heads, width = recorder.new(config["num_key_value_heads"]), recorder.new(config["head_dim"])
    queries = np.repeat(heads, config["num_query_heads"] // config["num_key_value_heads"])
    recorder.count(call, "num_key_value_heads", heads, label="heads")
    recorder.count(call, "num_query_heads", queries, label="heads")
    recorder.count(call, "head_dim", width, label="key_width")
    query = _attention(call, inputs, recorder, queries, heads, width, width)
    _output(call, query, recorder)
    return _results(call, query, recorder)


def _attention(
    call: Call,
    inputs: Sequence[ChannelIds],
    recorder: Recorder,
    queries: ChannelIds,
    heads: ChannelIds,
    key: ChannelIds,
    value: ChannelIds,
) -> ChannelIds:
    """The weights around the scores: query heads, key and value heads, and their widths; the channels of the query."""
    read = _arguments(call, inputs, recorder)
    kernels = [
        ("query", read["query"], queries, key),
        ("key", read["key"], heads, key),
        ("value", read["value"], heads, value),
    ]
    if "gate/kernel" in call.variables:
        kernels.append(("gate", read["query"], queries, value))
    for name, source, several, width in kernels:
        # Nothing reads a place of the key width through a weight: queries of zero there silence it.
        role = "in" if name == "query" else "out"
        recorder.axis(call, f"{name}/kernel", 0, source, "in")
        recorder.axis(call, f"{name}/kernel", 1, several, "out")
        recorder.axis(call, f"{name}/kernel", 2, width, role)
        if f"{name}/bias" in call.variables:
            recorder.axis(call, f"{name}/bias", 0, several, "out")
            recorder.axis(call, f"{name}/bias", 1, width, role)
    # The layer divides scores by the root of its key width.
    for variable in ("query/kernel", "query/bias"):
        if variable in call.variables:
            recorder.rescale(call, variable, key, 0.5)
    recorder.axis(call, "attention_output/kernel", 0, queries, "in")
    recorder.axis(call, "attention_output/kernel", 1, value, "in")
    return read["query"]


def _output(call: Call, out: ChannelIds, recorder: Recorder) -> None:
    recorder.axis(call, "attention_output/kernel", 2, out, "out")
    if "attention_output/bias" in call.variables:
        recorder.axis(call, "attention_output/bias", 0, out, "out")


def _arguments(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> dict[str, ChannelIds]:
    """Channels of query, value and key; masks keep theirs, which are positions."""
    given = dict(zip(_PARAMETERS, call.arguments, strict=False)) | dict(call.keywords)
    by_key = dict(zip(call.inputs, inputs, strict=True))
    read = {}
    for name, value in given.items():
        if isinstance(value, TensorKey):
            if name in _PARAMETERS:
                read[name] = by_key[value]
            else:
                recorder.freeze_for(call, by_key[value], "its mask says which positions count")
    if "query" not in read or "value" not in read or len(call.arguments) > len(_PARAMETERS):
        raise Frozen("what it attends to is not known")
    read.setdefault("key", read["value"])
    return read


def _results(call: Call, out: ChannelIds, recorder: Recorder) -> Outputs:
    scores = call.output_shapes.get(1, ())
    if scores and scores[-1] is not None:
        return out, recorder.new_frozen(scores[-1])
    return out


def _luong(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Scores are sums over all channels of query and key; those of the value pass through."""
    if not isinstance(call.arguments[0], tuple) or len(inputs) not in (2, 3):
        raise Frozen("what it attends to is not known")
    recorder.report(call, "its scores are sums over all channels of the query and the key")
    recorder.freeze(inputs[0])
    recorder.freeze(inputs[-1] if len(inputs) == 3 else inputs[1])
    return _results(call, inputs[1], recorder)


RULES: Mapping[str, Rule] = {
    **each("MultiHeadAttention", _multi_head),
    **each("GroupQueryAttention GroupedQueryAttention", _grouped_query),
    **each("Attention AdditiveAttention", _luong),
}
