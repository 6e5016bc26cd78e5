"""``edgetime exits``: a network with exits and its policy, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from compressor import Data, Schedule
from compressor.testing.keras_task import bars, bars_network
from compressor.training import FineTuner, task_of
from edgetime.cli import app
from edgetime.report.selection import is_selection


def run(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network and its rows."""
    folder = tmp_path_factory.mktemp("task")
    (x, y), (x_val, y_val), (x_test, y_test) = bars(180, 0), bars(120, 1), bars(60, 2)
    np.savez(folder / "bars.npz", x=x, y=y, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test)
    keras.utils.set_random_seed(0)
    model = bars_network()
    data = Data(x=x, y=y, x_val=x_val, y_val=y_val)
    FineTuner(task_of(model, data)).fit(
        model, Schedule(epochs=4, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    model.save(folder / "bars.keras")
    return folder


def test_exits_predict_and_run_go_together(task: Path, time_model_file: Path):
    out = task / "early"
    asked = ["--data", task / "bars.npz", "--time-model", time_model_file, "-o", out, "--json"]
    more = ["--exits", 1, "--epochs", 4, "--frozen", "--max-accuracy-drop", 60]
    found = json.loads(run("exits", task / "bars.keras", *asked, *more).stdout)
    assert found["policy"] == str(out / "policy.json")
    lines = run("predict", time_model_file, out / "exits.tflite", "--json").stdout.splitlines()
    predicted = {row["signature"]: row["predicted_ms"] for row in map(json.loads, lines)}
    assert predicted == {one["signature"]: pytest.approx(one["predicted_ms"]) for one in found["segments"]}
    seen = json.loads(run("run", out / "policy.json", "--data", task / "bars.npz", "--json").stdout)
    assert seen["accuracy"] == pytest.approx(found["on_test"][0]["accuracy"])
    assert is_selection(found)  # so that `edgetime report` shows it beside other policies


def test_what_cannot_be_is_said_in_one_sentence(task: Path, time_model_file: Path, tmp_path: Path):
    asked = ["--data", task / "bars.npz", "--time-model", time_model_file, "-o", tmp_path]
    for more, status, sentence in (
        (["--head", "big"], 2, "--head is auto, pool or conv, not 'big'"),
        (["--exits", 0], 2, "--exits is 1 or more, not 0"),
        (["--after", "nowhere"], 2, "cannot be cut after 'nowhere'; it can after"),
        (["--quantize", "int16"], 2, "--quantize int16 does not go with exits"),
        (["--max-accuracy-drop", -1], 2, "A drop of -1 points makes no sense"),
    ):
        result = run("exits", task / "bars.keras", *asked, *more, status=status)
        assert sentence in result.stderr.replace("\n", " ")
        assert not list(tmp_path.iterdir())
