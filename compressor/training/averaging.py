"""Averaged weights: a moving average over the steps of a training, often better than where it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_DECAY = 0.995
_EVERY = 8
"""Steps between two that are followed: of small networks following takes as long as a good part of a step."""


class Averaged:
    """Moving averages of all weights of a model, the statistics of its normalisations included.

    The first steps count for less and less: after t steps an average reaches back over about t / 10 of them, at most 200.
    """

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self._model = model
        self._all = [weight.value for weight in model.weights]
        self._moving = [i for i, one in enumerate(self._all) if one.dtype.is_floating]
        self._averages = [tf.Variable(self._all[i], trainable=False) for i in self._moving]
        self._steps = 0

        @tf.function(autograph=False)
        def follow(share: Any) -> None:
            for average, i in zip(self._averages, self._moving, strict=True):
                moved = average.read_value() - self._all[i].read_value()
                average.assign_sub(tf.cast(share, average.dtype) * moved)

        self._follow = lambda decay: follow(tf.constant(1 - decay**_EVERY))

    def step(self) -> None:
        """Follow the weights, after a step of training."""
        self._steps += 1
        if self._steps % _EVERY == 0:
            self._follow(min(_MOST_DECAY, (1 + self._steps) / (10 + self._steps)))

    @property
    def weights(self) -> list[NDArray[Any]]:
        """As the model takes them."""
        found = [np.array(weight) for weight in self._model.get_weights()]
        for average, i in zip(self._averages, self._moving, strict=True):
            found[i] = average.numpy()
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps."""
        return {f"mean{i}": one.numpy() for i, one in enumerate(self._averages)} | {
            "means": np.array(self._steps)
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        self._steps = int(state["means"])
        for i, average in enumerate(self._averages):
            average.assign(state[f"mean{i}"])
