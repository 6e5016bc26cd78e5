"""What networks answer on the same rows, from real files."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compressor.data import Data
from compressor.export import TfliteRunner
from profiler.errors import DataError, EdgetimeWarning, ModelFileError, UsageError
from profiler.network import Layer, Tensor
from profiler.probes import Probe
from selector.candidates import form_of, gather
from timemodel.model import NetworkPrediction
from timemodel.runtime import RowLoop


class PerThousandMacs:
    """A time model that charges 1 ms per thousand multiply-accumulates."""

    device = "abacus"

    def predict(self, network):
        ms = network.macs / 1000
        return NetworkPrediction(network.name, "abacus", network.dtype, 1, ms, ms, ms, 1.0, (), 64, ())


def file_of(folder, name, inputs, units, softmax=False):
    """A fully connected layer from some inputs to some units, with softmax or without."""
    dense = Layer(
        "fully_connected",
        (Tensor((1, inputs)), Tensor((units, inputs), constant=True), Tensor((units,), constant=True)),
        (Tensor((1, units)),),
        {"activation": "none"},
    )
    layers = (dense,)
    if softmax:
        layers = (dense, Layer("softmax", (Tensor((1, units)),), (Tensor((1, units)),)))
    path = folder / f"{name}.tflite"
    path.write_bytes(Probe("chain" if softmax else "layer", layers).build())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module")
def plain(folder):
    """Logits of three classes from 16 inputs."""
    return file_of(folder, "plain", 16, 3)


@pytest.fixture(scope="module")
def rows(plain):
    x = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
    return Data(x, TfliteRunner(plain).predict(x).argmax(axis=1), groups=np.arange(30) // 5, source="d.npz")


@pytest.fixture
def pair(folder, plain):
    """The same network and one of the same classes that is another file."""
    other = folder / "other.tflite"
    if not other.exists():
        file_of(folder, "other", 16, 3, softmax=True)
    return [plain, other]


def test_networks_are_run_and_predicted_fastest_first(pair, rows):
    answers = gather(PerThousandMacs(), list(reversed(pair)), rows)
    assert [one.predicted_ms for one in answers.networks] == sorted(
        one.predicted_ms for one in answers.networks
    )
    assert {one.name: one.form for one in answers.networks} == {"plain": "logits", "other": "probabilities"}
    place = [one.name for one in answers.networks].index("plain")
    assert answers.right[place].all()
    assert np.exp(answers.log_probabilities).sum(axis=2) == pytest.approx(np.ones((2, 30)), abs=1e-4)
    assert answers.paths[place] == pair[0]
    assert len(answers.networks[place].sha256) == 64
    assert answers.groups.tolist() == rows.groups.tolist()
    assert answers.source == "30 training rows of d.npz"


def test_validation_rows_come_first_and_have_no_groups_of_the_training_rows(pair, rows):
    answers = gather(PerThousandMacs(), pair, replace(rows, x_val=rows.x[:7], y_val=rows.y[:7]))
    assert len(answers.y) == 7
    assert answers.groups is None


def test_validation_rows_have_the_groups_that_are_given_for_them(pair, rows):
    both = replace(rows, x_val=rows.x[:8], y_val=rows.y[:8], groups_val=np.repeat(["ann", "bob"], 4))
    answers = gather(PerThousandMacs(), pair, both)
    assert answers.groups.tolist() == ["ann"] * 4 + ["bob"] * 4
    assert answers.units.tolist() == [0] * 4 + [1] * 4
    assert answers.at(np.array([0, 4])).units is None  # each row is a group of its own
    with pytest.raises(DataError, match=r"d.npz has 8 validation rows and 30 groups"):
        gather(PerThousandMacs(), pair, both, groups=rows.groups)


def test_times_that_are_not_whole_are_refused_and_estimates_are_said(pair, rows):
    class Unsure(PerThousandMacs):
        whole = True

        def predict(self, network):
            found = super().predict(network)
            return replace(found, coverage=0.75, uncovered=("mystery",), at_least=not self.whole)

    with pytest.warns(
        EdgetimeWarning, match=r"and 1 more: mystery not measured .*at most 25.0% of the predicted time"
    ):
        gather(Unsure(), pair, rows)
    Unsure.whole = False
    with pytest.raises(
        UsageError,
        match=r"plain\.tflite takes at least 0.048 ms, and what is not known on this device is .*mystery",
    ):
        gather(Unsure(), pair, rows)


def test_a_second_call_runs_nothing(pair, rows, tmp_path, monkeypatch):
    first = gather(PerThousandMacs(), pair, rows, cache=tmp_path)
    assert len(list(tmp_path.glob("answers-*.npz"))) == 2
    monkeypatch.setattr("compressor.export.running.TfliteRunner.__init__", None)  # running would fail
    second = gather(PerThousandMacs(), pair, rows, cache=tmp_path)
    assert (first.log_probabilities == second.log_probabilities).all()
    with pytest.raises(TypeError):
        gather(PerThousandMacs(), pair, replace(rows, x=rows.x + 1), cache=tmp_path)


def test_a_damaged_answer_is_found_anew(pair, rows, tmp_path):
    first = gather(PerThousandMacs(), pair, rows, cache=tmp_path)
    for file in tmp_path.glob("answers-*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    again = gather(PerThousandMacs(), pair, rows, cache=tmp_path)
    assert (first.log_probabilities == again.log_probabilities).all()


def test_networks_of_other_inputs_or_classes_are_told(folder, plain, rows):
    with pytest.raises(DataError, match=r"plain.tflite tells 3 classes apart and .*four.tflite 4"):
        gather(PerThousandMacs(), [plain, file_of(folder, "four", 16, 4)], rows)
    with pytest.raises(DataError, match=r"Rows have shape \(16,\), but .*narrow.tflite takes \(8,\)"):
        gather(PerThousandMacs(), [plain, file_of(folder, "narrow", 8, 3)], rows)
    with pytest.raises(DataError, match=r"answers \(1,\) numbers for a row"):
        gather(PerThousandMacs(), [plain, file_of(folder, "one", 16, 1)], rows)


def test_labels_beyond_the_classes_are_told(pair, rows):
    y = rows.y.copy()
    y[4] = 7
    with pytest.raises(DataError, match=r"y\[4\] is class 7, but the networks tell 3 classes apart"):
        gather(PerThousandMacs(), pair, replace(rows, y=y))


def test_one_network_or_a_missing_one_is_told(pair, rows, tmp_path):
    with pytest.raises(UsageError, match="at least two networks"):
        gather(PerThousandMacs(), [pair[0], pair[0]], rows)
    with pytest.raises(ModelFileError, match=r"gone\.tflite does not exist"):
        gather(PerThousandMacs(), [pair[0], tmp_path / "gone.tflite"], rows)


def test_a_bad_file_beside_two_good_ones_is_left_out(pair, rows, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no network")
    with pytest.warns(EdgetimeWarning, match=r"bad\.tflite is left out"):
        found = gather(PerThousandMacs(), [pair[0], bad, pair[1]], rows)
    assert set(found.paths) == set(pair)
    with pytest.raises(ModelFileError, match="is not a TFLite file"):
        gather(PerThousandMacs(), [pair[0], bad], rows)


def test_labels_that_are_no_classes_are_told(pair, rows):
    with pytest.raises(DataError, match="no classification by one output"):
        gather(PerThousandMacs(), pair, replace(rows, loss="mse"))


def test_nan_is_told_with_network_and_row(pair, rows, monkeypatch):
    predict = TfliteRunner.predict

    def broken(self, x, verbose=None):
        outputs = predict(self, x)
        outputs[11, 1] = np.nan
        return outputs

    monkeypatch.setattr(TfliteRunner, "predict", broken)
    with pytest.raises(DataError, match=r"plain.tflite answers NaN or infinity on row 11 \(1 of 30 rows\)"):
        gather(PerThousandMacs(), pair, rows)


def test_outputs_that_are_neither_probabilities_nor_logits_are_told(pair, rows, monkeypatch):
    predict = TfliteRunner.predict
    monkeypatch.setattr(
        TfliteRunner, "predict", lambda self, x, verbose=None: 1 / (1 + np.exp(-predict(self, x)))
    )
    with pytest.warns(
        EdgetimeWarning, match="no probabilities .row .* a fitted temperature makes probabilities"
    ):
        answers = gather(PerThousandMacs(), pair, rows)
    assert [one.form for one in answers.networks] == ["logits", "logits"]


def test_a_detector_has_classes_of_its_own(folder, pair, rows):
    two = file_of(folder, "two", 16, 2)
    answers = gather(PerThousandMacs(), pair, rows, detector=(two, (0, None)))
    assert answers.detector.network.name == "two"
    assert answers.detector.log_probabilities.shape == (30, 2)
    assert len(answers.at(np.arange(4)).detector.log_probabilities) == 4
    assert [one.name for one in answers.networks] == sorted(
        ["other", "plain"], key=[one.name for one in answers.networks].index
    )
    with pytest.raises(UsageError, match="give one for each"):
        gather(PerThousandMacs(), pair, rows, detector=(two, (0,)))
    with pytest.raises(UsageError, match="is to mean class 3"):
        gather(PerThousandMacs(), pair, rows, detector=(two, (3, None)))


def test_files_of_the_same_name_are_told_apart_by_their_folders(folder, plain, rows, tmp_path):
    twin = file_of(tmp_path, "plain", 16, 3, softmax=True)
    names = {one.name for one in gather(PerThousandMacs(), [plain, twin], rows).networks}
    assert names == {f"{plain.parent.name}/plain", f"{tmp_path.name}/plain"}


@pytest.mark.parametrize(
    ("outputs", "form", "remark"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], "probabilities", False),
        ([[0.2539, 0.75], [0.996, 0.0]], "probabilities", False),  # int8 rounds to 1/256
        ([[3.0, -2.0], [0.1, 0.2]], "logits", False),
        ([[0.9, 0.8], [0.5, 0.5]], "logits", True),
    ],
)
def test_the_form_of_outputs(outputs, form, remark):
    found, said = form_of(np.array(outputs))
    assert found == form
    assert bool(said) == remark


def test_times_count_handing_a_row_over_and_deciding(plain, folder, rows):
    class Known(PerThousandMacs):
        def setting(self, name=None):
            return SimpleNamespace(terms=SimpleNamespace(overhead_ms=0.5))

    softened = file_of(folder, "softened", 16, 3, softmax=True)
    free, priced = (gather(model, [plain, softened], rows) for model in (PerThousandMacs(), Known()))
    loop = RowLoop(0.5)
    assert priced.times_ms - free.times_ms == pytest.approx([loop.run_ms(4 * 19)] * 2)
    assert (free.decide_ms, priced.decide_ms) == (0.0, loop.decide_ms)
