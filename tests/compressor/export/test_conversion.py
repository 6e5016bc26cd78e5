"""Networks on which the converter alone would go wrong, most of them without a word."""

from __future__ import annotations

import os

import numpy as np
import pytest

from compressor.export import TfliteRunner, export, to_tflite_bytes
from compressor.export import conversion as export_convert
from compressor.export.child import in_child
from compressor.export.freezing import argument_names
from profiler.errors import DataError, EdgetimeError
from profiler.tflite import read_network

keras = pytest.importorskip("keras")
L = keras.layers


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def with_random_weights(model):
    model.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(model.get_weights())])
    return model


@pytest.fixture(scope="module")
def gru():
    """Its state grows slowly, so that each step has ranges of its own."""
    model = with_random_weights(keras.Sequential([keras.Input((6, 4)), L.GRU(8), L.Dense(3)]))
    kernel, recurrent, bias = model.layers[0].get_weights()
    bias[:, :8] = 1.5  # the gate that keeps the state
    model.layers[0].set_weights([0.3 * kernel, 0.3 * recurrent, bias])
    return model


def test_int16_steps_of_a_recurrent_layer_have_biases_of_their_own(gru, monkeypatch):
    rows = normal(200, 6, 4)
    expected = gru.predict(rows, verbose=0)
    errors = []
    for separate in (True, False):
        if not separate:
            monkeypatch.setattr(export_convert, "with_own_biases", lambda function: function)
        found = TfliteRunner(to_tflite_bytes(gru, "int16", rows)).predict(rows)
        errors.append(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())
    assert errors[0] < 0.02
    assert errors[1] > 3 * errors[0], "the converter no longer shares biases: drop the remedy"


def test_gradients_of_activations_do_not_cost_the_names_of_inputs():
    i = keras.Input((6, 6, 2), name="picture")
    x = L.Activation("swish")(L.Conv2D(8, 3)(i))
    model = keras.Model(i, L.Dense(3)(L.Flatten()(x)))
    rows = normal(50, 6, 6, 2)
    for quantize in ("none", "int8"):
        runner = TfliteRunner(to_tflite_bytes(model, quantize, rows))
        assert runner.input_shapes == {"picture": (1, 6, 6, 2)}
        found, expected = runner.predict(rows), model.predict(rows, verbose=0)
        assert np.abs(found - expected).max() < (1e-5 if quantize == "none" else 0.15)


def test_half_precision_becomes_float32(tmp_path):
    half = keras.dtype_policies.DTypePolicy("mixed_float16")
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), L.Conv2D(8, 3, dtype=half), L.BatchNormalization(dtype=half)]
    )
    model = keras.Sequential([keras.Input((8, 8, 1)), inner, L.Flatten(), L.Dense(4, dtype=half)])
    model.save(tmp_path / "net.keras")
    result = export(tmp_path / "net.keras", tmp_path / "net.tflite")
    assert set(result.types.constants) == {"float32"}
    found = TfliteRunner(tmp_path / "net.tflite").predict(normal(20, 8, 8, 1))
    assert np.abs(found - model.predict(normal(20, 8, 8, 1), verbose=0)).max() < 0.01
    assert model.layers[0].layers[0].compute_dtype == "float16"


def test_odd_names_of_inputs(tmp_path):
    a, b = keras.Input((4,), name="Left-In 1"), keras.Input((4,), name="2nd")
    model = keras.Model([a, b], L.Dense(2)(L.Concatenate()([a, L.Dense(3)(b)])))
    rows = {"Left-In 1": normal(40, 4), "2nd": 3 + normal(40, 4, seed=1)}
    export(model, tmp_path / "net.tflite", check_data=rows)
    runner = TfliteRunner(tmp_path / "net.tflite")
    assert set(runner.input_shapes) == {"Left_In_1", "input_2nd"}
    found = runner.predict({"Left_In_1": rows["Left-In 1"], "input_2nd": rows["2nd"]})
    np.testing.assert_allclose(found, model.predict(list(rows.values()), verbose=0), atol=1e-5)
    assert list(argument_names(["a b", "a_b", "a-b"]).values()) == ["a_b", "a_b_", "a_b__"]


def test_layers_inside_models_and_wrappers():
    inner = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(8, 3), L.GlobalAveragePooling2D()])
    i = keras.Input((4, 8, 8, 1))
    model = keras.Model(i, L.Dense(3)(L.Bidirectional(L.GRU(6))(L.TimeDistributed(inner)(i))))
    with_random_weights(model)
    rows = normal(100, 4, 8, 8, 1)
    expected = model.predict(rows, verbose=0)
    for quantize, limit, looped in (
        ("none", 1e-5, True),
        ("dynamic", 0.05, True),
        ("int8", 0.1, False),
        ("int16", 0.05, False),
    ):
        content = to_tflite_bytes(model, quantize, rows)
        found = TfliteRunner(content).predict(rows)
        assert np.sqrt(np.mean((found - expected) ** 2)) / expected.std() < limit, quantize
        assert any(layer.op == "while" for layer in read_network(content).layers) == looped


def test_a_file_that_does_not_run_says_so(tmp_path):
    """There is no kernel for the squared differences of a layer normalisation in 16 bits."""
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), L.Conv2D(8, 3), L.LayerNormalization(), L.Flatten(), L.Dense(3)]
    )
    with pytest.raises(
        EdgetimeError, match=r"--quantize int16 does not run: LiteRT .*try another --quantize"
    ) as caught:
        export(model, tmp_path / "net.tflite", "int16", normal(30, 6, 6, 3))
    assert type(caught.value) is EdgetimeError
    assert list(tmp_path.iterdir()) == []


def test_calibration_must_fit(gru):
    for rows, words in [
        (normal(0, 6, 4), "no rows"),
        (normal(5, 7, 4), r"\(7, 4\).*\(6, 4\)"),
        ({"other": normal(5, 6, 4)}, "no rows for input"),
    ]:
        with pytest.raises(DataError, match=words):
            to_tflite_bytes(gru, "int8", rows)


def test_softplus_of_large_numbers_is_quantised_without_infinity():
    """The quantiser ends the process where a range is infinite; softplus(x) is x there."""
    i = keras.Input((6,))
    model = with_random_weights(keras.Model(i, L.Dense(2)(L.Dense(8, activation="softplus")(i))))
    rows = 2000 * np.random.default_rng(0).random((40, 6)).astype(np.float32)
    expected = model.predict(rows, verbose=0)
    found = TfliteRunner(to_tflite_bytes(model, "int8", rows)).predict(rows)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.05 * expected.std()


def test_a_quantiser_that_dies_is_one_sentence_and_leaves_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(export_convert, "in_child", lambda work: in_child(lambda: os.kill(os.getpid(), 9)))
    i = keras.Input((4,))
    model = keras.Model(i, L.Dense(2)(i))
    with pytest.raises(EdgetimeError, match=r"quantiser crashed \(Killed\).*try --quantize dynamic"):
        export(model, tmp_path / "net.tflite", "int8", normal(20, 4))
    assert list(tmp_path.iterdir()) == []
