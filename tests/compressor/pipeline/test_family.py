"""Families: networks that are made for working together."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor import Data, Options, Schedule, compress, load_data
from compressor.costs import scaled
from compressor.export import to_tflite_bytes
from compressor.pipeline.final import family_targets
from compressor.pipeline.result import CompressionResult
from compressor.search import SearchMethod
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars, bars_network
from compressor.training import FineTuner, task_of
from edgetime.networks import expand
from profiler.errors import UsageError
from profiler.tflite import read_network

ONCE = Schedule(epochs=1, batch_size=32, learning_rate=5e-3)
OPTIONS = Options(search=ONCE, final=ONCE, finalists=1)


class Most(SearchMethod):
    """Tries one network, three quarters as wide."""

    name = "most"

    def search(self, problem):
        problem.try_configuration(scaled(problem.full, 0.75))


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> CompressionResult:
    folder = tmp_path_factory.mktemp("family")
    (x, y), (x_test, y_test) = bars(180, 0), bars(48, 1)
    data = Data(x=x, y=y, x_test=x_test, y_test=y_test)
    keras.utils.set_random_seed(0)
    model = bars_network({"first": 16, "second": 32, "third": 32})
    schedule = Schedule(epochs=3, batch_size=24, learning_rate=0.01, alpha=0.0)
    FineTuner(task_of(model, data.with_validation())).fit(model, schedule)
    model.save(folder / "bars.keras")
    original_ms = FormulaTimeModel().predict(read_network(to_tflite_bytes(model))).predicted_ms
    return compress(
        folder / "bars.keras", data, FormulaTimeModel(), folder / "out",
        budget_ms=0.8 * original_ms, family=3, method=Most(), seeds=1, measure=False, options=OPTIONS,
    )  # fmt: skip


def test_a_family_is_the_winner_and_ever_faster_networks(family: CompressionResult):
    times = [point.predicted_ms for point in family.points]
    assert len(times) == 3
    assert [point.chosen for point in family.points] == [False, False, True]
    assert all(later > 1.05 * earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] < family.before.predicted_ms


def test_its_folder_stands_for_its_networks_each_once(family: CompressionResult):
    folder = Path(family.folder)
    found = expand([folder])
    assert sorted(path.relative_to(folder).as_posix() for path in found) == [
        "original.tflite", "points/01.tflite", "points/02.tflite", "points/03.tflite",
    ]  # fmt: skip
    assert (folder / "compressed.tflite").exists()
    predicted = [FormulaTimeModel().predict(read_network(path)).predicted_ms for path in found]
    assert len(set(predicted)) == 4
    # The folder above is no result, and has another network.
    assert expand([folder.parent]) == [folder.parent / "bars.keras", *found]


def test_rows_that_no_network_was_trained_on_lie_beside_it(family: CompressionResult):
    held = load_data(Path(family.folder) / "held_out.npz")
    assert len(held.y) == family.validation_rows == 36
    train, _ = bars(180, 0)
    assert all((train == row).reshape(len(train), -1).all(axis=1).any() for row in held.x)
    note = next(note for note in family.notes if note.startswith("The best network of the family"))
    assert "edgetime select --per-input" in note


def test_a_folder_with_a_result_of_something_else_is_just_a_folder(tmp_path: Path):
    (tmp_path / "result.json").write_text('{"accuracy": 1}')
    (tmp_path / "net.tflite").touch()
    assert expand([tmp_path]) == [tmp_path / "net.tflite"]


@pytest.mark.parametrize("count", [1, 21])
def test_one_network_is_no_family(count: int, tmp_path: Path):
    with pytest.raises(UsageError, match=f"--family is 2 to 20 networks, not {count}"):
        compress("net.keras", "data.npz", "pc.timemodel.json", tmp_path, budget_ms=1, family=count)


@given(st.floats(0.01, 100), st.floats(1e-4, 1), st.integers(1, 8))
def test_the_fastest_comes_first_and_none_is_aimed_at_that_the_device_does_not_allow(winner_ms, share, count):
    found = family_targets(winner_ms, share * winner_ms, count)
    assert found == sorted(found)
    assert all(share * winner_ms <= time_ms < winner_ms for time_ms in found)
    ratios = np.diff(np.log([*found, winner_ms])) if found else []
    assert np.allclose(ratios, ratios[0]) if len(ratios) else share > 0.5


def test_times_are_evenly_spread_by_ratio():
    assert family_targets(1.0, 0.001, 2) == pytest.approx([0.45**2, 0.45])
    assert family_targets(1.0, 0.2, 2) == pytest.approx([0.26, 0.26**0.5])
    assert family_targets(1.0, 0.9, 2) == []
