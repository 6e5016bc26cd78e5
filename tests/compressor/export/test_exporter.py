"""Networks of every kind in every precision: the files that are written run and answer as Keras does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from compressor.data import Data
from compressor.export import TfliteRunner, export, to_tflite_bytes
from compressor.export.conversion import read_types
from edgetime.cli import app
from profiler.errors import DataError, EdgetimeError, ModelFileError, UsageError
from profiler.tflite import read_network

keras = pytest.importorskip("keras")
L = keras.layers


def residual():
    i = keras.Input((8, 8, 1), name="image")
    x = L.ReLU()(L.BatchNormalization(momentum=0.8)(L.Conv2D(16, 3, padding="same", use_bias=False)(i)))
    y = L.BatchNormalization(momentum=0.8)(L.Conv2D(16, 3, padding="same")(x))
    x = L.MaxPooling2D()(L.ReLU()(L.Add()([x, y])))
    return keras.Model(i, L.Dense(10, activation="softmax")(L.Flatten()(x)))


def depthwise():
    i = keras.Input((8, 8, 1))
    x = L.ReLU(6.0)(L.BatchNormalization(momentum=0.8)(L.Conv2D(24, 3, strides=2, padding="same")(i)))
    x = L.ReLU(6.0)(L.BatchNormalization(momentum=0.8)(L.DepthwiseConv2D(3, padding="same")(x)))
    x = L.Dropout(0.1)(L.Conv2D(48, 1, activation="relu")(x))
    return keras.Model(i, L.Dense(10, activation="softmax")(L.Flatten()(x)))


def recurrent(*layers):
    return keras.Sequential([keras.Input((8, 8)), *layers, L.Dense(10, activation="softmax")])


BUILDERS = {
    "residual": residual,
    "depthwise": depthwise,
    "lstm": lambda: recurrent(L.LSTM(24)),
    "gru": lambda: recurrent(L.GRU(24)),
    "bidirectional": lambda: recurrent(L.Bidirectional(L.LSTM(12, return_sequences=True)), L.GRU(12)),
}
CONVOLUTIONAL = ("residual", "depthwise")


@pytest.fixture(scope="session")
def digits():
    """Scanned digits in sixteenths, 1,200 for training, 597 for the test."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8) / 16).astype(np.float32)
    return Data(x[:1200], y[:1200], x_test=x[1200:], y_test=y[1200:], source="digits")


@pytest.fixture(scope="session")
def trained(digits):
    """Each network after a few epochs, made when first asked for."""
    made = {}

    def get(name):
        if name not in made:
            keras.utils.set_random_seed(0)
            model = BUILDERS[name]()
            model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
            data = fitting(digits, name)
            model.fit(data.x, data.y, epochs=4 if name in CONVOLUTIONAL else 8, batch_size=64, verbose=0)
            made[name] = model
        return made[name]

    return get


def fitting(digits, name):
    """Digits in the shape that a network takes: images with a channel, or eight rows as steps."""
    if name not in CONVOLUTIONAL:
        return digits
    return replace(digits, x=digits.x[..., None], x_test=digits.x_test[..., None])


WANTED_CONSTANTS = {
    "none": {"float32"},
    "float16": {"float16"},
    "dynamic": {"int8"},
    "int8": {"int8"},
    "int16": {"int8"},
}


