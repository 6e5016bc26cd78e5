"""Whether another precision than float32 is worth it on a device."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from compressor.export import export, faster_in_words, keep_float32, precision_times
from compressor.testing.device import FormulaTimeModel
from profiler.errors import EdgetimeError


@pytest.mark.parametrize(
    ("quantized_ms", "words"),
    [(1.8, "1.8"), (2.74, "2.7"), (12.0, "12"), (1.04, ""), (0.5, "")],
)
def test_what_is_slower_is_advised_against(quantized_ms, words):
    sentence = f"Keep float32 here: int8 takes {words} times as long on this device."
    assert keep_float32("int8", quantized_ms, 1.0) == (sentence if words else "")


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(2.5, "2.50x faster"), (1.001, "no faster"), (0.7, "no faster (1.43x slower)")],
)
def test_slower_is_never_called_faster(ratio, words):
    assert faster_in_words(ratio) == words


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((4,)), layers.Dense(8), layers.Dense(3, activation="softmax")])
    model.save(folder / "net.keras")
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    out = folder / "net.tflite"
    export(model, out, "int8", rows, min_agreement=0.0)
    return folder / "net.keras", out


def test_times_in_both_are_of_the_files(files):
    class Slow(FormulaTimeModel):
        def predict_layers_ms(self, layers, setting=None):
            # The quantised file has operators at both ends that make integers and floats of each other.
            return np.ones(len(layers))

    times = precision_times(*files, "int8", Slow())
    assert (times.quantize, times.measured) == ("int8", False)
    assert times.quantized_ms > times.float32_ms
    assert times.advice.startswith("Keep float32 here: int8 takes ")


def test_what_is_not_all_known_is_not_compared(files):
    class Partly(FormulaTimeModel):
        def predict(self, network, setting=None):
            found = super().predict(network, setting)
            return replace(found, at_least=found.dtype == "int8", unknown_loops=("loop",))

    with pytest.raises(EdgetimeError, match=r"not all of the time in int8 is known \(how often loop turns\)"):
        precision_times(*files, "int8", Partly())
