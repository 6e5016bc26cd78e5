"""What a network is trained for and judged by: its loss, what it learns from the original, its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Data, Rows, check_fits, each, take
from compressor.training.model_io import input_names, output_names, run
from profiler.errors import DataError

_LOOKED_AT = 64
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


@dataclass(frozen=True)
class Task:
    """The loss and the score of a network, over all of its outputs.

    Labels and outputs are arrays where the network has one output, else mappings by the names of outputs. The loss is
    then the sum of all losses, each times its weight (`Data.loss_weights`), and the score the mean of all scores. `head`
    is `Head.kind` of the output; of each by name where there are several.
    """

    head: str | Mapping[str, str]
    data: Data

    @cached_property
    def heads(self) -> dict[str, Head]:
        """Each output by name; an only one has the name ``""``."""
        loss = self.data.loss
        if isinstance(self.head, str):
            return {"": Head(self.head, loss)}
        return {name: Head(kind, loss.get(name) if loss else None) for name, kind in self.head.items()}

    @property
    def score_name(self) -> str:
        """What scores are called in reports."""
        return "accuracy" if self.counts_right else "score"

    @property
    def is_classification(self) -> bool:
        """Whether all outputs are classes."""
        return all(head.is_classification for head in self.heads.values())

    @property
    def counts_right(self) -> bool:
        """Whether the score is the share of right answers."""
        return self.is_classification and self.data.metric is None

    def score(self, outputs: Rows, x: Rows, y: Rows) -> float:
        """Higher is better: the share of right answers, the data file's own metric, or minus its loss."""
        metric = self.data.metric
        if callable(metric):
            return float(metric(Answered(outputs), (each(x, np.asarray), each(y, np.asarray))))
        scores = [
            float(metric[name](labels, found)) if metric and name in metric else head.score(labels, found)
            for name, head, labels, found in self._by_head(y, outputs)
        ]
        return scores[0] if len(scores) == 1 else float(np.mean(scores))

    def right(self, outputs: Rows, y: Rows) -> NDArray[np.float64]:
        """The share of outputs that are right, of each row [rows]."""
        found = [head.answers(part) == labels for _, head, labels, part in self._by_head(y, outputs)]
        return np.mean(np.array(found, dtype=np.float64), axis=0)

    def loss(self, y: Rows, outputs: Rows) -> Any:
        """Mean loss of a batch (a TensorFlow scalar)."""
        return self._total(Head.loss, y, outputs)

    def losses(self, y: Rows, outputs: Rows) -> Any:
        """Loss of each row (a TensorFlow tensor [rows])."""
        return self._total(Head.losses, y, outputs)

    def distance(self, outputs: Rows, wanted: Rows, temperature: float) -> Any:
        """How far outputs are from those of the original (a TensorFlow scalar; see `Head.distance`)."""
        return self._total(partial(Head.distance, temperature=temperature), outputs, wanted)

    def _by_head(self, first: Rows, second: Rows) -> list[tuple[str, Head, Any, Any]]:
        if isinstance(self.head, str):
            return [("", self.heads[""], first, second)]
        return [(name, head, first[name], second[name]) for name, head in self.heads.items()]

    def _total(self, part: Callable[[Head, Any, Any], Any], first: Rows, second: Rows) -> Any:
        weights = self.data.loss_weights or {}
        values = []
        for name, head, one, other in self._by_head(first, second):
            value = part(head, one, other)
            values.append(value * weights[name] if name in weights else value)
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


def task_of(model: Any, data: Data) -> Task:
    """Find out what a model's outputs are, and check that rows and labels fit it."""
    names = output_names(model)
    _check_names(names, data)
    shapes = dict(zip(names, (tuple(tensor.shape) for tensor in model.outputs), strict=True))
    data = check_fits(
        data,
        {name: tuple(t.shape)[1:] for name, t in zip(input_names(model), model.inputs, strict=True)},
        {name: shape[-1] if data.classifies(name) else None for name, shape in shapes.items()},
    )
    classified = [name for name in names if data.classifies(name)]
    for name in classified:
        if len(shapes[name]) != 2:
            which = f"Model {model.name!r}" if len(names) == 1 else f"Output {name!r} of model {model.name!r}"
            raise DataError(
                f"{which} gives outputs of shape {list(shapes[name][1:])} per row, not one number per "
                "class: give a Python data file that defines `loss` and `metric`."
            )
    kinds = dict.fromkeys(names, "values")
    if classified:
        outputs = each(run(model, take(data.x, slice(_LOOKED_AT))), np.asarray)
        found = outputs if len(names) > 1 else {names[0]: outputs}
        if not all(np.isfinite(part).all() for part in found.values()):
            raise DataError(f"Model {model.name!r} gives NaN or infinity on the first rows of {data.source}.")
        kinds.update({name: kind_of_head(found[name]) for name in classified})
    return Task(kinds if len(names) > 1 else kinds[names[0]], data)


def _check_names(names: list[str], data: Data) -> None:
    """Loss, metric and weights are of the outputs that the network has."""
    for what in ("loss", "metric", "loss_weights"):
        value = getattr(data, what)
        if isinstance(value, Mapping):
            unknown = [name for name in value if name not in names]
            if unknown or len(names) == 1:
                raise DataError(
                    f"{data.source}: {what} is by output and names {', '.join(value)}, but the network has "
                    f"{'one output' if len(names) == 1 else 'the outputs ' + ', '.join(names)}: "
                    f"{'define it as it is for one' if len(names) == 1 else 'name these'}."
                )
        elif what == "loss" and value is not None and len(names) > 1:
            raise DataError(
                f"{data.source}: loss is one function, but the network has the outputs {', '.join(names)}: "
                "define it as a dictionary by output."
            )


class Answered:
    """Outputs that are at hand, for a metric that wants to call ``predict``."""

    def __init__(self, outputs: Rows) -> None:
        self._outputs = outputs

    def predict(self, x: Any, *args: Any, **options: Any) -> Rows:
        """The outputs, whatever is asked."""
        return self._outputs
