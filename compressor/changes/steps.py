"""Fewer time steps before a recurrent layer, and a smaller picture or sequence at the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compressor.changes.base import Dimension, ExaminedNetwork, RefusedChange
from compressor.graph import RECURRENT, Call, Change, Editing, prefix_of
from profiler.errors import UsageError

_STRIDES = (2, 4)
"""Every second and every fourth step."""

_LEAST_STEPS = 4
"""Steps, or pixels of a side, that must be left."""


@dataclass(frozen=True)
class FewerSteps(Change):
    """Every so many-th step of a sequence, or the mean of every square of pixels, in front of a layer.

    Attributes
    ----------
    stride
        Of how many steps, or pixels of each side, one is left.
    images
        Whether pictures are made smaller, else sequences shorter.
    where
        What the layer reads, in words.
    """

    id: str
    layers: tuple[str, ...]
    stride: int
    images: bool
    where: str
    signature: str

    @property
    def words(self) -> str:
        """See `Change.words`."""
        if self.images:
            return f"the mean of every {self.stride}x{self.stride} pixels of {self.where} is looked at"
        return f"one of {self.stride} steps of {self.where} is looked at"

    @property
    def place(self) -> str:
        """See `Change.place`."""
        return f"{self.layers[0]}:steps"

    @property
    def strength(self) -> int:
        """See `Change.strength`."""
        return self.stride

    def apply(self, model: Any) -> Any:
        """See `Change.apply`: the app feeds what it did before, a pooling layer in front makes it smaller."""
        import keras

        (reader,) = self.layers
        name = f"{reader[len(prefix_of(reader)) :]}_{'pixels' if self.images else 'steps'}"
        pooling = (
            keras.layers.AveragePooling2D(self.stride, name=name)
            if self.images
            else keras.layers.MaxPooling1D(1, self.stride, name=name)  # of one step its largest is that step
        )
        editing = Editing(model)
        editing.insert_before(reader, 0, pooling)
        return editing.made()

    def twin(self, model: Any) -> Callable[[Any], Any]:
        """The network by Keras' own cloning, which hands the layer a part of what it reads."""
        import keras

        def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
            if layer.name == self.layers[0]:
                arguments = (self._thinned(arguments[0]), *arguments[1:])
            return layer(*arguments, **keywords)

        sources = model.inputs if len(model.inputs) > 1 else model.inputs[0]
        functional = keras.Model(sources, model.outputs)
        found = keras.models.clone_model(functional, call_function=call, clone_function=lambda layer: layer)
        return lambda rows: found(rows, training=False)

    def _thinned(self, tensor: Any) -> Any:
        stride = self.stride
        if not self.images:
            return tensor[:, ::stride]
        height, width = (n // stride * stride for n in tensor.shape[1:3])
        kept = tensor[:, :height, :width]
        parts = [kept[:, i::stride, j::stride] for i in range(stride) for j in range(stride)]
        return sum(parts[1:], parts[0]) / len(parts)


class Thinning(Dimension):
    """Layers in front of which a sequence or picture may be shorter: no weight and no output of the network counts it."""

    name: ClassVar[str] = "steps"

    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """See `Dimension.find`."""
        found: list[Change] = []
        refused: list[RefusedChange] = []
        calls = network.topology.calls
        inputs = {call.name: call for call in calls if call.kind == "InputLayer" and not call.inputs}
        masked = any(_masks(call) for call in calls)
        for call in calls:
            if not call.inputs or call.kind == "InputLayer":
                continue
            source = inputs.get(call.inputs[0].layer)
            shape = call.input_shapes[0]
            recurrent = call.kind in RECURRENT and len(shape) == 3
            if not recurrent and (source is None or len(shape) not in (3, 4)):
                continue
            reason = _refusal(network, call, source, masked)
            if reason:
                refused.append(self.refuse(call.name, reason))
                continue
            images = len(shape) == 4
            where = f"the input {call.inputs[0].layer}" if source is not None else f"what {call.name} reads"
            for stride in _STRIDES:
                change = FewerSteps(
                    f"{call.name}:steps=1/{stride}", (call.name,), stride, images, where,
                    repr((self.name, call.name, stride)),
                )  # fmt: skip
                reason = _too_short(shape, stride) or _changed(network.model, change)
                if reason:
                    refused.append(self.refuse(call.name, reason))
                    break
                found.append(change)
        return found, refused


def _refusal(network: ExaminedNetwork, call: Call, source: Call | None, masked: bool) -> str:
    if sum(one.name == call.name for one in network.topology.calls) > 1:
        return "it is used more than once"
    if len(call.inputs) != 1:
        return "it reads more than one tensor"
    if masked:
        return "a mask says which steps count"
    if source is not None:
        if any(one is not call and call.inputs[0] in one.inputs for one in network.topology.calls):
            return "other layers read its input, too"
        if not str(source.config.get("dtype", "float32")).startswith("float"):
            return "its input is of whole numbers"
    return ""


def _masks(call: Call) -> bool:
    return call.kind == "Masking" or bool(call.config.get("mask_zero"))


def _too_short(shape: Sequence[int | None], stride: int) -> str:
    sizes = shape[1:-1]
    if None in sizes:
        return "its length is not known"
    least = min(n // stride for n in sizes if n is not None)
    return "" if least >= _LEAST_STEPS else f"only {least} would be left of {min(n for n in sizes if n)}"


def _changed(model: Any, change: Change) -> str:
    """Why the network does not allow it; empty where all its weights and outputs keep their shapes."""
    try:
        made = change.apply(model)
    except (UsageError, ValueError) as error:  # Keras' own
        return f"what is behind it needs all of them: {str(error).splitlines()[0].rstrip('.')[:120]}"
    if [tuple(one.shape) for one in made.outputs] != [tuple(one.shape) for one in model.outputs]:
        return "the network's output would be shorter"
    return ""