@pytest.mark.parametrize("quantize", list(WANTED_CONSTANTS))
@pytest.mark.parametrize("name", list(BUILDERS))
def test_every_network_in_every_precision(trained, digits, tmp_path, name, quantize):
    model, data = trained(name), fitting(digits, name)
    path = tmp_path / "net.tflite"
    result = export(model, path, quantize, data, max_drop=2.0)

    # The comparison that is reported is the one that we find when we run the file ourselves.
    expected = model.predict(data.x_test, verbose=0)
    runner = TfliteRunner(path)
    found = runner.predict(data.x_test)
    assert result.comparison.max_difference == pytest.approx(float(np.abs(found - expected).max()), abs=1e-6)
    assert result.comparison.agreement == np.mean(found.argmax(1) == expected.argmax(1))
    assert result.comparison.accuracy_before == np.mean(expected.argmax(1) == data.y_test)
    assert result.comparison.accuracy_after == np.mean(found.argmax(1) == data.y_test)
    assert result.comparison.accuracy_before > 0.75
    limit = {"none": 1e-5, "float16": 0.02}.get(quantize)
    assert limit is None or result.comparison.max_difference < limit

    # Inputs and outputs are float32, the batch is 1, and the types are those of the mode.
    assert set(runner.input_dtypes.values()) == set(runner.output_dtypes.values()) == {"float32"}
    assert next(iter(runner.input_shapes.values())) == (1, *data.x.shape[1:])
    assert WANTED_CONSTANTS[quantize] <= set(result.types.constants)
    network = read_network(path)
    assert not network.assumed_batch
    if quantize in ("int8", "int16"):
        # The converter now and then leaves one step's split in float, depending on the ranges that it found.
        stayed = sum(result.types.float_operators.values())
        assert stayed == 0 if name in CONVOLUTIONAL else stayed < 0.03 * result.types.operators
        assert {layer.dtype for layer in network.layers if layer.macs} == {quantize}
    recurrent = name not in CONVOLUTIONAL
    looped = any(layer.op == "while" for layer in network.layers)
    assert looped == (recurrent and quantize not in ("int8", "int16"))
    assert any("step by step" in note for note in result.notes) == (recurrent and not looped)
    assert path.stat().st_size == result.file_bytes
    assert [file.name for file in tmp_path.iterdir()] == ["net.tflite"]


def test_model_is_left_as_it_was(trained, digits):
    model = trained("lstm")
    before = [weight.copy() for weight in model.get_weights()]
    to_tflite_bytes(model, "int8", digits)
    assert [layer.unroll for layer in model.layers if hasattr(layer, "unroll")] == [False]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_integer_inputs_and_outputs_on_request(trained, digits, tmp_path):
    model, data = trained("depthwise"), fitting(digits, "depthwise")
    result = export(model, tmp_path / "net.tflite", "int8", data, io="int8")
    runner = TfliteRunner(tmp_path / "net.tflite")
    assert set(runner.input_dtypes.values()) == set(runner.output_dtypes.values()) == {"int8"}
    assert result.comparison.agreement > 0.97
    assert {layer.op for layer in read_network(tmp_path / "net.tflite").layers}.isdisjoint(
        {"quantize", "dequantize"}
    )


def test_several_inputs_and_outputs(tmp_path):
    keras.utils.set_random_seed(1)
    a, b = keras.Input((8, 8, 1), name="zebra"), keras.Input((6, 3), name="ant")
    c = L.concatenate([L.Flatten()(L.Conv2D(4, 3, activation="relu")(a)), L.LSTM(5)(b)])
    model = keras.Model(
        {"zebra": a, "ant": b}, {"size": L.Dense(1, name="d1")(c), "kind": L.Dense(3, name="d2")(c)}
    )
    generator = np.random.default_rng(0)
    rows = {"zebra": generator.normal(size=(40, 8, 8, 1)), "ant": generator.normal(size=(40, 6, 3))}
    np.savez(tmp_path / "rows.npz", **rows)
    for quantize in ("none", "int8"):
        result = export(
            model, tmp_path / f"{quantize}.tflite", quantize, tmp_path / "rows.npz", min_agreement=0.9
        )
        assert result.checked_on == "40 rows without labels"
        runner = TfliteRunner(tmp_path / f"{quantize}.tflite")
        assert runner.input_shapes == {"ant": (1, 6, 3), "zebra": (1, 8, 8, 1)}
        kind, size = runner.predict(rows)
        expected = model.predict(rows, verbose=0)
        tolerance = 1e-5 if quantize == "none" else 0.2
        np.testing.assert_allclose(kind, expected["kind"], atol=tolerance)
        np.testing.assert_allclose(size, expected["size"], atol=tolerance)
    with pytest.raises(DataError, match="give rows of each by name"):
        runner.predict(rows["ant"])


