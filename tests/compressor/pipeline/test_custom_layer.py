"""A network with a layer of the user's own, whose class and rule stand in the data file, is cut in that layer."""

import keras
import pytest

from compressor import Options, Schedule, compress, load_data
from compressor.export import load_keras
from compressor.graph.rules import registry
from compressor.search import get_method
from compressor.testing.device import FormulaTimeModel

TASK = '''
import keras
import numpy as np
from compressor.graph import register_rule

@keras.saving.register_keras_serializable("of_a_file")
class GatedDense(keras.layers.Layer):
    """Outputs times a gate of the same inputs."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.value = self.add_weight(shape=(shape[-1], self.units), name="value")
        self.gate = self.add_weight(shape=(shape[-1], self.units), name="gate")

    def call(self, x):
        return keras.ops.matmul(x, self.value) * keras.ops.sigmoid(keras.ops.matmul(x, self.gate))

    def get_config(self):
        return super().get_config() | {"units": self.units}

def gated_dense(call, inputs, recorder):
    out = recorder.new(call.config["units"])
    recorder.count(call, "units", out)
    for weight in ("value", "gate"):
        recorder.axis(call, weight, 0, inputs[0], "in")
        recorder.axis(call, weight, 1, out, "out")
    return out

register_rule(GatedDense, gated_dense)

def load():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    return (x[:200], y[:200]), (x[200:250], y[200:250]), (x[250:], y[250:])
'''


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_a_custom_layer_with_a_rule_is_compressed(tmp_path, monkeypatch, importance):
    monkeypatch.setattr(registry, "_registered", {})
    (tmp_path / "task.py").write_text(TASK)
    load_data(tmp_path / "task.py")
    gated_dense = keras.saving.get_registered_object("of_a_file>GatedDense")
    keras.utils.set_random_seed(0)
    source = keras.Input((6,))
    x = gated_dense(20, name="gated")(keras.layers.Dense(16, activation="relu", name="before")(source))
    keras.Model(source, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "net.keras")
    options = Options(
        search=Schedule(epochs=3, learning_rate=0.01),
        final=Schedule(epochs=6, learning_rate=0.01),
        finalists=1,
    )
    result = compress(
        tmp_path / "net.keras", tmp_path / "task.py", FormulaTimeModel(), tmp_path / "out", max_accuracy_drop=40.0,
        method=get_method("uniform"), importance=importance, options=options, seeds=1, points=1, measure=False,
    )  # fmt: skip
    assert not result.frozen
    gated = next(width for width in result.widths if width.layer == "gated")
    assert gated.before == 20
    assert gated.after < 20
    smaller = load_keras(tmp_path / "out" / "compressed.keras").get_layer("gated")
    assert smaller.gate.shape[1] == smaller.units == gated.after
