"""What a network is trained for and judged by: its loss, what it learns from the original, its score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Data, check_fits
from profiler.errors import DataError, UsageError

_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Task:
    """The loss and the score of one kind of output.

    Attributes
    ----------
    head
        ``softmax`` (class probabilities), ``logits``, ``sigmoid`` (one probability), ``logit`` (one number
        before the sigmoid), or ``values``: whatever the data file's own loss takes.
    data
        Whose `loss` and `metric` count, where it defines them.
    """

    head: str
    data: Data

    @property
    def score_name(self) -> str:
        """What scores are called in reports."""
        return "accuracy" if self.data.metric is None and self.is_classification else "score"

    @property
    def is_classification(self) -> bool:
        """Whether outputs are classes."""
        return self.head != "values"

    def score(self, outputs: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> float:
        """Higher is better: the share of right answers, the data file's own metric, or minus its loss."""
        if self.data.metric is not None:
            return float(self.data.metric(_Answered(outputs), (x, y)))
        if self.is_classification:
            return float(np.mean(self.answers(outputs) == y))
        return -float(np.mean(np.asarray(self._own_loss(y, outputs))))

    def answers(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each row."""
        if self.head == "sigmoid":
            return (outputs.reshape(len(outputs)) > 0.5).astype(np.int64)
        if self.head == "logit":
            return (outputs.reshape(len(outputs)) > 0).astype(np.int64)
        return outputs.argmax(axis=-1).astype(np.int64)

    def loss(self, y: Any, outputs: Any) -> Any:
        """Mean loss of a batch (a TensorFlow scalar)."""
        import tensorflow as tf

        if not self.is_classification or self.data.loss is not None:
            return tf.reduce_mean(self._own_loss(y, outputs))
        log_p = self._log_probabilities(outputs)
        labels = tf.cast(tf.reshape(y, [-1, *([1] * (len(log_p.shape) - 2))]), tf.int32)
        return -tf.reduce_mean(tf.gather(log_p, labels, axis=-1, batch_dims=1))

    def losses(self, y: Any, outputs: Any) -> Any:
        """Loss of each row (a TensorFlow tensor [rows])."""
        import tensorflow as tf

        if self.is_classification and self.data.loss is None:
            log_p = self._log_probabilities(outputs)
            labels = tf.cast(tf.reshape(y, [-1, *([1] * (len(log_p.shape) - 2))]), tf.int32)
            found = -tf.gather(log_p, labels, axis=-1, batch_dims=1)
            return tf.reduce_mean(tf.reshape(found, [tf.shape(outputs)[0], -1]), axis=1)

        def one(row: Any) -> Any:
            # A loss of one's own may add rows up: it sees them one by one.
            return tf.reduce_mean(self._own_loss(row[0][None], row[1][None]))

        return tf.map_fn(one, (tf.convert_to_tensor(y), outputs), fn_output_signature=outputs.dtype)

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Any:
        """How far outputs are from those of the original (a TensorFlow scalar).

        For classes the Kullback-Leibler divergence of both softened by the temperature, times its square
        (Hinton et al., 2015); else the mean square of the difference over that of the wanted values.
        """
        import tensorflow as tf

        if not self.is_classification:
            scale = tf.math.reduce_variance(wanted) + 1e-6
            return tf.reduce_mean((outputs - wanted) ** 2) / scale
        mine = tf.nn.log_softmax(self._log_probabilities(outputs) / temperature)
        theirs = tf.nn.log_softmax(self._log_probabilities(wanted) / temperature)
        divergence = tf.reduce_sum(tf.exp(theirs) * (theirs - mine), axis=-1)
        return tf.reduce_mean(divergence) * temperature**2

    def _log_probabilities(self, outputs: Any) -> Any:
        """Log of the probability of each class [rows, classes], from whatever the head gives."""
        import tensorflow as tf

        if self.head == "softmax":
            return tf.math.log(outputs + _LEAST_PROBABILITY)
        if self.head == "logits":
            return tf.nn.log_softmax(outputs)
        logit = tf.reshape(outputs, [-1, 1])
        if self.head == "sigmoid":
            return tf.math.log(tf.concat([1 - logit, logit], axis=-1) + _LEAST_PROBABILITY)
        return tf.concat([-tf.nn.softplus(logit), -tf.nn.softplus(-logit)], axis=-1)

    def _own_loss(self, y: Any, outputs: Any) -> Any:
        import keras

        loss = self.data.loss
        function: Callable[[Any, Any], Any] = keras.losses.get(loss) if isinstance(loss, str) else loss
        return function(y, outputs)


def task_of(model: Any, data: Data) -> Task:
    """Find out what a model's outputs are, and check that rows and labels fit it.

    Raises
    ------
    UsageError
        The model has several inputs or outputs.
    DataError
        Rows have another shape than the model takes, or a label lies beyond its outputs.
    """
    for what in ("inputs", "outputs"):
        if len(getattr(model, what)) != 1:
            count = len(getattr(model, what))
            raise UsageError(f"Model {model.name!r} has {count} {what}: `compress` takes models with one.")
    shape = tuple(model.outputs[0].shape)
    classes = data.is_classification or data.loss is None
    check_fits(data, tuple(model.inputs[0].shape)[1:], shape[-1] if classes else None)
    if not classes:
        return Task("values", data)
    if len(shape) != 2:
        raise DataError(
            f"Model {model.name!r} gives outputs of shape {list(shape[1:])} per row, not one number per "
            "class: give a Python data file that defines `loss` and `metric`."
        )
    outputs = np.asarray(model(data.x[:64], training=False))
    if not np.isfinite(outputs).all():
        raise DataError(f"Model {model.name!r} gives NaN or infinity on the first rows of {data.source}.")
    bounded = bool((outputs >= 0).all() and (outputs <= 1).all())
    if shape[-1] == 1:
        return Task("sigmoid" if bounded else "logit", data)
    sums = bool(np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))
    return Task("softmax" if bounded and sums else "logits", data)


class _Answered:
    """Outputs that are at hand, for a metric that wants to call ``predict``."""

    def __init__(self, outputs: NDArray[Any]) -> None:
        self._outputs = outputs

    def predict(self, x: Any, *args: Any, **options: Any) -> NDArray[Any]:
        """The outputs, whatever is asked."""
        return self._outputs