def test_open_lengths_and_token_inputs(tmp_path):
    model = keras.Sequential([keras.Input((None,), dtype="int32"), L.Embedding(20, 16), L.GRU(8), L.Dense(2)])
    with pytest.raises(UsageError, match="--input-shape"):
        export(model, tmp_path / "net.tflite")
    tokens = np.random.default_rng(0).integers(0, 20, (30, 7))
    export(model, tmp_path / "net.tflite", check_data=tokens, input_shape=(1, 7))
    found = TfliteRunner(tmp_path / "net.tflite").predict(tokens)
    np.testing.assert_allclose(found, model.predict(tokens, verbose=0), atol=1e-5)
    result = export(model, tmp_path / "net8.tflite", "int8", tokens, input_shape=(1, 7), min_agreement=0.9)
    assert TfliteRunner(tmp_path / "net8.tflite").input_dtypes.popitem()[1] == "int32"
    # Without labels nothing says that two linear values are classes.
    assert result.comparison.agreement is None
    assert result.comparison.relative_difference < 0.25


def test_a_drop_past_the_limit_writes_nothing_unless_allowed(trained, digits, tmp_path):
    data = fitting(digits, "depthwise")
    # Calibrated on inputs a thousand times too small, activations saturate and accuracy is lost.
    calibration = data.x[:50] / 1000
    path = tmp_path / "net.tflite"
    path.write_bytes(b"what was there")
    with pytest.raises(
        EdgetimeError, match=r"loses \d+\.\d+ points of accuracy \(limit 1\), on 597 test rows of digits"
    ):
        export(trained("depthwise"), path, "int8", calibration, check_data=data)
    assert path.read_bytes() == b"what was there"
    with pytest.raises(EdgetimeError, match=r"agrees with the original on .* \(limit 95\.0%\), on 597 rows"):
        export(trained("depthwise"), path, "int8", calibration, check_data=data.x_test)
    assert [file.name for file in tmp_path.iterdir()] == ["net.tflite"]
    result = export(trained("depthwise"), path, "int8", calibration, check_data=data, allow_drop=True)
    assert result.comparison.drop_points > 1
    assert any("allowed" in note for note in result.notes)
    assert TfliteRunner(path).predict(data.x_test[:2]).shape == (2, 10)


def test_options_that_cannot_be(trained, tmp_path):
    model = trained("depthwise")
    for arguments, words in [
        ({"quantize": "int8"}, "--calibration"),
        ({"quantize": "int16"}, "--calibration"),
        ({"quantize": "int4"}, "--quantize int4 is unknown"),
        ({"io": "int8"}, "--io int8 goes with --quantize int8"),
        ({"io": "float16"}, "--io float16 is unknown"),
        ({"max_drop": -1}, "0 to 100"),
        ({"min_agreement": 2}, "0 to 1"),
    ]:
        with pytest.raises(UsageError, match=words):
            export(model, tmp_path / "net.tflite", **arguments)
    with pytest.raises(UsageError, match=r"\.tflite"):
        export(model, tmp_path / "net.keras")
    assert list(tmp_path.iterdir()) == []


def test_data_that_does_not_fit(trained, digits, tmp_path):
    with pytest.raises(DataError, match=r"\(8, 8\).*\(8, 8, 1\)"):
        export(trained("depthwise"), tmp_path / "net.tflite", "int8", digits)
    with pytest.raises(DataError, match="reshape"):
        export(trained("depthwise"), tmp_path / "net.tflite", "int8", digits.x)
    more = replace(fitting(digits, "depthwise"), y_test=digits.y_test + 5)
    with pytest.raises(DataError, match="10 classes"):
        export(trained("depthwise"), tmp_path / "net.tflite", check_data=more)


def test_own_metric_judges_keras_and_tflite_alike(trained, digits, tmp_path):
    seen = []

    def metric(model, pair):
        x, y = pair
        seen.append(type(model).__name__)
        return float(np.mean(np.argmax(model.predict(x), axis=1) == y)) / 2

    data = replace(fitting(digits, "residual"), metric=metric)
    result = export(trained("residual"), tmp_path / "net.tflite", check_data=data)
    assert seen == ["Functional", "TfliteRunner"]
    assert result.comparison.accuracy_before == result.comparison.accuracy_after < 0.51


