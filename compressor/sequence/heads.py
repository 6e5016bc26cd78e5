"""What a search wants of the logits, computed by LiteRT in a fraction of numpy's time: their softmax, and the highest of it."""

from __future__ import annotations

from typing import Any

from compressor.export import tensorflow
from compressor.sequence.parts import Named

_SPARE = 5
"""Places for tokens that are forbidden, and for END, beside those of the widest beam."""

_BLOCK = 32


def with_search(step: Named, widest: int) -> Named:
    """A step that also gives ``probabilities``, and of each hypothesis ``top_probabilities`` with ``top_tokens``, best first."""
    from keras import Model, layers

    outputs = step.model._outputs_struct
    if "top_tokens" in outputs:
        return step
    head = layers.Lambda(lambda logits: _head(logits, widest + _SPARE), name="for_search")
    probabilities, highest, tokens = head(outputs["logits"])
    given = {tensor.name: tensor for tensor in step.model.inputs}
    found = {"probabilities": probabilities, "top_probabilities": highest, "top_tokens": tokens}
    return Named.of(Model(given, {**outputs, **found}, name=step.model.name), step.model.name)


def _head(logits: Any, few: int) -> tuple[Any, Any, Any]:
    """Softmax, its `few` highest and their tokens [width, few]; of equal ones the lower token comes first."""
    tf = tensorflow()
    width, tokens = logits.shape
    probabilities = tf.nn.softmax(logits)
    blocks = -(-tokens // _BLOCK)
    if blocks <= 2 * few:
        return probabilities, *tf.math.top_k(probabilities, min(few, tokens))
    # LiteRT compares token by token: the highest lie in those blocks whose maxima are the highest, and only these are looked at.
    padded = (
        tf.pad(probabilities, [[0, 0], [0, blocks * _BLOCK - tokens]]) if tokens % _BLOCK else probabilities
    )
    table = tf.reshape(padded, (width, blocks, _BLOCK))
    _, chosen = tf.math.top_k(tf.reduce_max(table, axis=2), few)
    # Blocks in their order, so that equal ones stay in the order of tokens.
    chosen = tf.gather(chosen, tf.math.top_k(-chosen, few)[1], batch_dims=1)
    highest, places = tf.math.top_k(
        tf.reshape(tf.gather(table, chosen, batch_dims=1), (width, few * _BLOCK)), few
    )
    names = tf.gather(tf.reshape(tf.range(blocks * _BLOCK), (blocks, _BLOCK)), chosen)
    return probabilities, highest, tf.gather(tf.reshape(names, (width, few * _BLOCK)), places, batch_dims=1)
