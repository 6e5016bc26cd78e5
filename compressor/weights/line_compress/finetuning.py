"""Level ``finetune``: segments stay, their words are trained so that the network answers as the float one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.lines import Lines, Segments
from compressor.weights.line_compress.rebuilding import Rebuilt
from compressor.weights.line_compress.tensors import StoredTensor
from profiler.errors import EdgetimeError, MissingExtraError
from profiler.progress import ProgressCallback

_BATCH = 64
_WORD_RATE = 0.02
"""Adam's rate for words, in steps."""

_BIAS_RATE = 0.002
"""Adam's rate for biases, relative to their own size."""

_AGREE = 0.05
"""Largest difference to LiteRT's outputs: its int8 kernels round what they multiply."""


@dataclass(frozen=True)
class Places:
    """Of each weight: its channel's step, the words that it lies between, and how near the second one."""

    step: npt.NDArray[np.float32]
    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    share: npt.NDArray[np.float32]


def places(segments: Segments) -> Places:
    """Where each weight of some segments comes from; those of dead channels have a step of 0."""
    lengths = segments.lengths.astype(np.int64)
    words = np.where(lengths > 1, 2, 1)
    first = np.repeat(np.cumsum(words) - words, lengths)
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    spans = np.repeat(np.maximum(lengths - 1, 1), lengths)
    alive = np.repeat(segments.steps != 0, segments.size)
    found = Places(
        np.repeat(segments.steps, segments.size),
        np.zeros(alive.size, np.int32),
        np.zeros(alive.size, np.int32),
        np.zeros(alive.size, np.float32),
    )
    found.first[alive] = first
    found.last[alive] = first + np.repeat(words - 1, lengths)
    found.share[alive] = inside / spans
    return found


class Trainable:
    """Words of one tensor as a variable, rounded on the way forward and not on the way back."""

    def __init__(self, tensor: StoredTensor, segments: Segments) -> None:
        import tensorflow as tf

        self.tensor, self.segments = tensor, segments
        self._places = places(segments)
        self.words = tf.Variable(segments.words.astype(np.float32), name="words")
        half = 1 << (segments.word_bits - 1)
        # A word outside of what was used so far would cost the entropy coder most.
        self._low = max(-half, int(segments.words.min(initial=0)))
        self._high = min(half - 1, int(segments.words.max(initial=0)))

    def weights(self) -> Any:
        """The decoded weights in the tensor's shape."""
        import tensorflow as tf

        rounded = tf.round(tf.clip_by_value(self.words, self._low, self._high))
        words = self.words + tf.stop_gradient(rounded - self.words)
        at = self._places
        value = (tf.gather(words, at.first) * (1 - at.share) + tf.gather(words, at.last) * at.share) * at.step
        order = self.tensor.order or (0,)
        ordered = tf.reshape(value, [self.tensor.shape[axis] for axis in order])
        return tf.transpose(ordered, np.argsort(order))

    def trained(self) -> Segments:
        """The segments with the words that they have now."""
        words = np.rint(np.clip(self.words.numpy(), self._low, self._high)).astype(np.int8)
        return replace(self.segments, words=words)


