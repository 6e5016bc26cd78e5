"""What a file leaves out is said: dropout at inference, a fixed batch, half precision."""

from __future__ import annotations

import keras
from keras import layers

from compressor.export.left_out import silent_changes


def test_dropout_that_stays_on_is_named_and_other_dropout_is_not():
    source = keras.Input((4,))
    kept = layers.Dropout(0.5, name="kept")(layers.Dense(3)(source), training=True)
    inner = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5, name="usual"), layers.Dense(2)])
    (note,) = silent_changes(keras.Model(source, inner(kept)))
    assert "(kept)" in note
    assert silent_changes(inner) == ()


def test_a_fixed_batch_and_half_precision_are_said():
    source = keras.Input(batch_shape=(8, 4))
    model = keras.Model(source, layers.Dense(2, dtype="mixed_float16")(source))
    batch, half = silent_changes(model)
    assert "fixed at 8" in batch
    assert "float16" in half
