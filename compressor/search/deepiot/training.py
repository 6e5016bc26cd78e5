"""How DeepIoT trains: the network that is compressed (the critic) and the compressor, in turns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from compressor.data import each, row_count, take
from compressor.graph import cut, layers_of, masked
from compressor.search.deepiot.keep_network import (
    KeepNetwork,
    WeightViews,
    drawn_masks,
    log_probability,
    moved_average,
    reinforce_loss,
    thresholded,
)
from compressor.search.deepiot.options import Rates
from compressor.search.deepiot.twin import folded, masked_twin
from compressor.training import TrainingError, run

_RECURRENT = ("GRU", "LSTM", "SimpleRNN", "RNN", "Bidirectional")
_QUICK_MOMENTUM = 0.9


class Training:
    """The critic and the compressor of one search, and their state.

    Parameters
    ----------
    prepared
        A `compressor.pipeline.prepare.preparation.Prepared`: the model, its graph and its task.
    seed
        Of batches, masks and what the compressor begins with.
    """

    def __init__(self, prepared: Any, rates: Rates, seed: int) -> None:
        self._model, self._graph, self._task = prepared.model, prepared.graph, prepared.task
        self._rates, self._seed = rates, seed
        self._twin = masked_twin(self._model, self._graph)
        for _, layer in layers_of(self._twin.model):
            layer.trainable = True
            if hasattr(layer, "momentum"):
                # With the usual 0.99 the statistics would lag behind the falling widths.
                layer.momentum = min(layer.momentum, _QUICK_MOMENTUM)
        self._views = WeightViews(self._graph, self._twin.variables)
        layers = dict(layers_of(self._model))
        begin = [_begin(layers[group.producers[0]], rates) for group in self._graph.groups.values()]
        self._keep = KeepNetwork(self._views.shapes, begin, rates.units, seed)
        self._weights = list(self._twin.model.trainable_variables)
        self._critic = keras.optimizers.Adam(rates.critic_rate, rates.critic_beta_1, rates.critic_beta_2)
        self._critic.build(self._weights)
        self._rmsprop = _RMSProp(self._keep.variables, rates.compressor_rate)
        self._mean, self._std = tf.Variable(0.0), tf.Variable(0.0)
        self._known: NDArray[np.float64] | None = None
        self.iteration = 0
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._step = tf.function(self._both, reduce_retracing=True, autograph=False)
        self._probabilities = tf.function(lambda: self._keep(self._views()), autograph=False)

    def run(
        self,
        iterations: int,
        threshold: float,
        slopes: NDArray[np.float64],
        alive: NDArray[np.float64] | None = None,
    ) -> None:
        """Train for some iterations: in each a step of the critic, then one of the compressor.

        Parameters
        ----------
        threshold
            Probabilities below it are halved.
        slopes
            What a channel's probability adds to the compressor's loss [channels].
        alive
            0 for channels that are never drawn, 1 for all others [channels].

        Raises
        ------
        TrainingError
            The loss became NaN or infinite.
        """
        loss = self._known = None
        for _ in range(iterations):
            seeds = tf.constant([[self._seed, 2 * self.iteration + i] for i in (0, 1)], tf.int32)
            loss = self._step(
                *self._batch(2 * self.iteration),
                *self._batch(2 * self.iteration + 1),
                seeds,
                tf.constant(threshold, tf.float32),
                tf.constant(slopes, tf.float32),
                tf.constant(np.ones(self._twin.channels) if alive is None else alive, tf.float32),
            )
            self.iteration += 1
        if loss is not None and not math.isfinite(float(loss)):
            raise TrainingError(
                f"Training with masks diverged (the loss became {float(loss)}): check that inputs are scaled, "
                "or give a smaller critic_rate."
            )

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """How likely each channel is kept, all groups in their order [channels]."""
        if self._known is None:
            self._known = np.asarray(self._probabilities(), dtype=np.float64)
        return self._known

    def network(self, keep: Mapping[str, Sequence[int]], threshold: float) -> Any:
        """The critic with these channels alone, each multiplied by its probability: a smaller Keras model."""
        scale = np.asarray(thresholded(tf.constant(self.probabilities), threshold))
        whole = masked(self._model, {}, self._graph)
        layers = dict(layers_of(whole))
        for name, values in folded(self._twin.weights(), self._model, self._graph, scale).items():
            layers[name].set_weights(values)
        return cut(whole, keep, self._graph)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that training goes on from."""
        state = {f"variable{i}": np.asarray(v) for i, v in enumerate(self._state())}
        return {**state, "iteration": np.array(self.iteration), "training": np.array(self._signature())}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Go on from what `arrays` gave; False, and nothing changed, where that was of another training."""
        if str(arrays.get("training")) != self._signature():
            return False
        for i, variable in enumerate(self._state()):
            variable.assign(arrays[f"variable{i}"])
        self._known = None
        self.iteration = int(arrays["iteration"])
        return True

    def _state(self) -> list[Any]:
        return [
            *self._twin.model.variables,
            *self._critic.variables,
            *self._keep.variables,
            *self._rmsprop.squares,
            self._mean,
            self._std,
        ]

    def _signature(self) -> str:
        shapes = [list(v.shape) for v in self._state()]
        return json.dumps([shapes, asdict(self._rates), self._seed, row_count(self._task.data.x)])

    def _batch(self, number: int) -> tuple[Any, Any]:
        """The rows and labels of a batch, counted over all epochs."""
        data = self._task.data
        count = row_count(data.x)
        size = min(self._rates.batch_size, count)
        epoch, place = divmod(number, count // size)
        if self._epoch[0] != epoch:
            self._epoch = epoch, np.random.default_rng([self._seed, epoch]).permutation(count)
        chosen = self._epoch[1][place * size : (place + 1) * size]
        rows = data.augmented(take(data.x, chosen))
        return each(rows, tf.constant), each(take(data.y, chosen), tf.constant)

    def _both(
        self,
        rows: Any,
        labels: Any,
        others: Any,
        other_labels: Any,
        seeds: Any,
        threshold: Any,
        slopes: Any,
        alive: Any,
    ) -> Any:
        loss = self._critic_step(rows, labels, seeds[0], threshold, alive)
        self._compressor_step(others, other_labels, seeds[1], threshold, slopes, alive)
        return loss

    def _critic_step(self, rows: Any, labels: Any, seed: Any, threshold: Any, alive: Any) -> Any:
        masks = self._drawn(alive * thresholded(self._keep(self._views()), threshold), rows, seed)
        alpha = self._rates.alpha
        wanted = run(self._model, rows) if alpha else None
        with tf.GradientTape() as tape:
            outputs = self._twin(rows, masks, training=True)
            loss = self._task.loss(labels, outputs)
            if alpha:
                near = self._task.distance(outputs, wanted, self._rates.temperature)
                loss = alpha * near + (1 - alpha) * loss
            if self._twin.model.losses:
                loss += tf.add_n(self._twin.model.losses)
            matrices = [w.value for w in self._weights if len(w.shape) > 1]
            total = loss + self._rates.l2 * tf.add_n(
                [tf.nn.l2_loss(tf.convert_to_tensor(w)) for w in matrices]
            )
        gradients = tape.gradient(
            total, [w.value for w in self._weights], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        self._critic.apply(gradients, self._weights)
        return loss

    def _compressor_step(
        self, rows: Any, labels: Any, seed: Any, threshold: Any, slopes: Any, alive: Any
    ) -> None:
        matrices = self._views()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._keep.variables)
            p = alive * thresholded(self._keep(matrices), threshold)
            with tape.stop_recording():
                masks = self._drawn(p, rows, seed)
                losses = self._task.losses(labels, self._twin(rows, masks, training=False))
                self._follow(losses)
            loss = reinforce_loss(log_probability(masks, p), losses, self._mean, self._std)
            loss += tf.reduce_sum(slopes * p)
        self._rmsprop.apply(tape.gradient(loss, self._keep.variables))

    def _drawn(self, p: Any, rows: Any, seed: Any) -> Any:
        """Masks [rows, channels]."""
        first = next(iter(rows.values())) if isinstance(rows, Mapping) else rows
        uniform = tf.random.stateless_uniform([tf.shape(first)[0], self._twin.channels], seed)
        if self._twin.shared.any():
            uniform = tf.where(self._twin.shared[None], uniform[:1], uniform)
        return drawn_masks(p, uniform)

    def _follow(self, losses: Any) -> None:
        """Move the averages of the loss and of its deviation."""
        first = tf.equal(self._std, 0.0) & tf.equal(self._mean, 0.0)
        decay = self._rates.decay
        self._mean.assign(moved_average(self._mean, tf.reduce_mean(losses), decay, first))
        self._std.assign(moved_average(self._std, tf.math.reduce_std(losses), decay, first))


class _RMSProp:
    """RMSProp (Tieleman and Hinton, 2012) with a decay of 0.9."""

    DECAY, LEAST = 0.9, 1e-10

    def __init__(self, variables: Sequence[Any], rate: float) -> None:
        self._variables, self._rate = variables, rate
        self.squares = [tf.Variable(tf.ones_like(v)) for v in variables]

    def apply(self, gradients: Sequence[Any]) -> None:
        """One step down the gradients."""
        for variable, square, gradient in zip(self._variables, self.squares, gradients, strict=True):
            square.assign(self.DECAY * square + (1 - self.DECAY) * gradient**2)
            variable.assign_sub(self._rate * gradient * tf.math.rsqrt(square + self.LEAST))


def _begin(producer: Any, rates: Rates) -> float:
    return rates.recurrent_keep if type(producer).__name__ in _RECURRENT else rates.keep