def train(
    content: bytes,
    corrected: bytes,
    tensors: Sequence[StoredTensor],
    lines: Sequence[Lines],
    inputs: Sequence[npt.NDArray],
    epochs: float,
    seed: int,
    progress: ProgressCallback,
) -> tuple[list[Lines], bytes]:
    """Train words and biases to answer rows as the float network does.

    Parameters
    ----------
    content, corrected
        The float network, and that with the biases to start from.
    tensors, lines
        Its tensors, and the segments of those that are packed.
    inputs
        Rows of each input.

    Returns
    -------
    tuple
        The segments, and the network with trained biases.
    """
    try:
        import tensorflow as tf
    except ModuleNotFoundError:
        raise MissingExtraError(
            'Level finetune needs TensorFlow: pip install "edgetime[compress,linecompress]", or use level dp.'
        ) from None
    network = Rebuilt(content, tensors)
    _check_same(network, content, [rows[:4] for rows in inputs])
    start = Rebuilt(corrected, tensors)
    packed = [tensor for tensor in tensors if tensor.weights]
    trained = {
        network.by_start[tensor.start]: Trainable(tensor, one)
        for tensor, one in zip(packed, lines, strict=True)
        if isinstance(one, Segments)
    }
    small = {
        network.by_start[tensor.start]: tensor
        for tensor in tensors
        if not tensor.weights
        and tensor.operator >= 0
        and len(tensor.shape) == 1
        and tensor.dtype.itemsize == 4
    }
    sizes = {index: float(np.abs(start.constants[index]).mean()) + 1e-6 for index in small}
    moved = {index: tf.Variable(np.zeros(tensor.size, np.float32)) for index, tensor in small.items()}

    def constants() -> dict[int, Any]:
        biases = {index: start.constants[index] + sizes[index] * moved[index] for index in small}
        return {index: one.weights() for index, one in trained.items()} | biases

    count = len(inputs[0])
    batch = min(_BATCH, count)
    steps = max(1, round(epochs * count / batch))
    schedule = tf.keras.optimizers.schedules.CosineDecay
    for_words = tf.keras.optimizers.Adam(schedule(_WORD_RATE, steps))
    for_biases = tf.keras.optimizers.Adam(schedule(_BIAS_RATE, steps))
    words, biases = [one.words for one in trained.values()], list(moved.values())

    @tf.function  # type: ignore[untyped-decorator]
    def step(*rows: Any) -> Any:
        wanted = network(rows, {})
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                [_distance(a, b) for a, b in zip(wanted, network(rows, constants()), strict=True)]
            )
        found = tape.gradient(loss, [*words, *biases])
        for_words.apply_gradients(zip(found[: len(words)], words, strict=True))
        for_biases.apply_gradients(zip(found[len(words) :], biases, strict=True))
        return loss

    generator = np.random.default_rng(seed)
    waiting: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    for number in range(steps):
        if waiting.size < batch:
            waiting = np.concatenate([waiting, generator.permutation(count)])
        taken, waiting = waiting[:batch], waiting[batch:]
        loss = step(*(tf.constant(np.asarray(rows[taken], np.float32)) for rows in inputs))
        if number % 10 == 0:
            if not np.isfinite(float(loss)):
                raise EdgetimeError(
                    "Training ended in NaN: the rows of --data hold values that the network cannot take."
                )
            progress(number / steps, f"training words (loss {float(loss):.4f})")
    finished = bytearray(corrected)
    for index, tensor in small.items():
        tensor.write(
            finished, np.asarray(start.constants[index] + sizes[index] * moved[index].numpy(), np.float64)
        )
    by_tensor = {id(one.tensor): one.trained() for one in trained.values()}
    after: list[Lines] = [by_tensor.get(id(tensor), one) for tensor, one in zip(packed, lines, strict=True)]
    return after, bytes(finished)


def _distance(wanted: Any, given: Any) -> Any:
    """Kullback-Leibler divergence of probabilities; else the squared error, relative to how much outputs differ."""
    import tensorflow as tf

    flat_wanted, flat = (tf.reshape(one, [tf.shape(one)[0], -1]) for one in (wanted, given))
    total = tf.reduce_sum(flat_wanted, axis=-1)
    sure = tf.reduce_all(flat_wanted >= 0) & tf.reduce_all(tf.abs(total - 1) < 0.02)

    def divergence() -> Any:
        p, q = tf.maximum(flat_wanted, 1e-7), tf.maximum(flat, 1e-7)
        return tf.reduce_mean(tf.reduce_sum(p * tf.math.log(p / q), axis=-1))

    def squared() -> Any:
        spread = tf.reduce_mean(tf.square(flat_wanted - tf.reduce_mean(flat_wanted, axis=0)))
        return tf.reduce_mean(tf.square(flat_wanted - flat)) / tf.maximum(spread, 1e-12)

    return tf.cond(sure, divergence, squared) if int(flat_wanted.shape[-1] or 2) > 1 else squared()


def _check_same(network: Rebuilt, content: bytes, inputs: Sequence[npt.NDArray]) -> None:
    """EdgetimeError where the rebuilt network does not answer as LiteRT does."""
    from compressor.export import TfliteRunner

    runner = TfliteRunner(content)
    rows = dict(zip(runner.input_shapes, inputs, strict=True))
    answers = runner.predict(rows)
    wanted = answers if isinstance(answers, list) else [answers]
    found = network([np.asarray(one, np.float32) for one in inputs], {})
    for a, b in zip(wanted, found, strict=True):
        scale = max(float(np.abs(a).max()), 1e-6)
        if float(np.abs(np.asarray(a) - np.asarray(b).reshape(np.shape(a))).max()) > _AGREE * scale:
            raise EdgetimeError(
                "The network that is rebuilt for training does not answer as LiteRT does: use level dp, which needs none."
            )
