"""An encoder and a decoder's step as Keras gives them: their inputs and outputs by name, and what goes from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.export import tensorflow
from profiler.errors import UsageError

Arrays = dict[str, NDArray[Any]]

FED = ("token", "position")
"""Inputs of a step that the search gives."""

GIVEN = ("logits", "probabilities", "top_probabilities", "top_tokens", "attention")
"""Outputs of a step that the search takes."""


@dataclass(frozen=True)
class Named:
    """A Keras model with its inputs and outputs by name."""

    model: Any
    inputs: Mapping[str, tuple[tuple[int, ...], str]]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, model: Any, what: str) -> Named:
        """UsageError where shapes are open, or outputs have no names."""
        outputs = getattr(model, "_outputs_struct", None)
        if not isinstance(outputs, Mapping):
            raise UsageError(
                f"{what} gives no outputs by name: build it as keras.Model(inputs, {{'name': output}})."
            )
        inputs: dict[str, tuple[tuple[int, ...], str]] = {}
        for tensor in model.inputs:
            shape = tuple(tensor.shape)
            if any(size is None for size in shape):
                raise UsageError(
                    f"{what} leaves the shape of its input '{tensor.name}' open, {shape}: build it from keras.Input(batch_shape=…)."
                )
            inputs[tensor.name] = (
                shape,
                tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name,
            )
        # Keras flattens mappings in the order of their keys.
        return cls(model, inputs, tuple(sorted(outputs)))

    def function(self) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
        """Runs it on arrays by name, compiled once."""
        tf = tensorflow()
        compiled = tf.function(lambda given: self.model(given, training=False))

        def call(given: Mapping[str, NDArray[Any]]) -> Arrays:
            tensors = {name: tf.constant(given[name], dtype) for name, (_, dtype) in self.inputs.items()}
            found = compiled(tensors)
            return {name: np.asarray(value) for name, value in found.items()}

        return call


def check_parts(encoder: Named, step: Named) -> None:
    """Raise UsageError, which says how to mend it, where an encoder and a step do not fit together."""
    if len(encoder.inputs) != 1:
        raise UsageError(
            f"The encoder has the inputs {', '.join(encoder.inputs)}: give it one, tokens [1, source]."
        )
    ((shape, dtype),) = encoder.inputs.values()
    if len(shape) != 2 or shape[0] != 1 or dtype != "int32":
        raise UsageError(f"The encoder takes {dtype} {list(shape)}: give it tokens, int32 [1, source].")
    if "token" not in step.inputs or "logits" not in step.outputs:
        raise UsageError(
            "The decoder's step takes 'token' [width] and gives 'logits' [width, vocabulary]: name them so."
        )
    for name in step.inputs:
        if name not in FED and name not in step.outputs and name not in encoder.outputs:
            raise UsageError(
                f"The decoder's step takes '{name}', which neither the encoder nor the step gives: name an output so."
            )
    for name in step.outputs:
        if name not in GIVEN and name not in step.inputs:
            raise UsageError(
                f"The decoder's step gives '{name}' and does not take it: leave it out, or take it as a state."
            )


def states_of(step: Named) -> list[str]:
    """Names of what a step gives to the next one."""
    return [name for name in step.outputs if name in step.inputs]


def walk(
    encode: Callable[[Mapping[str, NDArray[Any]]], Arrays],
    run: Callable[[Mapping[str, NDArray[Any]]], Arrays],
    encoder: Named,
    step: Named,
    source: Sequence[int],
    tokens: Callable[[int, NDArray[Any] | None], tuple[NDArray[np.int32], NDArray[np.intp]] | None],
) -> Iterator[tuple[Arrays, Arrays]]:
    """Decode step by step: yields what a step was given, and what it gave.

    `tokens` names, by the number of the step and the logits of the one before, the last tokens and which hypotheses of the step
    before they continue; None ends the walk.
    """
    ((name, (shape, _)),) = encoder.inputs.items()
    padded = np.zeros(shape, np.int32)
    padded[0, : len(source)] = source
    encoded = encode({name: padded})
    width = step.inputs["token"][0][0]
    states: Arrays = {}
    for state in states_of(step):
        shape, dtype = step.inputs[state]
        start = encoded.get(state)
        states[state] = np.zeros(shape, dtype) if start is None else np.broadcast_to(start, shape).copy()
    logits: NDArray[Any] | None = None
    constants = {name: encoded[name] for name in step.inputs if name in encoded and name not in states}
    number = 0
    while (chosen := tokens(number, logits)) is not None:
        last, parents = chosen
        given = {**constants, **states, "token": last}
        if number:
            for state in states:
                given[state] = states[state] = states[state][parents]
        if "position" in step.inputs:
            given["position"] = np.array([number], np.int32)
        found = run(given)
        yield given, found
        logits = found["logits"]
        for state in states:
            if found[state].ndim < states[state].ndim:
                states[state] = states[state].copy()
                states[state][:, number] = found[state]
            else:
                states[state] = found[state]
        number += 1
        assert width == len(last)
