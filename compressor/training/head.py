"""One output of a network: its loss on labels, what it learns from the original's, which answers are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Head:
    """What the numbers of one output are.

    `kind` is ``softmax`` (class probabilities), ``logits``, ``sigmoid`` (one probability), ``logit`` (one number before the
    sigmoid), or ``values``: whatever `own_loss` takes, the data file's loss in place of cross-entropy.
    """

    kind: str
    own_loss: Any = None

    @property
    def is_classification(self) -> bool:
        """Whether outputs are classes."""
        return self.kind != "values"

    def score(self, y: NDArray[Any], outputs: NDArray[Any]) -> float:
        """The share of right answers, or minus the loss."""
        if self.is_classification:
            return float(np.mean(self.answers(outputs) == y))
        return -float(np.mean(np.asarray(self._own_loss(y, outputs))))

    def answers(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each row."""
        if self.kind == "sigmoid":
            return (outputs.reshape(len(outputs)) > 0.5).astype(np.int64)
        if self.kind == "logit":
            return (outputs.reshape(len(outputs)) > 0).astype(np.int64)
        return outputs.argmax(axis=-1).astype(np.int64)

    def loss(self, y: Any, outputs: Any) -> Any:
        """Mean loss of a batch (a TensorFlow scalar)."""
        import tensorflow as tf

        if not self.is_classification or self.own_loss is not None:
            return tf.reduce_mean(self._own_loss(y, outputs))
        return -tf.reduce_mean(self._log_likelihood(y, outputs))

    def losses(self, y: Any, outputs: Any) -> Any:
        """Loss of each row (a TensorFlow tensor [rows])."""
        import tensorflow as tf

        if self.is_classification and self.own_loss is None:
            found = -self._log_likelihood(y, outputs)
            return tf.reduce_mean(tf.reshape(found, [tf.shape(outputs)[0], -1]), axis=1)

        def one(row: Any) -> Any:
            # A loss of one's own may add rows up: it sees them one by one.
            return tf.reduce_mean(self._own_loss(row[0][None], row[1][None]))

        return tf.map_fn(one, (tf.convert_to_tensor(y), outputs), fn_output_signature=outputs.dtype)

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Any:
        """How far outputs are from those of the original (a TensorFlow scalar).

        For classes the softened Kullback-Leibler divergence (Hinton et al., 2015), else the relative mean square.
        """
        import tensorflow as tf

        if not self.is_classification:
            scale = tf.math.reduce_variance(wanted) + 1e-6
            return tf.reduce_mean((outputs - wanted) ** 2) / scale
        mine = tf.nn.log_softmax(self._log_probabilities(outputs) / temperature)
        theirs = tf.nn.log_softmax(self._log_probabilities(wanted) / temperature)
        divergence = tf.reduce_sum(tf.exp(theirs) * (theirs - mine), axis=-1)
        return tf.reduce_mean(divergence) * temperature**2

    def _log_likelihood(self, y: Any, outputs: Any) -> Any:
        """Log of the probability of each row's label."""
        import tensorflow as tf

        log_p = self._log_probabilities(outputs)
        labels = tf.cast(tf.reshape(y, [-1, *([1] * (len(log_p.shape) - 2))]), tf.int32)
        return tf.gather(log_p, labels, axis=-1, batch_dims=1)

    def _log_probabilities(self, outputs: Any) -> Any:
        """Log of the probability of each class [rows, classes], from whatever the head gives."""
        import tensorflow as tf

        if self.kind == "softmax":
            return tf.math.log(outputs + _LEAST_PROBABILITY)
        if self.kind == "logits":
            return tf.nn.log_softmax(outputs)
        logit = tf.reshape(outputs, [-1, 1])
        if self.kind == "sigmoid":
            return tf.math.log(tf.concat([1 - logit, logit], axis=-1) + _LEAST_PROBABILITY)
        return tf.concat([-tf.nn.softplus(logit), -tf.nn.softplus(-logit)], axis=-1)

    def _own_loss(self, y: Any, outputs: Any) -> Any:
        import keras

        loss = self.own_loss
        function: Callable[[Any, Any], Any] = keras.losses.get(loss) if isinstance(loss, str) else loss
        return function(y, outputs)


def kind_of_head(outputs: NDArray[Any]) -> str:
    """What the outputs of a classifier on some rows are [rows, classes]."""
    bounded = bool((outputs >= 0).all() and (outputs <= 1).all())
    if outputs.shape[-1] == 1:
        return "sigmoid" if bounded else "logit"
    sums = bool(np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))
    return "softmax" if bounded and sums else "logits"
