"""Quantisation-aware fine-tuning: weights are trained with the rounding that the file will have, and end on its grid.

The twin is the float `.tflite` rebuilt in TensorFlow, in which every weight that the quantised file stores as integers is rounded
to them, and every activation that is an integer there is rounded as there (both pass gradients straight through). The float
network is the teacher; labels are not needed. Scales of weights follow each channel's largest value. The trained weights are
multiples of those scales and the largest of a channel is its largest integer, so that the quantiser finds the same scales and
stores the same integers; this is checked, and a file whose integers differ is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.export import argument_names
from compressor.weights.line_compress import Rebuilt
from compressor.weights.quantization.integers import LARGEST, IntegerTensor, integer_tensors
from profiler.errors import EdgetimeError
from profiler.progress import ProgressCallback, silent
from profiler.tflite import Buffer, read_model

_BATCH = 64

_RATE = 5e-4
"""Adam's rate for weights, relative to the largest of their channel; four times that in int4, whose steps are coarser."""

_BIAS_RATE = 2e-3
"""Adam's rate for biases, relative to their own size."""

Quantize = Callable[[bytes], bytes]
"""From a float file to the quantised one."""


@dataclass(frozen=True)
class FineTuned:
    """A network after fine-tuning.

    Parameters
    ----------
    float_content
        The float file with the trained weights, each on its grid.
    content
        The quantised file.
    integers
        The simulated integers by the name of their tensor, equal to those in `content`.
    """

    float_content: bytes
    content: bytes
    integers: Mapping[str, npt.NDArray[np.int8]]


