"""`pack`: what is asked for is what comes out, and what cannot be is said in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_lines import classifier, rows

from compressor.data import Data
from compressor.export import TfliteRunner
from compressor.weights.line_compress import loops, open_lct, pack, read_lct, unpack
from compressor.weights.line_compress.calibration import Watcher, patches
from compressor.weights.line_compress.tensors import stored_tensors
from profiler.errors import (
    BudgetError,
    DataError,
    EdgetimeError,
    MissingExtraError,
    ModelFileError,
    UsageError,
)


@pytest.fixture
def network(tmp_path):
    file = tmp_path / "net.tflite"
    file.write_bytes(classifier())
    return file


@pytest.fixture(scope="module")
def labelled():
    content = classifier()
    x, held = rows(), rows(200, seed=2)
    answer = TfliteRunner(content).predict
    return Data(x, answer(x).argmax(axis=1), held, answer(held).argmax(axis=1))


@pytest.mark.parametrize("coding", ["entropy", "fixed"])
def test_a_ratio_is_met(network, tmp_path, coding):
    found = pack(network, tmp_path / "net.lct", ratio=4.2, coding=coding)
    assert found.float32_bytes == len(classifier())
    assert found.nbytes == (tmp_path / "net.lct").stat().st_size
    assert 4.2 <= found.ratio < 4.6


def test_rows_make_the_outputs_of_the_same_size_better(network, tmp_path, labelled):
    x, content = rows(200, seed=2), classifier()
    wanted = TfliteRunner(content).predict(x)
    errors = []
    for data in (None, labelled):
        pack(network, tmp_path / "net.lct", ratio=3.4, data=data)
        errors.append(
            float(np.square(TfliteRunner(read_lct(tmp_path / "net.lct")).predict(x) - wanted).mean())
        )
    assert errors[1] < 0.7 * errors[0]


def test_a_loss_is_kept_and_more_of_it_allowed_makes_the_file_smaller(network, tmp_path, labelled):
    strict = pack(network, tmp_path / "a.lct", max_accuracy_drop=1.0, data=labelled)
    loose = pack(network, tmp_path / "b.lct", max_accuracy_drop=10.0, data=labelled)
    for found, allowed in ((strict, 1.0), (loose, 10.0)):
        assert 100 * (found.accuracy_before - found.accuracy_after) <= allowed + 1e-6
        assert found.judged_on == "200 validation rows"
    assert loose.nbytes < strict.nbytes


def test_a_tolerance_bounds_every_weight(network, tmp_path):
    pack(network, tmp_path / "net.lct", tolerance=0.03)
    before, after = classifier(), read_lct(tmp_path / "net.lct")
    for tensor in stored_tensors(before):
        if tensor.weights:
            values = tensor.read(before)
            reach = 0.03 * (values.max() - values.min())
            assert np.abs(values - tensor.read(after)).max() <= reach * 1.001


def test_a_packed_file_opens_as_an_interpreter_with_the_unpacked_weights(network, tmp_path):
    pack(network, tmp_path / "net.lct", "paper")
    unpack(tmp_path / "net.lct", tmp_path / "again.tflite")
    x = rows(1)
    interpreter = open_lct(tmp_path / "net.lct")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.array_equal(found, TfliteRunner(tmp_path / "again.tflite").predict(x))


def test_patches_are_what_a_convolution_multiplies_with():
    content, x = classifier(), rows(1)
    watcher = Watcher(content)
    layer = watcher.layers[0][0]
    kernel = next(one for one in stored_tensors(content) if one.shape == (16, 3, 3, 6))
    shift = next(one for one in stored_tensors(content) if one.shape == (16,))
    made = patches(x, layer.params, depthwise=False) @ kernel.read(content).T + shift.read(content).reshape(
        -1
    )
    watcher.watch({"x": x}, stored_tensors(content))
    features = watcher.values(watcher.layers[0][1].outputs[0])
    assert np.allclose(np.maximum(made, 0).reshape(features.shape), features, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"ratio": 0.5}, UsageError, "ratio of 0.5"),
        ({"ratio": 4, "tolerance": 0.1}, UsageError, "one of --ratio"),
        ({"tolerance": 2}, UsageError, "tolerance of 2"),
        ({"max_accuracy_drop": 1}, UsageError, "--data"),
        ({"level": "finetune"}, UsageError, "--data"),
        ({"level": "finetune", "data": Data(rows(), np.zeros(96, int)), "epochs": 0}, UsageError, "0 epochs"),
        (
            {"level": "finetune", "data": Data(rows(), np.zeros(96, int)), "epochs": np.nan},
            UsageError,
            "nan epochs",
        ),
        ({"ratio": 4, "data": Data(rows(), np.full(96, 3))}, DataError, "from 3 to 3, but .* has 3 classes"),
        ({"level": "best"}, UsageError, "no level 'best'"),
        ({"ratio": 500}, BudgetError, "only .* times"),
        ({"tolerance": 0.0001}, UsageError, "larger tolerance"),
        ({"data": Data(rows()[:, :4], np.zeros(96, int))}, DataError, r"\[4, 5, 6\].*takes \[5, 5, 6\]"),
    ],
)
def test_what_cannot_be_is_said(network, tmp_path, options, kind, words):
    with pytest.raises(EdgetimeError, match=words) as failure:
        pack(network, tmp_path / "net.lct", **options)
    assert isinstance(failure.value, kind)
    assert not (tmp_path / "net.lct").exists()


def test_weights_that_are_no_numbers_are_refused(network, tmp_path):
    kernel = np.zeros((16, 3, 3, 6))
    kernel[1, 1, 1, 1] = np.nan
    network.write_bytes(classifier(kernel=kernel))
    with pytest.raises(ModelFileError, match="'kernel' holds NaN"):
        pack(network, tmp_path / "net.lct")


def test_a_network_without_weights_is_said(tmp_path):
    from profiler.operators import unary
    from profiler.probes import Probe

    (tmp_path / "net.tflite").write_bytes(Probe("layer", (unary("relu", (1, 4)),)).build())
    with pytest.raises(ModelFileError, match="no weights to pack"):
        pack(tmp_path / "net.tflite", tmp_path / "net.lct")


def test_without_numba_the_sentence_says_what_to_install(network, tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "numba", None)
    with pytest.raises(MissingExtraError, match=r"edgetime\[linecompress\]"):
        pack(network, tmp_path / "net.lct")
    with pytest.raises(MissingExtraError, match=r"edgetime\[linecompress\]"):
        read_lct(b"LCT\0")
