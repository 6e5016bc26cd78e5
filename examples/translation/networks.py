"""Three small networks, each as what is trained (whole sentences) and what is exported (encoder, one step of the decoder).

The layers of both are the same objects, so a trained network is ready to be exported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from examples.translation.corpora import Sizes

LARGE_NEGATIVE = -20.0
"""Added to scores of padding before a softmax: a larger one would leave int8 no scale for the scores themselves."""


@dataclass(frozen=True)
class Seq2Seq:
    """A network: `trained` takes source and target tokens and gives logits; `encoder` and `step(width)` are exported."""

    trained: Any
    encoder: Any
    step: Callable[[int], Any]


class Whole(keras.Model):
    """A network as it is trained, by a function of source and target tokens (its layers are `parts`)."""

    def __init__(self, function: Callable[[Any, Any], Any], parts: list[Any], name: str) -> None:
        super().__init__(name=name)
        self.function = function
        self.parts = parts

    def call(self, inputs: Any) -> Any:
        """Logits [batch, steps, tokens]."""
        return self.function(*inputs)


def built(function: Callable[[Any, Any], Any], parts: list[Any], name: str) -> Whole:
    """A network with its weights made."""
    model = Whole(function, parts, name)
    model([np.ones((1, 8), np.int32), np.ones((1, 8), np.int32)])
    return model


class TiedLogits(keras.layers.Layer):
    """Logits over the vocabulary by the weights of the embedding of target tokens."""

    def __init__(self, embedding: Any, **options: Any) -> None:
        super().__init__(**options)
        self.embedding = embedding
        self.bias: Any = None

    def build(self, shape: Any) -> None:
        """One bias per token."""
        self.bias = self.add_weight(shape=(self.embedding.input_dim,), initializer="zeros", name="bias")

    def call(self, x: Any, training: bool = False) -> Any:
        """[..., units] to [..., tokens]; training, which spends most of its time here, multiplies in bfloat16."""
        table = self.embedding.embeddings
        if training:
            product = ops.matmul(ops.cast(x, "bfloat16"), ops.transpose(ops.cast(table, "bfloat16")))
            return ops.cast(product, "float32") + self.bias
        return ops.matmul(x, ops.transpose(table)) + self.bias


def recurrent(cell: str, sizes: Sizes, dropout: float = 0.3) -> Seq2Seq:
    """A bidirectional encoder and a decoder that attends to it after each step (Luong's), both of GRU or LSTM cells.

    ``memory`` [1, source, units] and ``mask`` [1, source] are what the encoder gives beside the decoder's first state.
    """
    units = sizes.units
    kind = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[cell]
    states = {"gru": ("h",), "lstm": ("h", "c")}[cell]
    drop = keras.layers.Dropout(dropout)
    source_embedding = keras.layers.Embedding(sizes.source_tokens, units, name="source_embedding")
    both = keras.layers.Bidirectional(
        kind(units // 2, return_sequences=True, return_state=True), name="encoder_rnn"
    )
    memory_dense = keras.layers.Dense(units, use_bias=False, name="memory_dense")
    first = {name: keras.layers.Dense(units, activation="tanh", name=f"first_{name}") for name in states}
    embedding = keras.layers.Embedding(sizes.target_tokens, units, name="target_embedding")
    decoder = kind(units, return_sequences=True, name="decoder_rnn")
    combine = keras.layers.Dense(units, activation="tanh", name="combine")
    logits = TiedLogits(embedding, name="logits")

    def encode(tokens: Any) -> tuple[Any, Any, list[Any]]:
        mask = ops.not_equal(tokens, 0)
        x = drop(source_embedding(tokens))
        outputs, *last = both(x, mask=mask)
        memory = drop(memory_dense(outputs))
        per_direction = len(last) // 2
        starts = [
            first[name](ops.concatenate([last[index], last[per_direction + index]], axis=-1))
            for index, name in enumerate(states)
        ]
        return memory, (1.0 - ops.cast(mask, "float32")) * LARGE_NEGATIVE, starts

    def attend(h: Any, memory: Any, mask: Any) -> Any:
        """h [batch, steps, units] against the memory of the same batch."""
        weights = ops.softmax(ops.matmul(h, ops.transpose(memory, (0, 2, 1))) + mask)
        return logits(drop(combine(ops.concatenate([h, ops.matmul(weights, memory)], axis=-1))))

    def whole(source: Any, target: Any) -> Any:
        memory, mask, starts = encode(source)
        h = decoder(drop(embedding(target)), initial_state=starts if len(starts) > 1 else starts[0])
        return attend(h, memory, ops.expand_dims(mask, 1))

    parts = [source_embedding, both, memory_dense, *first.values(), embedding, decoder, combine, logits, drop]
    trained = built(whole, parts, cell)

    tokens = keras.Input(batch_shape=(1, sizes.source_length), dtype="int32", name="tokens")
    memory, mask, starts = encode(tokens)
    encoder = keras.Model(
        {"tokens": tokens},
        {"memory": memory, "mask": mask, **dict(zip(states, starts, strict=True))},
        name="encoder",
    )

    def step(width: int) -> Any:
        token = keras.Input(batch_shape=(width,), dtype="int32", name="token")
        memory = keras.Input(batch_shape=(1, sizes.source_length, units), name="memory")
        mask = keras.Input(batch_shape=(1, sizes.source_length), name="mask")
        before = {name: keras.Input(batch_shape=(width, units), name=name) for name in states}
        _, after = decoder.cell(embedding(token), list(before.values()))
        after = list(after) if isinstance(after, (list, tuple)) else [after]
        # Hypotheses share the memory: they take the place of the steps.
        scores = attend(ops.expand_dims(after[0], 0), memory, mask)[0]
        inputs = {"token": token, "memory": memory, "mask": mask, **before}
        return keras.Model(
            inputs, {"logits": scores, **dict(zip(states, after, strict=True))}, name=f"step_{width}"
        )

    return Seq2Seq(trained, encoder, step)


def transformer(sizes: Sizes, heads: int = 4, layers: int = 2, dropout: float = 0.2) -> Seq2Seq:
    """A transformer, its norms before each part; a step takes the keys and values of the steps before, and gives its own."""
    units, inner = sizes.units, 2 * sizes.units
    drop = keras.layers.Dropout(dropout)
    size = units // heads
    names: dict[str, Any] = {}

    def dense(name: str, width: int, activation: str | None = None) -> Any:
        return names.setdefault(name, keras.layers.Dense(width, activation=activation, name=name))

    def norm(name: str, x: Any) -> Any:
        return names.setdefault(name, keras.layers.LayerNormalization(epsilon=1e-5, name=name))(x)

    def split(x: Any) -> Any:
        """[batch, time, units] to [batch, heads, time, size]."""
        return ops.transpose(ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1], heads, size)), (0, 2, 1, 3))

    def merge(x: Any) -> Any:
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1], units))

    def attention(name: str, q: Any, k: Any, v: Any, mask: Any) -> Any:
        """q, k, v [batch, heads, time, size]; mask is added to the scores."""
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * size**-0.5 + mask
        return drop(dense(f"{name}_out", units)(merge(ops.matmul(ops.softmax(scores), v))))

    def feed_forward(name: str, x: Any) -> Any:
        return x + drop(
            dense(f"{name}_outer", units)(dense(f"{name}_inner", inner, "relu")(norm(f"{name}_norm_ff", x)))
        )

    embeddings = {
        side: keras.layers.Embedding(
            tokens,
            units,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=units**-0.5),
            name=f"{side}_embedding",
        )
        for side, tokens in (("source", sizes.source_tokens), ("target", sizes.target_tokens))
    }
    logits = TiedLogits(embeddings["target"], name="logits")
    waves = ops.convert_to_tensor(positions(max(sizes.source_length, sizes.target_length) + 1, units))

    def encode(tokens: Any) -> tuple[list[tuple[Any, Any]], Any]:
        """Keys and values of the source for each layer of the decoder, and the mask [batch, 1, 1, source]."""
        mask = (1.0 - ops.cast(ops.not_equal(tokens, 0), "float32"))[:, None, None, :] * LARGE_NEGATIVE
        x = drop(embeddings["source"](tokens) * units**0.5 + waves[: ops.shape(tokens)[1]])
        for layer in range(layers):
            name = f"encoder{layer}"
            y = norm(f"{name}_norm", x)
            q, k, v = (split(dense(f"{name}_{part}", units)(y)) for part in "qkv")
            x = feed_forward(name, x + attention(name, q, k, v, mask))
        x = norm("encoder_norm", x)
        pairs = [
            (split(dense(f"cross{layer}_k", units)(x)), split(dense(f"cross{layer}_v", units)(x)))
            for layer in range(layers)
        ]
        return pairs, mask

    def whole(source: Any, target: Any) -> Any:
        pairs, mask = encode(source)
        steps = ops.shape(target)[1]
        x = drop(embeddings["target"](target) * units**0.5 + waves[:steps])
        square = np.full((sizes.target_length + 1,) * 2, LARGE_NEGATIVE, np.float32)
        causal = ops.convert_to_tensor(np.triu(square, 1))[:steps, :steps]
        for layer, (keys, values) in enumerate(pairs):
            name = f"decoder{layer}"
            y = norm(f"{name}_norm", x)
            q, k, v = (split(dense(f"{name}_{part}", units)(y)) for part in "qkv")
            x = x + attention(name, q, k, v, causal)
            q = split(dense(f"cross{layer}_q", units)(norm(f"cross{layer}_norm", x)))
            x = feed_forward(name, x + attention(f"cross{layer}", q, keys, values, mask))
        return logits(norm("decoder_norm", x))

    # The layers are made as they are met: the first call meets them all, those that are tracked come after it.
    whole(*[np.ones((1, 8), np.int32)] * 2)
    trained = built(whole, [*embeddings.values(), *names.values(), logits, drop], "transformer")

    tokens = keras.Input(batch_shape=(1, sizes.source_length), dtype="int32", name="tokens")
    pairs, mask = encode(tokens)
    outputs = {"mask": ops.reshape(mask, (1, sizes.source_length))}
    for layer, (keys, values) in enumerate(pairs):
        outputs |= {f"source_keys{layer}": keys[0], f"source_values{layer}": values[0]}
    encoder = keras.Model({"tokens": tokens}, outputs, name="encoder")

    def step(width: int) -> Any:
        longest = sizes.target_length
        token = keras.Input(batch_shape=(width,), dtype="int32", name="token")
        position = keras.Input(batch_shape=(1,), dtype="int32", name="position")
        mask = keras.Input(batch_shape=(1, sizes.source_length), name="mask")
        inputs = {"token": token, "position": position, "mask": mask}
        found: dict[str, Any] = {}
        x = (embeddings["target"](token) * units**0.5 + ops.take(waves, position, axis=0))[:, None, :]
        # What is not yet written of the cache is hidden; the step's own key stands behind it.
        ahead = ops.subtract(np.arange(1, longest + 1, dtype=np.int32)[None], ops.expand_dims(position, 1))
        hidden = ops.cast(ops.greater(ahead, 0), "float32") * LARGE_NEGATIVE
        hidden = ops.pad(hidden, ((0, 0), (0, 1)))[:, None, None, :]
        for layer in range(layers):
            name = f"decoder{layer}"
            for part in ("source_keys", "source_values"):
                inputs[f"{part}{layer}"] = keras.Input(
                    batch_shape=(heads, sizes.source_length, size), name=f"{part}{layer}"
                )
            for part in ("keys", "values"):
                inputs[f"{part}{layer}"] = keras.Input(
                    batch_shape=(width, longest, units), name=f"{part}{layer}"
                )
            y = norm(f"{name}_norm", x)
            q, k, v = (dense(f"{name}_{part}", units)(y) for part in "qkv")
            found |= {f"keys{layer}": k[:, 0], f"values{layer}": v[:, 0]}
            all_keys = split(ops.concatenate([inputs[f"keys{layer}"], k], axis=1))
            all_values = split(ops.concatenate([inputs[f"values{layer}"], v], axis=1))
            x = x + attention(name, split(q), all_keys, all_values, hidden)
            # Hypotheses share the source: they take the place of the steps.
            q = dense(f"cross{layer}_q", units)(norm(f"cross{layer}_norm", x))
            q = ops.transpose(ops.reshape(q, (1, width, heads, size)), (0, 2, 1, 3))
            source = [
                ops.expand_dims(inputs[f"{part}{layer}"], 0) for part in ("source_keys", "source_values")
            ]
            crossed = attention(f"cross{layer}", q, *source, mask[:, None, None, :])
            x = feed_forward(name, x + ops.transpose(crossed, (1, 0, 2)))
        found["logits"] = logits(norm("decoder_norm", x))[:, 0]
        return keras.Model(inputs, found, name=f"step_{width}")

    return Seq2Seq(trained, encoder, step)


def positions(length: int, units: int) -> np.ndarray:
    """Sines and cosines of positions [length, units]."""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, units, 2) / units)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


NETWORKS: dict[str, Callable[[Sizes], Seq2Seq]] = {
    "gru": lambda sizes: recurrent("gru", sizes),
    "lstm": lambda sizes: recurrent("lstm", sizes),
    "transformer": transformer,
}
"""By name: the three that are trained."""
