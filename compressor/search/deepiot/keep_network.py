"""The network of DeepIoT that looks at weights and says how likely each channel is kept (Yao et al., SenSys 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from compressor.graph import ChannelAxis, ChannelGraph

_LEAST_P = 1e-6


class WeightViews:
    """The weights that make each group's channels, as a matrix [channels, weights of one].

    Of layers that share their channels the first one's are taken, its bias included; where that makes none by weights of
    its own, whatever weights stand for the channels. `variables` are those of `MaskedTwin`.
    """

    def __init__(self, graph: ChannelGraph, variables: Mapping[tuple[str, str], Any]) -> None:
        self._widths = [group.width for group in graph.groups.values()]
        self._views: list[list[tuple[Any, int, NDArray[np.int64], int]]] = []
        first = 0
        for group in graph.groups.values():
            numbers = range(first, first + group.width)
            first += group.width
            standing = [axis for axis in graph.axes if np.isin(graph.positions(axis.channels), numbers).any()]
            making = [a for a in standing if a.role == "out" and a.layer == group.producers[0]]
            views = []
            for axis in making or [a for a in standing if a.role == "out"] or standing:
                views.append(_view(axis, variables, graph, numbers))
            self._views.append(views)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of each matrix."""
        return [(int(m.shape[0]), int(m.shape[1])) for m in self()]

    def __call__(self) -> list[Any]:
        """The matrices with the weights that the model has now."""
        return [
            tf.concat([_matrix(*view) for view in views], axis=1) if views else tf.zeros([width, 1])
            for views, width in zip(self._views, self._widths, strict=True)
        ]


def _view(
    axis: ChannelAxis, variables: Mapping[tuple[str, str], Any], graph: ChannelGraph, numbers: range
) -> tuple[Any, int, NDArray[np.int64], int]:
    """Where the channels of a group stand along the axis of a weight, ordered by channel."""
    found = graph.positions(axis.channels)
    places = np.flatnonzero(np.isin(found, numbers))
    order = places[np.argsort(found[places], kind="stable")]
    return variables[axis.layer, axis.variable], axis.axis, order, len(numbers)


def _matrix(variable: Any, axis: int, order: NDArray[np.int64], width: int) -> Any:
    value = tf.convert_to_tensor(variable.value)
    rank = len(value.shape)
    first = tf.transpose(value, [axis, *(i for i in range(rank) if i != axis)])
    return tf.reshape(tf.gather(first, order), [width, -1])


class KeepNetwork:
    """Keep probabilities of all channels from the matrices of weights that make them.

    Each matrix W [channels, weights] is summarised by a learned bilinear form ``left @ W @ right`` into a vector; an LSTM
    runs over the groups in their order; a linear layer and a sigmoid give the probabilities, at first `initial`'s.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        initial: Sequence[float],
        units: int = 64,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng([seed, 1])

        def drawn(*shape: int, spread: float) -> Any:
            return tf.Variable(rng.normal(scale=spread, size=shape).astype(np.float32))

        self._units = units
        self._left = [drawn(width, spread=width**-0.5) for width, _ in shapes]
        self._right = [drawn(weights, units, spread=weights**-0.5) for _, weights in shapes]
        self._kernel = drawn(2 * units, 4 * units, spread=(2 * units) ** -0.5)
        self._bias = tf.Variable(np.repeat([0, 1, 0, 0], units).astype(np.float32))  # forgetting starts low
        # Small, so that all channels of a group begin close to the initial probability.
        self._heads = [drawn(units, width, spread=0.1 * units**-0.5) for width, _ in shapes]
        self._offsets = [
            tf.Variable(np.full(width, np.log(p / (1 - p)), np.float32))
            for (width, _), p in zip(shapes, initial, strict=True)
        ]

    @property
    def variables(self) -> list[Any]:
        """All that it learns."""
        return [*self._left, *self._right, self._kernel, self._bias, *self._heads, *self._offsets]

    def __call__(self, matrices: Sequence[Any]) -> Any:
        """The probabilities of all groups in order [channels]."""
        hidden = cell = tf.zeros([1, self._units])
        found = []
        for matrix, left, right, head, offset in zip(
            matrices, self._left, self._right, self._heads, self._offsets, strict=True
        ):
            summary = tf.matmul(tf.matmul(left[None], matrix), right)
            gates = tf.matmul(tf.concat([summary, hidden], axis=1), self._kernel) + self._bias
            into, forget, new, out = tf.split(gates, 4, axis=1)
            cell = tf.sigmoid(forget) * cell + tf.sigmoid(into) * tf.tanh(new)
            hidden = tf.sigmoid(out) * tf.tanh(cell)
            found.append(tf.sigmoid(tf.matmul(hidden, head)[0] + offset))
        return tf.concat(found, axis=0)


def thresholded(p: Any, threshold: Any) -> Any:
    """Probabilities during the search: those below the threshold are halved."""
    return tf.where(p < threshold, p / 2, p)


def drawn_masks(p: Any, uniform: Any) -> Any:
    """Zeros and ones, ``floor(p + U)``, from p [channels] and U, from 0 to 1 [batch, channels]."""
    return tf.floor(p + uniform)


def log_probability(masks: Any, p: Any) -> Any:
    """Log of the probability of each sample's mask [batch]."""
    p = tf.clip_by_value(p, _LEAST_P, 1 - _LEAST_P)
    return tf.reduce_sum(masks * tf.math.log(p) + (1 - masks) * tf.math.log(1 - p), axis=1)


def reinforce_loss(log_p: Any, losses: Any, mean: Any, std: Any) -> Any:
    """What the compressor makes small: the mean of ``log P(mask) * (loss - mean) / max(1, std)`` over samples [batch].

    Its gradient is that of the expected loss (Williams, 1992); `mean` and `std`, the moving averages over batches, only
    take noise away.
    """
    return tf.reduce_mean(log_p * tf.stop_gradient((losses - mean) / tf.maximum(1.0, std)))


def moved_average(old: Any, new: Any, decay: float, first: Any) -> Any:
    """An exponential moving average, which begins with its first value."""
    return tf.where(first, new, decay * old + (1 - decay) * new)
