"""``import edgetime as et``: what the README shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgetime as et


def test_from_a_profile_to_a_prediction(profile_db: Path, networks_folder: Path, tmp_path: Path):
    model = et.fit(profile_db)
    model.save(tmp_path / "m.timemodel.json")
    net = networks_folder / "conv.tflite"
    prediction = et.predict(tmp_path / "m.timemodel.json", net)
    assert isinstance(prediction, et.NetworkPrediction)
    assert prediction.predicted_ms > 0
    assert [layer.op for layer in prediction.layers] == ["conv_2d", "conv_2d"]
    assert et.predict(et.load_time_model(tmp_path / "m.timemodel.json"), et.read_network(net)) == prediction
    assert et.advise(model, et.read_network(net)).groups


def test_errors_have_one_base(tmp_path: Path):
    with pytest.raises(et.EdgetimeError, match="There is no time model"):
        et.load_time_model(tmp_path / "none.json")


@pytest.mark.slow
def test_profiling_and_measuring(networks_folder: Path, tmp_path: Path):
    summary = et.profile("local", tmp_path / "d.db", minutes=0.05, ops=("softmax",), dtypes=("float32",))
    assert summary.measured > 0
    measured = et.measure(networks_folder / "conv.tflite", seconds=0.1)
    assert measured.measured_ms > 0
    assert set(measured.layer_ms) == {0, 1}
