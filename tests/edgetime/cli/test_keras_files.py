"""Verbs that take Keras files, as real processes: TensorFlow is talkative, and stdout must not show it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "from edgetime.cli import main; main()"


@pytest.mark.slow
def test_predict_takes_a_keras_file_and_prints_nothing_but_json(time_model_file: Path, tmp_path: Path):
    import keras

    net = tmp_path / "net.keras"
    source = keras.Input((16, 16, 8))
    hidden = keras.layers.Conv2D(12, 3, padding="same", activation="relu")(source)
    keras.Model(source, keras.layers.GlobalAveragePooling2D()(hidden)).save(net)
    command = [sys.executable, "-c", CODE, "predict", str(time_model_file), str(net), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["network"] == "net.keras"
    assert [layer["op"] for layer in value["layers"]] == ["conv_2d", "mean"]
    assert value["coverage"] == 1


@pytest.mark.slow
def test_a_file_that_is_no_keras_model_is_named_in_one_sentence(time_model_file: Path, tmp_path: Path):
    net = tmp_path / "net.keras"
    net.write_text("hello")
    command = [sys.executable, "-c", CODE, "predict", str(time_model_file), str(net)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "net.keras" in result.stderr
    assert "Unexpected" not in result.stderr
