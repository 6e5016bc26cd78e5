"""Networks whose operators differ in precision: what is built, searched, chosen and said."""

import numpy as np
import pytest

from compressor.data import Data
from compressor.export import RECIPES, TfliteRunner, export, to_tflite_bytes
from compressor.testing.device import FormulaTimeModel
from compressor.weights.quantization import QuantizableNetwork, divergence, export_mixed, search
from compressor.weights.quantization.choosing import _trained
from compressor.weights.quantization.clipping import clip
from profiler.errors import EdgetimeError, UsageError
from profiler.tflite import Buffer, read_model, read_network


class Device(FormulaTimeModel):
    """Integers halve the time of convolutions and take ten times as long for hard-swish; conversions cost a little."""

    def predict_layers_ms(self, given, setting=None):
        times = {"conv_2d": 1.0, "hard_swish": 0.3, "quantize": 0.1, "dequantize": 0.1}
        factors = {"conv_2d": 0.5, "hard_swish": 10.0}
        return np.array(
            [
                times.get(one.op, 0.01) * (factors.get(one.op, 1.0) if one.dtype == "int8" else 1.0)
                for one in given
            ]
        )


def predict_ms(content):
    return Device().predict_total_ms(read_network(content))


def types_of(content):
    graph = read_model(Buffer(content)).graphs[0]
    return [(one.op, graph.tensors[one.outputs[0]].dtype) for one in graph.operators]


def test_each_operator_gets_the_precision_it_is_given(network):
    ops = [unit.op for unit in network.units]
    assert ops == ["conv_2d", "hard_swish", "conv_2d", "hard_swish", "fully_connected"]
    first, _, second, *_ = (unit.index for unit in network.units)
    found = types_of(network.build({first: "int8", second: "float32"}))
    assert [dtype for op, dtype in found if op == "conv_2d"] == ["int8", "float32"]
    assert {dtype for op, dtype in found if op in ("hard_swish", "max_pool_2d", "fully_connected")} == {
        "float32"
    }


@pytest.mark.parametrize("choice", ["int8", "dynamic"])
def test_inputs_and_outputs_stay_float(network, choice):
    runner = TfliteRunner(network.build(network.uniform(choice)))
    assert {*runner.input_dtypes.values(), *runner.output_dtypes.values()} == {"float32"}


def test_what_only_moves_numbers_follows_what_feeds_it(network):
    found = dict(types_of(network.build(network.uniform("int8"))))
    assert found["max_pool_2d"] == found["reshape"] == "int8"


def test_all_float_is_the_network_itself(network):
    assert network.build(network.uniform("float32")) == network.content


def test_the_search_keeps_as_floats_what_integers_slow_down(network, rows):
    front = search(network, {"image": rows}, predict_ms, trials=4)
    fastest = {unit.op: front[0].assignment[unit.index] for unit in network.units}
    assert fastest["hard_swish"] == "float32"
    assert fastest["conv_2d"] == "int8"
    assert front[0].predicted_ms < min(
        predict_ms(network.build(network.uniform(one))) for one in ("float32", "int8")
    )
    assert front[-1].divergence == 0.0
    times, moved = [one.predicted_ms for one in front], [one.divergence for one in front]
    assert times == sorted(times)
    assert moved == sorted(moved, reverse=True)


def test_a_rare_large_value_does_not_set_the_range(model, rows):
    spoilt = rows.copy()
    spoilt[0, 0, 0, 0] = 60.0
    network = QuantizableNetwork(to_tflite_bytes(model), {"image": spoilt})
    before = TfliteRunner(network.content).predict(rows)
    wide = divergence(before, TfliteRunner(network.build(network.uniform("int8"))).predict(rows))
    narrowed = clip(network, {"image": rows})
    assert narrowed
    assert all(factor < 1 for factor in narrowed.values())
    assert divergence(before, TfliteRunner(network.build(network.uniform("int8"))).predict(rows)) < wide


def test_the_fastest_that_keeps_the_accuracy_is_written_and_explained(model, rows, tmp_path):
    labels = model.predict(rows, verbose=0).argmax(axis=1)
    data = Data(rows, labels, source="rows")
    result = export_mixed(
        model, tmp_path / "net.tflite", Device(), rows, check_data=data, max_drop=10.0, trials=4
    )
    content = (tmp_path / "net.tflite").read_bytes()
    assert result.predicted_ms == pytest.approx(predict_ms(content))
    assert result.predicted_ms < min(rival.predicted_ms for rival in result.rivals)
    assert result.export.comparison.drop_points <= 10.0
    assert any(
        reason.startswith("2 `hard_swish` stay float32: in int8 they take 10 times as long here")
        for reason in result.reasons
    )
    assert any(reason.startswith("2 `conv_2d` become int8: 2 ms -> 1 ms") for reason in result.reasons)
    assert result.operators["int8"] >= 2


def test_a_network_that_no_integers_suit_stays_float(model, rows, tmp_path):
    class Slow(Device):
        def predict_layers_ms(self, given, setting=None):
            return np.array([5.0 if one.dtype != "float32" else 1.0 for one in given])

    result = export_mixed(model, tmp_path / "net.tflite", Slow(), rows, trials=2)
    assert set(result.operators) == {"float32"}
    assert {dtype for _, dtype in types_of((tmp_path / "net.tflite").read_bytes())} == {"float32"}


def test_unknown_times_and_missing_inputs_are_refused(model, rows, tmp_path):
    class Unknown(Device):
        def predict(self, given, setting=None):
            from dataclasses import replace

            return replace(super().predict(given, setting), at_least=True, uncovered=("hard_swish",))

    with pytest.raises(EdgetimeError, match=r"Not all of the time of .* is known on .*: hard_swish"):
        export_mixed(model, tmp_path / "net.tflite", Unknown(), rows)
    with pytest.raises(UsageError, match="typical inputs"):
        export_mixed(model, tmp_path / "net.tflite", Device(), None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("quantize", "dtype", "bits"),
    [("weight-int8", "int8", 8), ("weight-int4", "int4", 4), ("dynamic-int4", "int4", 4)],
)
def test_weights_alone_are_stored_in_fewer_bits_and_computed_in_floats(
    model, rows, tmp_path, quantize, dtype, bits
):
    export(model, tmp_path / "plain.tflite", "none", rows)
    result = export(model, tmp_path / "net.tflite", quantize, rows, min_agreement=0.0)
    graph = read_model(Buffer((tmp_path / "net.tflite").read_bytes())).graphs[0]
    assert {t.dtype for t in graph.tensors if t.stored and len(t.shape) > 1} >= {dtype}
    assert result.types.constants[dtype] == 3
    assert not result.types.float_operators
    weights = sum(w.size for w in model.get_weights() if w.ndim > 1)
    saved = (tmp_path / "plain.tflite").stat().st_size - result.file_bytes
    assert saved < weights * (32 - bits) / 8


def test_every_recipe_says_in_words_what_becomes_of_weights_and_activations():
    assert all(len(sentence) > 6 and not sentence.endswith(".") for sentence in RECIPES.values())


def test_what_cannot_be_fine_tuned_stays_as_it_is(network, monkeypatch):
    def stored_others(*given):
        raise EdgetimeError("The quantiser stored other integers than were trained.")

    monkeypatch.setattr("compressor.weights.quantization.choosing.training_rows", lambda checked: None)
    monkeypatch.setattr("compressor.weights.quantization.choosing.finetune", stored_others)
    one = object()
    assert _trained(network, one, None, 1, 0, predict_ms, lambda *told: None) is one
