"""A small sequence-to-sequence network with everything that one can have: attention, a recurrent state, a cache, positions."""

from __future__ import annotations

from typing import Any

import numpy as np

SOURCE, STEPS, TOKENS, UNITS = 6, 7, 15, 8


def small_sequence(seed: int = 0) -> tuple[Any, Any]:
    """Its encoder, and what gives a step for a width; weights large enough that outputs differ from source to source."""
    import keras
    from keras import layers, ops

    keras.utils.set_random_seed(seed)
    wide = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
    source_embedding = layers.Embedding(TOKENS, UNITS, embeddings_initializer=wide)
    first = layers.Dense(UNITS, activation="tanh", kernel_initializer=wide)
    embedding = layers.Embedding(TOKENS, UNITS, embeddings_initializer=wide)
    cell = layers.GRUCell(UNITS)
    key = layers.Dense(UNITS)
    logits = layers.Dense(TOKENS, kernel_initializer=keras.initializers.RandomNormal(stddev=2.0, seed=seed))

    tokens = keras.Input(batch_shape=(1, SOURCE), dtype="int32", name="tokens")
    memory = source_embedding(tokens)
    mask = ops.cast(ops.equal(tokens, 0), "float32") * -20.0
    encoder = keras.Model(
        {"tokens": tokens}, {"memory": memory, "mask": mask, "h": first(ops.mean(memory, axis=1))}
    )

    def step(width: int) -> Any:
        token = keras.Input(batch_shape=(width,), dtype="int32", name="token")
        position = keras.Input(batch_shape=(1,), dtype="int32", name="position")
        memory = keras.Input(batch_shape=(1, SOURCE, UNITS), name="memory")
        mask = keras.Input(batch_shape=(1, SOURCE), name="mask")
        h = keras.Input(batch_shape=(width, UNITS), name="h")
        keys = keras.Input(batch_shape=(width, STEPS, UNITS), name="keys")
        after, _ = cell(embedding(token), [h])
        weights = ops.softmax(ops.matmul(ops.expand_dims(after, 0), ops.transpose(memory, (0, 2, 1))) + mask)
        context = ops.matmul(weights, memory)[0]
        new = key(after)
        behind = ops.subtract(np.arange(1, STEPS + 1, dtype=np.int32)[None], ops.expand_dims(position, 1))
        hidden = ops.cast(ops.greater(behind, 0), "float32") * -20.0
        looked = ops.softmax(ops.sum(keys * ops.expand_dims(after, 1), axis=2) + hidden)
        past = ops.sum(keys * ops.expand_dims(looked, 2), axis=1)
        scores = logits(ops.concatenate([after, context, past, new], axis=1))
        return keras.Model(
            {"token": token, "position": position, "memory": memory, "mask": mask, "h": h, "keys": keys},
            {"logits": scores, "attention": weights[0], "h": after, "keys": new},
        )

    return encoder, step