def test_networks_that_cannot_be(digits, tmp_path):
    stateful = keras.Sequential([keras.Input(batch_shape=(1, 8, 8)), L.LSTM(4, stateful=True, name="memory")])
    with pytest.raises(UsageError, match="'memory' is stateful"):
        export(stateful, tmp_path / "net.tflite")
    weightless = keras.Sequential([keras.Input((8, 8, 1)), L.MaxPooling2D(), L.Flatten()])
    with pytest.raises(EdgetimeError, match="changed nothing"):
        export(weightless, tmp_path / "net.tflite", "float16")
    export(weightless, tmp_path / "net.tflite")
    i = keras.Input((6, 6, 1))
    spectral = keras.Model(i, keras.ops.real(keras.ops.erfinv(i)))
    with pytest.raises(EdgetimeError, match=r"cannot be converted to TFLite.*Erfinv"):
        export(spectral, tmp_path / "net.tflite")


def test_attention_over_a_single_channel_is_named(tmp_path):
    i = keras.Input((8, 1))
    x = L.Add()([i, L.MultiHeadAttention(2, 3, name="look")(i, i)])
    model = keras.Model(i, L.Dense(3)(L.GlobalAveragePooling1D()(x)))
    with pytest.raises(
        EdgetimeError, match=r"attention over a single channel \(look\); give its input two or more\.$"
    ):
        export(model, tmp_path / "net.tflite")


def test_operators_that_stay_float_are_named(tmp_path):
    i = keras.Input((6, 6, 3))
    x = keras.ops.sin(L.Conv2D(8, 3)(i))
    model = keras.Model(i, L.Dense(4)(L.Flatten()(x)))
    rows = np.random.default_rng(0).normal(size=(40, 6, 6, 3))
    result = export(model, tmp_path / "net.tflite", "int8", rows, allow_drop=True)
    assert result.types.float_operators == {"sin": 1}
    assert any("1 sin" in note for note in result.notes)


def test_small_weights_are_quantised_too(tmp_path):
    """TensorFlow's dynamic range leaves less than 1,024 weights alone; the file must still be what was asked for."""
    model = keras.Sequential([keras.Input((4, 8)), L.GRU(5), L.Dense(3)])
    assert read_types(to_tflite_bytes(model, "dynamic"), "dynamic").constants["int8"] >= 2
    result = export(model, tmp_path / "net.tflite", "dynamic")
    assert result.checked_on == "32 random inputs"
    assert result.types.float_operators == {}
    assert any("random inputs" in note for note in result.notes)


def test_reads_damaged_files_with_one_sentence(tmp_path):
    (tmp_path / "net.keras").write_bytes(b"PK nothing")
    with pytest.raises(ModelFileError, match=r"net\.keras"):
        to_tflite_bytes(tmp_path / "net.keras")
    (tmp_path / "net.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(40))
    with pytest.raises(ModelFileError, match=r"net\.tflite"):
        TfliteRunner(tmp_path / "net.tflite")
    with pytest.raises(ModelFileError, match="does not exist"):
        TfliteRunner(tmp_path / "none.tflite")


def test_verb_keeps_stdout_and_stderr_clean(trained, digits, tmp_path):
    """In a process of its own, so that what C++ code writes is seen."""
    trained("lstm").save(tmp_path / "net.keras")
    np.savez(tmp_path / "d.npz", x=digits.x[:100], y=digits.y[:100])
    command = [sys.executable, "-c", "from edgetime.cli import main; main()"]
    command += ["export", "net.keras", "-o", "net.tflite", "--quantize", "int8"]
    command += ["--calibration", "d.npz", "--json", "--max-accuracy-drop", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["checked_on"] == "100 training rows of d.npz"
    assert value["constants"]["int8"] >= 3
    assert (tmp_path / "net.tflite").stat().st_size == value["file_bytes"]
    # Which operators the quantiser leaves in float32 depends on the weights; that is told, too.
    ours = ("Export: ", "warning: Recurrent", "that.", "warning: These operators stayed in float32: ")
    for line in done.stderr.splitlines():
        assert line.startswith(ours), done.stderr


def test_verb_fails_in_one_sentence(trained, tmp_path, capsys):
    trained("depthwise").save(tmp_path / "net.keras")
    arguments = [
        "export",
        str(tmp_path / "net.keras"),
        "-o",
        str(tmp_path / "net.tflite"),
        "--quantize",
        "int8",
    ]
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "--calibration" in captured.err
    with pytest.raises(SystemExit) as ended:
        app(arguments[:4])
    captured = capsys.readouterr()
    assert not ended.value.code
    assert "outputs differ by" in captured.out
