"""Small heads that answer from the middle of a network, and the network cut there into segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compressor.exits.cuts import ExitPlace

_CONVOLUTIONS = {"pool": 0, "conv": 1, "deep": 1, "deeper": 2, "deepest": 3}

KINDS = tuple(_CONVOLUTIONS)
"""Heads, the smallest first: pooling and a dense layer alone; with one separable convolution in front; or with one, two or three
after each halving of time or space, until little of it is left."""

ANSWER, HIDDEN, LAST = "answer", "hidden", "last"

_LEAST_WIDTH, _MOST_WIDTH = 32, 128
_STRIDE_FROM = 8


@dataclass(frozen=True)
class Branched:
    """A network with early exits.

    `model` (Keras) gives all answers in one run, by name: ``exit_1``, …, and ``last``. `answers` are these (Keras tensors), the
    earliest first, `cuts` the places of the exits.
    """

    model: Any
    answers: Mapping[str, Any]
    cuts: tuple[ExitPlace, ...]

    @property
    def exits(self) -> list[str]:
        """Names of all answers, the earliest first."""
        return list(self.answers)

    def without(self, unused: Sequence[str]) -> Branched:
        """The same network without some of its exits; the others keep their names."""
        import keras

        answers = {name: answer for name, answer in self.answers.items() if name not in unused}
        cuts = [cut for name, cut in zip(self.exits, self.cuts, strict=False) if name not in unused]
        model = keras.Model(self.model.inputs, answers, name=self.model.name)
        return Branched(model, answers, tuple(cuts))

    def segments(self) -> list[Any]:
        """The network in pieces (Keras models): each takes what the one before handed on, and gives an answer, then that."""
        import keras

        starts = [self.model.inputs, *(list(cut.tensors) for cut in self.cuts)]
        ends = [*(cut.tensors for cut in self.cuts), ()]
        return [
            keras.Model(start, [answer, *end], name=f"{self.model.name}_{name}")
            for (name, answer), start, end in zip(self.answers.items(), starts, ends, strict=True)
        ]


def exit_name(number: int) -> str:
    """``exit_1``."""
    return f"exit_{number}"


def hidden_names(count: int) -> list[str]:
    """What the tensors that cross a cut are called in the file: ``hidden``, or ``hidden_1``, … where there are several."""
    return [HIDDEN] if count == 1 else [f"{HIDDEN}_{number}" for number in range(1, count + 1)]


def add_exits(model: Any, cuts: Sequence[ExitPlace], answers: str, kinds: Sequence[str]) -> Branched:
    """Add a head of one of `KINDS` at each cut of a flat model of one output.

    `answers` is what that output is (``softmax`` or ``logits``): heads give the same.
    """
    import keras

    (last,) = model.outputs
    outputs: dict[str, Any] = {}
    for number, (cut, kind) in enumerate(zip(cuts, kinds, strict=True), 1):
        name = exit_name(number)
        outputs[name] = _head(cut.tensors, last.shape[-1], answers, kind, name)
    outputs[LAST] = last
    return Branched(keras.Model(model.inputs, outputs, name=f"{model.name}_exits"), outputs, tuple(cuts))


def head_alone(cut: ExitPlace, classes: int, answers: str, kind: str) -> Any:
    """A head as a Keras model of its own, to see what it costs."""
    import keras

    inputs = [keras.Input(tensor.shape[1:]) for tensor in cut.tensors]
    return keras.Model(inputs, _head(inputs, classes, answers, kind, "head"))


def _head(tensors: Sequence[Any], classes: int, answers: str, kind: str, name: str) -> Any:
    import keras

    pooled = [_pooled(tensor, kind, f"{name}_{place}") for place, tensor in enumerate(tensors)]
    joined = pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name=f"{name}_joined")(pooled)
    activation = "softmax" if answers == "softmax" else None
    return keras.layers.Dense(classes, activation=activation, name=f"{name}_answer")(joined)


def head_layers(branched: Branched, original: Any) -> list[Any]:
    """Layers of the heads: those that the network did not have."""
    own = {id(layer) for layer in original.layers}
    return [layer for layer in branched.model.layers if id(layer) not in own]


def _pooled(tensor: Any, kind: str, name: str) -> Any:
    """A tensor [rows, ...] as one vector per row: its mean over time or space, with convolutions in front where wanted."""
    from keras import layers

    rank = len(tensor.shape)
    if rank == 2:
        return tensor
    if rank in (3, 4):
        tensor = _convolved(tensor, kind, name)
    pooling: Mapping[int, Any] = {
        3: layers.GlobalAveragePooling1D,
        4: layers.GlobalAveragePooling2D,
        5: layers.GlobalAveragePooling3D,
    }
    if rank not in pooling:
        return layers.Flatten(name=f"{name}_flat")(tensor)
    return pooling[rank](name=f"{name}_pool")(tensor)


def _convolved(tensor: Any, kind: str, name: str) -> Any:
    """Separable convolutions: with strides and twice the channels while there is much to see, others added to what they read."""
    number, goes_on = 0, True
    while goes_on and _CONVOLUTIONS[kind]:
        stride = 2 if max(tensor.shape[1:-1]) >= _STRIDE_FROM else 1
        goes_on = kind != "conv" and stride > 1 and max(tensor.shape[1:-1]) >= 2 * _STRIDE_FROM
        growth = stride if kind != "conv" else 1
        width = min(max(growth * tensor.shape[-1], _LEAST_WIDTH), _MOST_WIDTH)
        for step in range(_CONVOLUTIONS[kind]):
            tensor = _convolution(tensor, width, 1 if step else stride, f"{name}_conv{number}")
            number += 1
    return tensor


def _convolution(tensor: Any, width: int, stride: int, name: str) -> Any:
    from keras import layers

    convolution = layers.SeparableConv1D if len(tensor.shape) == 3 else layers.SeparableConv2D
    found = convolution(width, 3, strides=stride, padding="same", use_bias=False, name=name)(tensor)
    found = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(found))
    return layers.Add(name=f"{name}_add")([tensor, found]) if found.shape == tensor.shape else found
