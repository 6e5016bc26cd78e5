"""`--quantize auto`: widths and number types are chosen together, and every file is judged as it runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from compressor import Data, Options, Schedule, compress
from compressor.costs import Configuration, LeastCost, scaled
from compressor.costs.network_cost import NetworkCost
from compressor.export import TfliteRunner
from compressor.pipeline.prepare import preparation
from compressor.pipeline.prepare.precisions import Precision, Precisions
from compressor.search import SearchMethod
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars
from compressor.training import FineTuner, task_of
from profiler.errors import EdgetimeError, UsageError
from profiler.tflite import read_network

OPTIONS = Options(
    search=Schedule(epochs=1, batch_size=32, learning_rate=3e-3),
    final=Schedule(epochs=1, batch_size=32, learning_rate=3e-3),
    finalists=1,
)


class Half(SearchMethod):
    """Leaves half of the channels."""

    name = "half"

    def search(self, problem):
        problem.try_configuration(scaled(problem.full, 0.5))


class Integers(FormulaTimeModel):
    """Integers take a third of the time of multiplications, and of hard-swish ten times that of floats."""

    def predict_layers_ms(self, given, setting=None):
        floats = super().predict_layers_ms(given)
        factors = {"conv_2d": 1 / 3, "fully_connected": 1 / 3, "hard_swish": 10.0}
        scale = [factors.get(one.op, 1.0) if one.dtype == "int8" else 1.0 for one in given]
        return floats * np.array(scale)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    (x, y), (x_val, y_val), (x_test, y_test) = bars(160, 0), bars(60, 1), bars(30, 2)
    data = Data(x=x, y=y, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test)
    keras.utils.set_random_seed(0)
    inputs = keras.Input(x.shape[1:])
    found = layers.Activation("hard_swish")(layers.Conv2D(16, 3, name="first")(inputs))
    found = layers.Activation("hard_swish")(layers.Conv2D(16, 3, name="second")(found))
    model = keras.Model(inputs, layers.Dense(3, name="answer")(layers.GlobalMaxPooling2D()(found)))
    FineTuner(task_of(model, data)).fit(
        model, Schedule(epochs=8, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    path = tmp_path_factory.mktemp("task") / "net.keras"
    model.save(path)
    return path, data


@pytest.fixture(scope="module")
def result(task, tmp_path_factory):
    path, data = task
    return compress(
        path, data, Integers(), tmp_path_factory.mktemp("out") / "out", budget_ms=0.0017, max_size_kb=40,
        method=Half(), quantize="auto", options=OPTIONS, points=1, seeds=1, measure=False,
    )  # fmt: skip


def test_the_file_that_is_handed_over_is_a_mix_and_as_fast_as_was_said(result):
    path = f"{result.folder}/{result.after.tflite}"
    network = read_network(path)
    assert result.after.quantize == "mixed"
    kinds = {layer.op: layer.dtype for layer in network.layers}
    assert kinds["conv_2d"] == "int8"
    assert kinds["hard_swish"] == "float32"
    assert result.after.predicted_ms == pytest.approx(Integers().predict_total_ms(network))
    assert result.after.predicted_ms < result.before.predicted_ms


def test_its_accuracy_is_that_of_the_file(task, result):
    _, data = task
    runner = TfliteRunner(f"{result.folder}/{result.after.tflite}")
    right = (runner.predict(data.x_test).argmax(axis=1) == data.y_test).mean()
    assert result.after.score == pytest.approx(right)
    validation = (runner.predict(data.x_val).argmax(axis=1) == data.y_val).mean()
    assert result.after.validation_score == pytest.approx(validation)


def test_every_point_says_its_precision_and_the_bits_of_its_layers(result):
    written = json.loads((Path(result.folder) / "result.json").read_text())
    assert written["quantize"] == "auto"
    chosen = next(point for point in written["points"] if point["chosen"])
    assert chosen["precision"] == "mixed"
    assert 8 in chosen["bits"].values()
    for point in written["points"]:
        network = read_network(f"{result.folder}/{point['tflite']}")
        wanted = {one.name: 32 if one.dtype == "float32" else 8 for one in network.layers if one.macs}
        assert point["bits"] == wanted
    tried = {trial["configuration"].get("precision", {}).get("network") for trial in written["trials"]}
    assert tried <= {"float32", "int8", "dynamic", "mixed"}
    assert all(point["size_bytes"] <= 40_000 for point in written["points"])


def test_the_least_cost_is_the_named_precisions_own_else_the_lowest():
    full = Configuration({"a": 4})
    linear = NetworkCost(lambda configuration: configuration, lambda one: one.widths["a"])
    constant = NetworkCost(lambda configuration: configuration, lambda one: 2.5)
    least = LeastCost({"linear": linear, "constant": constant})
    assert [least.exact(full.with_widths({"a": n})) for n in (1, 2, 3)] == [1, 2, 2.5]
    assert least.by_width(full, "a", [1, 3]).tolist() == [1, 2.5]
    assert least(full.with_precision("linear")) == 4
    assert least.many([full, full.with_precision("linear")]).tolist() == [2.5, 4]


def test_a_precision_stays_with_a_configuration_that_is_narrowed():
    narrowed = Configuration({"a": 4}).with_precision("int8").with_widths({"a": 2})
    assert (narrowed.precision, dict(narrowed.widths)) == ("int8", {"a": 2})
    assert Configuration.from_dict(narrowed.to_dict()) == narrowed
    assert narrowed != narrowed.with_precision("")


def test_what_does_not_go_by_predicted_time_is_refused(task, tmp_path):
    path, data = task
    with pytest.raises(UsageError, match="goes by predicted time"):
        preparation.prepare(
            path, data, Integers(), "auto", None, None, "magnitude", 0, OPTIONS, lambda *told: None, "flops"
        )


class _Number:
    """A task in which a network is its own score."""

    def __init__(self):
        rows = np.zeros((4, 1), "float32")
        self.data, self.heads = SimpleNamespace(x_val=rows, y_val=rows), {}

    def loss(self, y, outputs):
        return 1.0

    def score(self, outputs, x, y):
        return 0.5


def _refused(model):
    raise EdgetimeError("TensorFlow has no such kernel.")


def test_a_precision_in_which_one_network_cannot_be_converted_is_left_out_of_it():
    refused, plain = Precision("int8", _refused, None), Precision("float32", _refused, None)
    both = Precisions({"float32": plain, "int8": refused}, _Number(), None)
    assert both.scores(None, 0.9, 0.1) == {"float32": (0.9, 0.1)}
    with pytest.raises(EdgetimeError, match="no such kernel"):
        Precisions({"int8": refused}, _Number(), None).scores(None, 0.9, 0.1)
