"""Rules of layers and operations that move numbers around: the movement is tried on an array of the channels' own numbers.

Where all positions of the result hold the same channels in the same order, channels have stayed in the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compressor.graph.rules.base import Outputs, Rule, each, freezing, passed, require_channels_last
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call, TensorKey

_UNKNOWN = 2  # stands for a length that Keras leaves open
_MOST = 20_000_000


def spread(call: Call, index: int, channels: ChannelIds) -> ChannelIds:
    """The input as an array of its channels' numbers, with a batch of 1."""
    shape = [1, *(n if n is not None else _UNKNOWN for n in call.input_shapes[index][1:])]
    if math.prod(shape) > _MOST:
        raise Frozen("it is too large to follow")
    return np.broadcast_to(channels, shape)


def in_last_axis(moved: ChannelIds) -> ChannelIds:
    """The channels of an array that has the same ones everywhere; `Frozen` where it has not."""
    if moved.ndim < 2 or not moved.size:
        raise Frozen("it moves channels out of the last axis")
    rows = moved.reshape(-1, moved.shape[-1])
    if not (rows == rows[0]).all():
        raise Frozen("it moves channels out of the last axis")
    return np.array(rows[0])


def _reshape(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    require_channels_last(call)
    source, target = call.input_shapes[0][1:], call.output_shapes.get(0, (None, None))[1:]
    if any(n is None for n in (*source, *target)):
        if call.kind == "Flatten" and len(source) == 1:
            return inputs[0]
        raise Frozen("its shape is not fixed")
    out = in_last_axis(spread(call, 0, inputs[0]).reshape(1, *target))
    for key in ("target_shape", "newshape"):
        shape = call.config.get(key)
        if isinstance(shape, (list, tuple)) and shape and shape[-1] != -1:
            recorder.count(call, key, out, position=len(shape) - 1)
    return out


def _permute(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if tuple(call.config["dims"])[-1] != len(call.config["dims"]):
        raise Frozen("it moves channels out of the last axis")
    return inputs[0]


def _concatenate(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    if call.config["axis"] in (-1, len(call.input_shapes[0]) - 1):
        return np.concatenate(inputs)
    return _stacked(call, inputs, recorder)


def _stacked(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    axis = call.config["axis"]
    if call.kind == "ops.Stack" and axis in (-1, len(call.input_shapes[0])):
        raise Frozen("it moves channels out of the last axis")
    for channels in inputs[1:]:
        recorder.tie(inputs[0], channels)
    return inputs[0]


def _moving(move: Callable[[Any, Call], Any], repeats: bool = False) -> Rule:
    """A rule of an operation that `move` does on an array; unless it repeats channels, they come out as they went in."""

    def rule(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
        array = spread(call, 0, inputs[0])
        try:
            moved = move(array, call)
        except (TypeError, ValueError, IndexError, KeyError) as reason:
            raise Frozen("it cannot be followed") from reason
        many = isinstance(moved, (list, tuple))
        found = tuple(in_last_axis(part) for part in (moved if many else [moved]))
        if not repeats and any(not np.array_equal(part, inputs[0]) for part in found):
            raise Frozen("it takes channels apart")
        return found if many else found[0]

    return rule


def _split(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Into equal parts of the channels (a gated unit): those at the same place of each part go together."""
    parts, axis = call.config["indices_or_sections"], call.config["axis"]
    if axis not in (-1, len(call.input_shapes[0]) - 1):
        return _moving(lambda a, c: np.split(a, parts, axis))(call, inputs, recorder)
    if not isinstance(parts, int):
        raise Frozen("it takes channels apart")
    found = tuple(np.split(inputs[0], parts))
    for part in found[1:]:
        recorder.tie(found[0], part)
    return found


def _broadcast(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    shape = call.config["shape"]
    if call.input_shapes[0][-1] != shape[-1]:
        raise Frozen("it repeats one channel")
    recorder.count(call, "shape", inputs[0], position=len(shape) - 1)
    return inputs[0]


def _pad(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    width = call.config["pad_width"]
    last = width[-1] if isinstance(width, (list, tuple)) and width else width
    if any(np.ravel(last)):
        raise Frozen("it adds channels")
    return inputs[0]


def _item(value: Any) -> Any:
    """An index as Keras wrote it down."""
    if isinstance(value, TensorKey):
        raise Frozen("it picks by what the network computes")
    if isinstance(value, Mapping):
        if value.get("class_name") == "__slice__":
            parts = value["config"]
            return slice(*(_item(parts[name]) for name in ("start", "stop", "step")))
        if value.get("class_name") == "__ellipsis__":
            return Ellipsis
        raise Frozen("it cannot be followed")
    return tuple(_item(part) for part in value) if isinstance(value, (list, tuple)) else value


def _given(call: Call, position: int, name: str) -> Any:
    return _item(call.arguments[position] if len(call.arguments) > position else call.keywords[name])


def _axis(call: Call, name: str = "axis") -> Any:
    value = call.config[name]
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _not_the_batch(array: Any, call: Call) -> Any:
    """Where a batch of 1 would do what one of its own length does not."""
    key = _given(call, 1, "key")
    first = key[0] if isinstance(key, tuple) and key else key
    if not (first is Ellipsis or first == slice(None)):
        raise Frozen("it picks from the batch")
    return array[key]


RULES: Mapping[str, Rule] = {
    **each("Flatten Reshape ops.Reshape", _reshape),
    **each("Permute", _permute),
    **each("RepeatVector", passed),
    **each("Masking", freezing("it skips steps by all channels together")),
    **each("Concatenate ops.Concatenate", _concatenate),
    **each("ops.Stack", _stacked),
    "ops.Transpose": _moving(lambda a, c: np.transpose(a, _axis(c, "axes"))),
    "ops.Moveaxis": _moving(lambda a, c: np.moveaxis(a, _axis(c, "source"), _axis(c, "destination"))),
    "ops.Swapaxes": _moving(lambda a, c: np.swapaxes(a, c.config["axis1"], c.config["axis2"])),
    "ops.ExpandDims": _moving(lambda a, c: np.expand_dims(a, _axis(c))),
    "ops.Squeeze": _moving(lambda a, c: np.squeeze(a, _axis(c))),
    "ops.Flip": _moving(lambda a, c: np.flip(a, _axis(c))),
    "ops.Roll": _moving(lambda a, c: np.roll(a, c.config["shift"], _axis(c))),
    "ops.GetItem": _moving(_not_the_batch),
    "ops.Take": _moving(lambda a, c: np.take(a, _given(c, 1, "indices"), _axis(c))),
    "ops.Repeat": _moving(lambda a, c: np.repeat(a, c.config["repeats"], _axis(c)), repeats=True),
    "ops.Tile": _moving(lambda a, c: np.tile(a, c.config["repeats"]), repeats=True),
    "ops.Split": _split,
    "ops.BroadcastTo": _broadcast,
    "ops.Pad": _pad,
}
