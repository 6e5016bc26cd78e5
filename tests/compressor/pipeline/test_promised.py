"""From files to a promise: rows kept aside confirm what is handed over; every point can be rebuilt without edgetime."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from compressor import Options, Schedule, compress
from compressor.costs import scaled
from compressor.data import Data
from compressor.pipeline.result import CompressionResult
from compressor.search import SearchMethod
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars, bars_network
from compressor.training import FineTuner, task_of

ONCE = Schedule(epochs=1, batch_size=32, learning_rate=2e-3)
OPTIONS = Options(search=ONCE, final=ONCE, finalists=1)

FILES = ("bars.keras", "bars.npz", "new.keras")


class Most(SearchMethod):
    """Tries one network, nearly as wide."""

    name = "most"

    def search(self, problem):
        problem.try_configuration(scaled(problem.full, 0.8))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[CompressionResult, Path]:
    folder = tmp_path_factory.mktemp("promised")
    (x, y), (x_val, y_val) = bars(240, 0), bars(400, 1)
    keras.utils.set_random_seed(0)
    model = bars_network()
    FineTuner(task_of(model, Data(x, y, x_val, y_val))).fit(
        model, Schedule(epochs=10, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    model.save(folder / "bars.keras")
    data = folder / "bars.npz"
    np.savez(data, x=x, y=y, x_val=x_val, y_val=y_val, speaker=np.arange(240) // 20)
    result = compress(
        folder / "bars.keras", data, FormulaTimeModel(), folder / "out", max_accuracy_drop=15.0, points=2, method=Most(),
        seeds=1, measure=False, options=OPTIONS,
    )  # fmt: skip
    return result, folder


def test_half_of_the_validation_rows_confirm_what_the_others_chose(made):
    result, _ = made
    assert result.validation_rows == pytest.approx(200, abs=2)
    assert result.confirmed["holds"]
    assert result.promise["most"] == 0.15
    assert result.promise["sentence"].startswith(
        "With 95% confidence at most 15 points of accuracy are lost on new data"
    )
    assert any("validation rows that chose nothing): " in note for note in result.notes)
    assert any("--groups speaker" in note for note in result.notes)
    assert CompressionResult.load(result.folder).confirmed == json.loads(json.dumps(result.confirmed))


def test_every_point_has_what_it_loses_with_an_interval(made):
    result, _ = made
    assert result.losses_on == "validation"
    for point in result.points:
        assert point.lost_low < point.lost < point.lost_high
        assert point.lost_at_most is None  # those rows chose


def test_a_script_of_under_40_lines_rebuilds_and_trains_a_point_without_edgetime(made):
    result, folder = made
    script = folder / "out" / "rebuild.py"
    assert len(script.read_text().splitlines()) < 40
    point = folder / "out" / result.points[0].keras
    given = [str(place) for place in (point.with_suffix(".json"), *(folder / n for n in FILES))]
    alone = (
        "import sys; sys.modules.update(dict.fromkeys(['edgetime', 'compressor', 'profiler', 'timemodel']));"
        f"sys.argv[1:] = {given}; exec(compile(open({str(script)!r}).read(), 'rebuild.py', 'exec'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", alone], capture_output=True, text=True, cwd=folder, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    new, old = keras.models.load_model(folder / "new.keras"), keras.models.load_model(point)
    assert [w.shape for w in new.weights] == [w.shape for w in old.weights]
    assert summary(new) == summary(old)


def summary(model) -> str:
    lines = []
    model.summary(print_fn=lines.append, line_length=100)
    return "".join(lines).split("Total")[0]
