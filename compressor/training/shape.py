"""What is other than usual in a network, its optimiser and TensorFlow while it is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

_QUICK_MOMENTUM = 0.9


def let_go() -> None:
    """Give back the memory of networks that nobody holds any more: thousands may be trained in one process."""
    import gc

    gc.collect()
    # TensorFlow keeps every kernel that it ever made, and a network of new shapes needs new ones.
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow.python.eager import context

        context.context().clear_kernel_cache()


def make_adam(rate: Any) -> Any:
    """Keras' Adam, with TensorFlow's one operation for each variable; of an embedding every row moves, whatever was looked up.

    Keras' own way on TensorFlow never lets go of the graph that was traced, some 9 MB for each candidate of a search; and its
    dozen operations for each variable are a third of what tracing a small network takes.
    """
    import keras
    import tensorflow as tf

    class Adam(keras.optimizers.Adam):
        def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
            step = tf.cast(self.iterations.value, tf.float32) + 1.0
            powers = {
                "beta1_power": tf.pow(self.beta_1, step),
                "beta2_power": tf.pow(self.beta_2, step),
                "lr": tf.cast(learning_rate, tf.float32),
                "beta1": tf.constant(self.beta_1),
                "beta2": tf.constant(self.beta_2),
                "epsilon": tf.constant(self.epsilon),
            }
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                place = self._get_variable_index(variable)
                kind = variable.value.dtype
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle,
                    m=self._momentums[place].value.handle,
                    v=self._velocities[place].value.handle,
                    grad=tf.cast(tf.convert_to_tensor(gradient), kind),
                    **{name: tf.cast(value, kind) for name, value in powers.items()},
                )

    return Adam(rate)


def _all_layers(model: Any) -> Iterator[Any]:
    """Every layer, those inside of models inside included, each before what it stands in."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
        yield layer


@contextlib.contextmanager
def in_training_shape(model: Any, frozen: Iterable[Any] = ()) -> Iterator[None]:
    """Let every layer learn but those `frozen`.

    Batch normalisation follows within a few steps (Keras' momentum of 0.99 takes hundreds).
    """
    layers = list(_all_layers(model))
    flags = [(layer, layer.trainable) for layer in layers]
    momenta = [(layer, layer.momentum) for layer in layers if hasattr(layer, "momentum")]
    try:
        # Innermost first, each by itself: Keras does not hand a flag down that the model has already.
        still = {id(layer) for layer in frozen}
        for layer in layers:
            layer.trainable = id(layer) not in still
        for layer, momentum in momenta:
            layer.momentum = min(momentum, _QUICK_MOMENTUM)
        yield
    finally:
        for layer, flag in flags:
            layer.trainable = flag
        for layer, momentum in momenta:
            layer.momentum = momentum
