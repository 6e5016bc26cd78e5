"""Layers of a user's own: with a registered rule they are cut, and a rule that is wrong is found out."""

import importlib.metadata

import keras
import numpy as np
import pytest

from compressor.data import load_data
from compressor.graph import Frozen, build_graph, cut, load_rules, register_rule
from compressor.graph.rules import registry
from compressor.testing import check_rule
from profiler.errors import EdgetimeWarning, UsageError


class ScaledDense(keras.layers.Layer):
    """A dense layer with one factor for each output."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.factor = self.add_weight(shape=(self.units,), initializer="ones", name="factor")

    def call(self, x):
        return keras.ops.tanh(keras.ops.matmul(x, self.kernel) * self.factor)

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("mine")
class SqueezeExcite(keras.layers.Layer):
    """Each channel of a picture times a gate that all of them decide upon."""

    def __init__(self, squeezed, **options):
        super().__init__(**options)
        self.squeezed = squeezed
        self.squeeze = keras.layers.Dense(squeezed, activation="relu", name="squeeze")

    def build(self, shape):
        self.squeeze.build((shape[0], shape[-1]))
        self.excite = self.add_weight(shape=(self.squeezed, shape[-1]), name="excite")

    def call(self, x):
        gate = keras.ops.matmul(self.squeeze(keras.ops.mean(x, axis=(1, 2))), self.excite)
        return x * keras.ops.sigmoid(gate)[:, None, None, :]

    def get_config(self):
        return super().get_config() | {"squeezed": self.squeezed}


class WeightedSum(keras.layers.Layer):
    """Two inputs, the first times a factor for each channel."""

    def build(self, shapes):
        self.factor = self.add_weight(shape=(shapes[0][-1],), name="factor")

    def call(self, pair):
        return pair[0] * self.factor + pair[1]


def weighted_sum(call, inputs, recorder):
    recorder.tie(inputs[0], inputs[1])
    recorder.axis(call, "factor", 0, inputs[0], "scale")
    return inputs[0]


def scaled_dense(call, inputs, recorder):
    out = recorder.new(call.config["units"])
    recorder.count(call, "units", out)
    recorder.axis(call, "kernel", 0, inputs[0], "in")
    recorder.axis(call, "kernel", 1, out, "out")
    recorder.axis(call, "factor", 0, out, "scale")
    return out


def squeeze_excite(call, inputs, recorder):
    inner = recorder.new(call.config["squeezed"])
    recorder.count(call, "squeezed", inner)
    recorder.axis(call, "kernel", 0, inputs[0], "in")
    recorder.axis(call, "kernel", 1, inner, "out")
    recorder.axis(call, "bias", 0, inner, "out")
    recorder.axis(call, "excite", 0, inner, "in")
    recorder.axis(call, "excite", 1, inputs[0], "scale")
    return inputs[0]


@pytest.fixture(autouse=True)
def no_rules_left(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def network(layer):
    source = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(source)
    x = keras.layers.GlobalAveragePooling2D()(layer(x))
    return keras.Model(source, keras.layers.Dense(3, name="head")(x))


def test_a_layer_without_a_rule_is_left_whole():
    graph = build_graph(network(SqueezeExcite(4, name="gate")))
    assert [(f.layer, f.reason) for f in graph.frozen] == [("gate", "custom layer SqueezeExcite")]
    assert not graph.groups


def test_rules_of_custom_layers_pass_the_suite():
    register_rule(ScaledDense, scaled_dense)
    register_rule("mine>SqueezeExcite", squeeze_excite)
    check_rule(ScaledDense(7, name="scaled"), (5,))
    check_rule(ScaledDense(7, name="scaled"), (4, 5))
    check_rule(SqueezeExcite(4, name="gate"), (6, 6, 5))
    register_rule(WeightedSum, weighted_sum)
    check_rule(WeightedSum(name="sum"), (3, 5), (3, 5))


def test_a_registered_layer_is_cut_inside_and_around():
    register_rule(SqueezeExcite, squeeze_excite)
    model = network(SqueezeExcite(4, name="gate"))
    smaller = cut(model, {"conv": [0, 3, 5], "gate": [1, 2]})
    assert smaller.get_layer("gate").excite.shape == (2, 3)
    assert smaller.get_layer("gate").get_config()["squeezed"] == 2
    np.testing.assert_array_equal(
        smaller.get_layer("gate").excite, np.asarray(model.get_layer("gate").excite)[[1, 2]][:, [0, 3, 5]]
    )


def forgets_a_weight(call, inputs, recorder):
    out = recorder.new(call.config["units"])
    recorder.count(call, "units", out)
    recorder.axis(call, "kernel", 1, out, "out")
    return out


def calls_reading_scaling(call, inputs, recorder):
    out = recorder.new(call.config["units"])
    recorder.count(call, "units", out)
    recorder.axis(call, "kernel", 0, inputs[0], "scale")
    recorder.axis(call, "kernel", 1, out, "out")
    recorder.axis(call, "factor", 0, out, "scale")
    return out


def says_no(call, inputs, recorder):
    raise Frozen("it is too clever")


def says_nothing_of_weights(call, inputs, recorder):
    return recorder.new_frozen(call.config["units"])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (forgets_a_weight, "weights of another shape"),
        (calls_reading_scaling, "cut is not masked"),
        (says_no, "scaled is frozen: it is too clever"),
        (says_nothing_of_weights, "the rule must name the axes of weights"),
    ],
)
def test_the_suite_finds_out_a_rule_that_is_wrong(rule, words):
    register_rule(ScaledDense, rule)
    with pytest.raises(AssertionError) as caught:
        check_rule(ScaledDense(5, name="scaled"), (5,))
    assert words in str(caught.value)


def test_a_rule_that_fails_is_named():
    def broken(call, inputs, recorder):
        return recorder.new(call.config["width"])

    register_rule(ScaledDense, broken)
    model = keras.Sequential([keras.Input((4,)), ScaledDense(5, name="odd"), keras.layers.Dense(2)])
    with pytest.raises(
        UsageError, match=r"rule of layer 'odd' \(custom layer ScaledDense\) failed with KeyError"
    ):
        build_graph(model)


def test_a_rule_that_returns_another_number_of_channels_is_named():
    register_rule(ScaledDense, lambda call, inputs, recorder: inputs[0])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), ScaledDense(5, name="odd")])
    with pytest.raises(UsageError, match=r"returns 6 channels for an output of shape \(None, 5\)"):
        build_graph(model)


def test_statistics_of_a_custom_layer_leave_it_whole():
    def normalises(call, inputs, recorder):
        recorder.statistics(call, inputs[0])
        return inputs[0]

    register_rule(SqueezeExcite, normalises)
    (frozen,) = build_graph(network(SqueezeExcite(4, name="gate"))).frozen
    assert "statistics over some channels only" in frozen.reason


def test_a_taken_name_is_refused():
    register_rule(ScaledDense, scaled_dense)
    register_rule("ScaledDense", scaled_dense)  # the same again: a data file may be run twice
    with pytest.raises(UsageError, match=r"ScaledDense has a rule already, from .*test_register_rule"):
        register_rule("ScaledDense", squeeze_excite)
    for taken in ("Dense", keras.layers.Dense):
        with pytest.raises(UsageError, match="Dense has a rule already, from the rules of Keras' own layers"):
            register_rule(taken, squeeze_excite)


def test_rules_of_installed_packages_are_found_and_bad_ones_named(monkeypatch):
    made = [
        importlib.metadata.EntryPoint("mine>SqueezeExcite", f"{__name__}:squeeze_excite", "edgetime.rules"),
        importlib.metadata.EntryPoint("Dense", f"{__name__}:scaled_dense", "edgetime.rules"),
        importlib.metadata.EntryPoint("Gone", "no_such_module:rule", "edgetime.rules"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: made)
    load_rules.cache_clear()
    try:
        with pytest.warns(EdgetimeWarning) as caught:
            load_rules()
        assert build_graph(network(SqueezeExcite(4, name="gate"))).widths == {"conv": 8, "gate": 4}
    finally:
        load_rules.cache_clear()
    (warning,) = caught
    problems = str(warning.message).split("\n")
    assert len(problems) == 2
    assert "'Dense'" in problems[0]
    assert "taken" in problems[0]
    assert "'Gone'" in problems[1]


def test_a_data_file_registers_a_rule_each_time_it_is_run(tmp_path):
    (tmp_path / "task.py").write_text(
        "import numpy as np\n"
        "from compressor.graph import register_rule\n"
        "def rule(call, inputs, recorder):\n"
        "    return inputs[0]\n"
        "register_rule('Elsewhere', rule)\n"
        "def load():\n"
        "    return (np.ones((4, 3)), np.arange(4) % 2), None\n"
    )
    load_data(tmp_path / "task.py")
    load_data(tmp_path / "task.py")
    assert registry.rule_of("custom:Elsewhere") is not None