def finetune(
    content: bytes,
    quantize: Quantize,
    rows: Mapping[str, npt.NDArray],
    epochs: int,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> FineTuned:
    """Train the weights of a float `.tflite` so that the quantised file answers as the float one does.

    Parameters
    ----------
    content
        The float32 file, of one graph.
    quantize
        Makes the quantised file of a float one; symmetric per channel, the scale from the largest weight.
    rows
        Training inputs by name [rows, ...].
    epochs
        Passes over the rows.
    seed
        Of their order.
    progress
        Told how far it is.

    Raises
    ------
    UsageError
        An operator of the network cannot be trained through.
    EdgetimeError
        The loss is no number, or the quantiser stored other integers than were simulated.
    """
    twin = _Twin(content, integer_tensors(quantize(content)))
    given = _in_order(content, rows)
    _train(twin, given, epochs, seed, progress)
    integers = twin.integers()
    trained = twin.written(integers)
    quantized = quantize(trained)
    stored = integer_tensors(quantized)
    for name, values in integers.items():
        found = stored[name].values if name in stored else None
        if found is None or not np.array_equal(found, values):
            raise EdgetimeError(
                f"The quantiser stored other integers of '{name}' than were trained: leave --finetune-epochs out."
            )
    return FineTuned(trained, quantized, integers)


class _Twin:
    """A float network whose weights and activations are rounded as those of a quantised file."""

    def __init__(self, content: bytes, tensors: Mapping[str, IntegerTensor]) -> None:
        import tensorflow as tf

        self._content = content
        self.network = Rebuilt(content, ())
        self._raw = read_model(Buffer(content)).graphs[0].tensors
        constants = self.network.constants
        # What integers read of a float tensor is a copy of that name.
        self._integer = {
            index: tensors[name]
            for index, raw in enumerate(self._raw)
            for name in (raw.name, f"{raw.name}_quantized")
            if name in tensors and raw.dtype == "float32"
        }
        self.weights = {
            index: tf.Variable(constants[index], name="weights")
            for index, one in self._integer.items()
            if one.values is not None and index in constants
        }
        if not self.weights:
            raise EdgetimeError("No weights become integers: there is nothing to fine-tune.")
        biases = {edge.inputs[2] for _, edge in self.network.steps if len(edge.inputs) > 2}
        self.biases = {
            index: tf.Variable(constants[index], name="bias")
            for index in sorted(biases)
            if index in constants and constants[index].dtype == np.float32
        }

    def sizes(self) -> list[npt.NDArray]:
        """What a step is relative to: of weights the largest of their channel, of biases their mean size."""
        found: list[npt.NDArray] = []
        for index, variable in self.weights.items():
            one = self._integer[index]
            coarse = 4.0 if one.dtype == "int4" else 1.0
            found.append(coarse * _RATE * np.maximum(self._largest(one, variable.numpy()), 1e-12))
        for variable in self.biases.values():
            found.append(np.asarray(_BIAS_RATE * (np.abs(variable.numpy()).mean() + 1e-6)))
        return found

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Outputs as the quantised file gives them."""
        changed = {index: self._rounded(index) for index in self.weights} | self.biases
        return self.network(inputs, changed, self._passed)

    def integers(self) -> dict[str, npt.NDArray[np.int8]]:
        """The integers of every weight, by its tensor's name."""
        return {
            one.name: np.rint(variable.numpy() / self._steps(one, variable.numpy())).astype(np.int8)
            for one, variable in ((self._integer[index], found) for index, found in self.weights.items())
        }

    def written(self, integers: Mapping[str, npt.NDArray[np.int8]]) -> bytes:
        """The float file with these integers, times their scales, as weights, and the trained biases."""
        made = bytearray(self._content)
        for index, variable in (*self.weights.items(), *self.biases.items()):
            values = variable.numpy()
            if index in self.weights:
                one = self._integer[index]
                values = integers[one.name] * self._steps(one, values)
            start, nbytes = self._raw[index].data
            made[start : start + nbytes] = np.ascontiguousarray(values, np.float32).tobytes()
        return bytes(made)

    def _largest(self, one: IntegerTensor, values: npt.NDArray) -> npt.NDArray[np.float32]:
        axes = tuple(axis for axis in range(values.ndim) if one.scales.size == 1 or axis != one.axis)
        return np.asarray(np.abs(values).max(axis=axes, keepdims=True))

    def _steps(self, one: IntegerTensor, values: npt.NDArray) -> npt.NDArray[np.float32]:
        largest = self._largest(one, values) / np.float32(LARGEST[one.dtype])
        return np.where(largest > 0, largest, np.float32(1.0)).astype(np.float32)

    def _rounded(self, index: int) -> Any:
        import tensorflow as tf

        one, value = self._integer[index], self.weights[index]
        rank = len(value.shape)
        axes = [axis for axis in range(rank) if one.scales.size == 1 or axis != one.axis]
        largest = tf.reduce_max(tf.abs(value), axis=axes, keepdims=True) / LARGEST[one.dtype]
        step = tf.stop_gradient(tf.where(largest > 0, largest, tf.ones_like(largest)))
        return value + tf.stop_gradient(tf.round(value / step) * step - value)

    def _passed(self, index: int, value: Any) -> Any:
        """Round an activation that is an integer in the file; beyond its range there is no gradient."""
        import tensorflow as tf

        one = self._integer.get(index)
        if one is None or one.values is not None:
            return value
        step, zero = float(one.scales[0]), float(one.zero_points[0])
        within = tf.clip_by_value(value, (-128 - zero) * step, (127 - zero) * step)
        return within + tf.stop_gradient(tf.round(within / step) * step - within)


def _in_order(content: bytes, rows: Mapping[str, npt.NDArray]) -> list[npt.NDArray[np.float32]]:
    """Rows of each input, in the order of the file's inputs."""
    graph = read_model(Buffer(content)).graphs[0]
    named = {plain: np.asarray(rows[given], np.float32) for given, plain in argument_names(rows).items()}
    if len(named) == 1:
        return list(named.values())
    names = [graph.tensors[i].name.removeprefix("serving_default_").split(":")[0] for i in graph.inputs]
    missing = [name for name in names if name not in named]
    if missing:
        raise EdgetimeError(f"No rows were given for the input '{missing[0]}': fine-tuning needs them.")
    return [named[name] for name in names]


def _train(
    twin: _Twin, rows: Sequence[npt.NDArray], epochs: int, seed: int, progress: ProgressCallback
) -> None:
    """Adam with a cosine, on the distance to the float network's outputs."""
    import tensorflow as tf

    count = len(rows[0])
    batch = min(_BATCH, count)
    steps = epochs * max(1, count // batch)
    variables = [*twin.weights.values(), *twin.biases.values()]
    sizes = [tf.constant(one, tf.float32) for one in twin.sizes()]
    means = [tf.Variable(tf.zeros_like(one)) for one in variables]
    squares = [tf.Variable(tf.zeros_like(one)) for one in variables]

    @tf.function  # type: ignore[untyped-decorator]
    def step(rate: Any, number: Any, *inputs: Any) -> Any:
        wanted = twin.network(inputs, {})
        with tf.GradientTape() as tape:
            loss = tf.add_n([_distance(a, b) for a, b in zip(wanted, twin(inputs), strict=True)])
        # Adam whose steps are relative to the size of what they move: channels of a folded network differ by far.
        for variable, gradient, size, mean, square in zip(
            variables, tape.gradient(loss, variables), sizes, means, squares, strict=True
        ):
            gradient = tf.zeros_like(variable) if gradient is None else gradient
            mean.assign(0.9 * mean + 0.1 * gradient)
            square.assign(0.99 * square + 0.01 * gradient**2)
            first, second = mean / (1 - 0.9**number), square / (1 - 0.99**number)
            variable.assign_sub(rate * size * first / (tf.sqrt(second) + 1e-12))
        return loss

    generator = np.random.default_rng(seed)
    order: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    for number in range(steps):
        if order.size < batch:
            order = generator.permutation(count)
        chosen, order = order[:batch], order[batch:]
        rate = 0.5 * (1 + np.cos(np.pi * number / steps))
        inputs = [tf.constant(one[chosen]) for one in rows]
        loss = step(tf.constant(rate, tf.float32), tf.constant(number + 1.0, tf.float32), *inputs)
        if number % 10 == 0 or number == steps - 1:
            if not np.isfinite(float(loss)):
                raise EdgetimeError(
                    "Fine-tuning ended in NaN: the rows hold values that the network cannot take."
                )
            progress(number / steps, f"fine-tuning as integers (loss {float(loss):.4f})")


def _distance(wanted: Any, given: Any) -> Any:
    """As `divergence` judges: of classes' scores Kullback-Leibler, of other numbers the squared error over their variance."""
    import tensorflow as tf

    spread = tf.math.reduce_variance(wanted) + 1e-4 * tf.reduce_mean(wanted**2) + 1e-12
    squared = tf.reduce_mean((wanted - given) ** 2) / spread
    if len(wanted.shape) != 2 or wanted.shape[-1] == 1:
        return squared
    sums = tf.reduce_sum(wanted, axis=-1)
    sure = tf.reduce_all(wanted >= 0) & tf.reduce_all(tf.abs(sums - 1) < 0.02)

    def probabilities() -> Any:
        p, q = tf.maximum(wanted, 1e-6), tf.maximum(given, 1e-6)
        return tf.reduce_mean(tf.reduce_sum(p * (tf.math.log(p) - tf.math.log(q)), axis=-1))

    def logits() -> Any:
        p, q = tf.nn.log_softmax(wanted), tf.nn.log_softmax(given)
        return tf.reduce_mean(tf.reduce_sum(tf.exp(p) * (p - q), axis=-1)) + 0.1 * squared

    return tf.cond(sure, probabilities, logits)
