"""A network of two inputs and two outputs, from its data file to a smaller file that was scored."""

import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from compressor import Data, Options, Schedule, compress, load_data
from compressor.data import take
from compressor.export import TfliteRunner, export
from compressor.graph import build_graph
from compressor.search import get_method
from compressor.search.deepiot import masked_twin
from compressor.search.deepiot.options import Rates
from compressor.search.deepiot.training import Training
from compressor.testing.device import FormulaTimeModel
from compressor.training import FineTuner, task_of
from compressor.training.model_io import outputs_of
from profiler.errors import DataError, EdgetimeError

OPTIONS = Options(
    search=Schedule(epochs=2, batch_size=16, learning_rate=5e-3),
    final=Schedule(epochs=3, batch_size=16, learning_rate=5e-3),
    finalists=1,
)


def rows_of(count, seed):
    """Points: is the left one's first number positive, and in which third lies the sum of the right one's?"""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(count, 6)).astype("float32"), rng.normal(size=(count, 4)).astype("float32")
    sums = right.sum(axis=1)
    x = {"left": left, "right": right}
    return x, {"sign": (left[:, 0] > 0).astype(int), "third": np.digitize(sums, [-0.9, 0.9])}


def network():
    left, right = keras.Input((6,), name="left"), keras.Input((4,), name="right")
    a = layers.Dense(24, activation="relu", name="see_left")(left)
    b = layers.Dense(24, activation="relu", name="see_right")(right)
    both = layers.Dense(16, activation="relu", name="both")(layers.Concatenate()([a, b]))
    sign = layers.Dense(1, activation="sigmoid", name="sign")(both)
    return keras.Model([left, right], [sign, layers.Dense(3, activation="softmax", name="third")(both)])


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The trained network's file, and its rows as a ``.npz``."""
    folder = tmp_path_factory.mktemp("two")
    arrays = {}
    for part, count, seed in (("", 400, 0), ("_val", 100, 1), ("_test", 100, 2)):
        for kind, rows in zip("xy", rows_of(count, seed), strict=True):
            arrays |= {f"{kind}{part}.{name}": array for name, array in rows.items()}
    np.savez(folder / "two.npz", **arrays)
    keras.utils.set_random_seed(0)
    model = network()
    tuner = FineTuner(task_of(model, load_data(folder / "two.npz")))
    outcome = tuner.fit(model, Schedule(epochs=20, batch_size=16, learning_rate=0.01, alpha=0.0))
    assert outcome.score > 0.85
    model.save(folder / "two.keras")
    return SimpleNamespace(folder=folder, file=folder / "two.keras", data=folder / "two.npz", model=model)


def test_the_data_file_is_read_by_name(task):
    data = load_data(task.data)
    assert {name: rows.shape for name, rows in data.x.items()} == {"left": (400, 6), "right": (400, 4)}
    assert {name: rows.dtype for name, rows in data.y_test.items()} == {"sign": np.int64, "third": np.int64}


class FastIntegers(FormulaTimeModel):
    """A device that takes a quarter of the time for integers."""

    def predict_layers_ms(self, layers, setting=None):
        fast = [any(tensor.dtype == "int8" for tensor in layer.inputs) for layer in layers]
        return super().predict_layers_ms(layers) * np.where(fast, 0.25, 1.0)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_it_is_compressed_and_what_is_reported_is_what_the_file_does(task, tmp_path, quantize):
    result = compress(
        task.file, task.data, FastIntegers(), tmp_path / "out", max_accuracy_drop=20.0, method=get_method("uniform"),
        quantize=quantize, calibration=task.data if quantize == "int8" else None, options=OPTIONS, seeds=2, points=1, measure=False,
    )  # fmt: skip
    assert result.met
    assert result.score_name == "accuracy"
    assert result.test_rows == 100
    assert result.after.macs < result.before.macs
    assert any(width.after < width.before for width in result.widths)
    x, y = rows_of(100, 2)
    sign, third = TfliteRunner(tmp_path / "out" / "compressed.tflite").predict(x)
    right = (np.mean((sign[:, 0] > 0.5) == y["sign"]) + np.mean(third.argmax(axis=1) == y["third"])) / 2
    assert result.after.score == pytest.approx(right)
    assert right > 0.7


