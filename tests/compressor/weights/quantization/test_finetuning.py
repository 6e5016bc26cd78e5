"""Weights that are trained to be integers: what is simulated is what the file holds and computes."""

import numpy as np
import pytest

from compressor.data import Data
from compressor.export import TfliteRunner, quantize_weights
from compressor.testing.device import FormulaTimeModel
from compressor.weights.quantization import (
    FineTuned,
    MixedCandidate,
    choosing,
    divergence,
    export_finetuned,
    export_mixed,
    finetune,
    integer_tensors,
)
from compressor.weights.quantization.finetuning import _Twin
from profiler.errors import UsageError
from profiler.tflite import read_network

EPOCHS = 6


def recipe_of(network, name):
    if name == "int8":
        return lambda content: network.with_weights(content).build(network.uniform("int8"))
    return lambda content: quantize_weights(content, name)


@pytest.fixture(scope="module", params=["int8", "weight-int4"])
def trained(request, network, rows):
    recipe = recipe_of(network, request.param)
    return request.param, recipe, finetune(network.content, recipe, {"image": rows}, EPOCHS)


def test_the_file_holds_the_simulated_integers_bit_for_bit(trained, network):
    name, _, found = trained
    stored = integer_tensors(found.content)
    assert len(found.integers) == 3
    for tensor, values in found.integers.items():
        assert stored[tensor].values.tobytes() == values.tobytes()
        assert np.abs(values).max() == (127 if name == "int8" else 7)


def test_training_changed_integers_and_brought_the_outputs_nearer(trained, network, rows):
    _, recipe, found = trained
    plain = recipe(network.content)
    before = integer_tensors(plain)
    assert any(not np.array_equal(before[name].values, values) for name, values in found.integers.items())
    wanted = TfliteRunner(network.content).predict(rows)
    moved = [divergence(wanted, TfliteRunner(one).predict(rows)) for one in (plain, found.content)]
    assert moved[1] < moved[0]


def test_the_twin_answers_as_the_integer_file_to_a_step_or_two(network, rows):
    file = recipe_of(network, "int8")(network.content)
    tensors = integer_tensors(file)
    simulated = np.asarray(_Twin(network.content, tensors)([rows])[0])
    wide = TfliteRunner(network.content).predict(rows)
    step = np.ptp(wide) / 255
    assert np.abs(simulated - TfliteRunner(file).predict(rows)).max() < 3 * step


def test_int4_weights_are_read_two_in_a_byte(network):
    stored = integer_tensors(quantize_weights(network.content, "weight-int4"))
    for one in (one for one in stored.values() if one.values is not None):
        assert one.dtype == "int4"
        assert one.values.min() >= -8
        assert one.values.max() <= 7
        assert np.abs(one.values).max() == 7


def test_a_file_is_written_that_says_what_training_changed(model, rows, tmp_path):
    labels = model.predict(rows, verbose=0).argmax(axis=1)
    result = export_finetuned(
        model,
        tmp_path / "net.tflite",
        "weight-int4",
        rows,
        2,
        check_data=Data(rows, labels, source="rows"),
        max_drop=100,
    )
    assert any(note.startswith("Fine-tuned as integers for 2 epochs on 24 rows") for note in result.notes)
    assert result.types.constants["int4"] == 3


def test_auto_takes_a_faster_file_that_only_training_makes_good_enough(
    model, network, rows, tmp_path, monkeypatch
):
    def spoilt(epochs):
        """Of the same structure and time, and wrong."""
        made = bytearray(network.content)
        start, nbytes = network._graph.tensors[network._graph.operators[0].inputs[1]].data
        made[start : start + nbytes] = (
            np.random.default_rng(0).normal(size=nbytes // 4).astype("f4").tobytes()
        )
        return network.with_weights(bytes(made)).build(network.uniform("int8"))

    good = network.build(network.uniform("int8"))
    device = FormulaTimeModel()
    device.predict_layers_ms = lambda given, setting=None: np.array(
        [0.5 if one.dtype == "int8" else 1.0 for one in given]
    )
    assignment = network.uniform("int8")
    wrong = MixedCandidate(assignment, spoilt(0), device.predict_total_ms(read_network(spoilt(0))), 1.0)
    plain = MixedCandidate(network.uniform("float32"), network.content, 100.0, 0.0)
    trained = []

    def stub(content, quantize, rows, epochs, seed, progress):
        trained.append(epochs)
        return FineTuned(content, good, {})

    for name, stand_in in (
        ("finetune", stub),
        ("clip", lambda *given: {}),
        ("search", lambda *given, **options: [wrong, plain]),
        ("_uniform", lambda *given: {"float32": plain}),
    ):
        monkeypatch.setattr(choosing, name, stand_in)
    options = {"check_data": rows, "min_agreement": 0.9}
    without = export_mixed(model, tmp_path / "a.tflite", device, rows, **options)
    found = export_mixed(model, tmp_path / "b.tflite", device, rows, finetune_epochs=4, **options)
    assert trained == [4]
    assert (tmp_path / "a.tflite").read_bytes() == network.content
    assert (tmp_path / "b.tflite").read_bytes() == good
    assert any("--finetune-epochs 3 may make it good enough" in note for note in without.export.notes)
    assert any(
        note.startswith("Without fine-tuning (4 epochs) it would lose too much")
        for note in found.export.notes
    )


@pytest.mark.parametrize(
    ("quantize", "epochs", "said"),
    [("float16", 2, "not of float16"), ("int8", 0, "1 to 1000"), ("int8", 2, "rows with --calibration")],
)
def test_what_cannot_be_trained_is_refused(model, tmp_path, quantize, epochs, said):
    with pytest.raises(UsageError, match=said):
        export_finetuned(model, tmp_path / "net.tflite", quantize, None, epochs)
    assert not list(tmp_path.iterdir())