def test_the_command_line_exports_it_in_int8_with_its_data_as_calibration(task, tmp_path):
    out = tmp_path / "two.tflite"
    code = "from edgetime.cli import main; main()"
    command = [sys.executable, "-c", code, "export", task.file, "-o", out, "--quantize", "int8"]
    done = subprocess.run(
        [*command, "--calibration", task.data, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["checked_on"].startswith("100 validation rows")
    assert found["accuracy_before"] > 0.85
    assert found["accuracy_after"] > 0.8
    assert set(TfliteRunner(out).input_shapes) == {"left", "right"}


def test_a_python_file_gives_losses_and_metrics_by_output(task, tmp_path):
    (tmp_path / "task.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    with np.load(" + repr(str(task.data)) + ") as f:\n"
        "        x = {name: f['x.' + name] for name in ('left', 'right')}\n"
        "        y = {'sign': f['y.sign'].astype('float32')[:, None], 'third': f['y.third']}\n"
        "    return (x, y), None\n"
        "loss = {'sign': 'mse'}\n"
        "metric = {'sign': lambda y, outputs: float(np.mean((outputs > 0.5) == (y > 0.5)))}\n"
        "loss_weights = {'sign': 2.0}\n"
    )
    result = export(task.file, tmp_path / "two.tflite", check_data=tmp_path / "task.py")
    x, y = rows_of(400, 0)
    sign, third = (part for part in outputs_of(task.model, x).values())
    expected = (np.mean((sign[:, 0] > 0.5) == y["sign"]) + np.mean(third.argmax(axis=1) == y["third"])) / 2
    assert result.comparison.accuracy_before == pytest.approx(expected)
    found = compress(
        task.file, tmp_path / "task.py", FormulaTimeModel(), tmp_path / "out", max_accuracy_drop=30.0,
        method=get_method("uniform"), options=OPTIONS, seeds=1, points=1, measure=False,
    )  # fmt: skip
    assert found.score_name == "score"
    assert found.before.score > 0.85


def test_the_teacher_is_followed_in_all_outputs(task):
    data = load_data(task.data)
    lost = Data(**{**vars(data), "y": {"sign": 0 * data.y["sign"], "third": 0 * data.y["third"]}})
    tuner = FineTuner(task_of(task.model, lost), task.model)
    student = network()
    tuner.fit(student, Schedule(epochs=15, batch_size=16, learning_rate=0.01, alpha=1.0))
    mine, theirs = outputs_of(student, data.x_val), outputs_of(task.model, data.x_val)
    assert np.mean((mine["sign"] > 0.5) == (theirs["sign"] > 0.5)) > 0.85
    assert np.mean(mine["third"].argmax(1) == theirs["third"].argmax(1)) > 0.85


def test_deepiot_trains_with_masks(task):
    graph = build_graph(task.model)
    task_ = task_of(task.model, load_data(task.data))
    twin = masked_twin(task.model, graph)
    x = take(task_.data.x, slice(8))
    found = twin(x, tf.ones([1, twin.channels]), training=False)
    for name, outputs in outputs_of(task.model, x).items():
        np.testing.assert_allclose(found[name], outputs, rtol=1e-4, atol=1e-5)
    training = Training(
        SimpleNamespace(model=task.model, graph=graph, task=task_), Rates(batch_size=16), seed=0
    )
    before = training.probabilities
    training.run(3, 0.0, np.ones(twin.channels))
    assert np.abs(training.probabilities - before).max() > 0


def test_rows_of_other_inputs_are_refused_before_any_work(task, tmp_path):
    x, y = rows_of(20, 0)
    one = tmp_path / "one.npz"
    np.savez(one, x=x["left"], **{f"y.{name}": labels for name, labels in y.items()})
    with pytest.raises(DataError, match="x is one array, but the network has the inputs left, right"):
        compress(task.file, one, FormulaTimeModel(), tmp_path / "out", max_accuracy_drop=1.0)
    both = tmp_path / "both.npz"
    np.savez(both, x=x["left"], **{"x.right": x["right"], "y.sign": y["sign"], "y.third": y["third"]})
    with pytest.raises(EdgetimeError, match=r"has x and x\.right: give one array, or one for each name"):
        load_data(both)
    unequal = tmp_path / "unequal.npz"
    np.savez(
        unequal,
        **{"x.left": x["left"], "x.right": x["right"][:7], "y.sign": y["sign"], "y.third": y["third"]},
    )
    with pytest.raises(DataError, match=r"x\.left has 20 rows and x\.right has 7"):
        load_data(unequal)
