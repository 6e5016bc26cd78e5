"""A network that is trained in a moment: bars in pictures, three convolutions, its hard rows made hard."""

from __future__ import annotations

import keras
import pytest

from compressor import Data, Schedule
from compressor.testing.keras_task import bars, bars_network
from compressor.training import FineTuner, task_of


@pytest.fixture(scope="session")
def data() -> Data:
    (x, y), (x_val, y_val) = bars(240, 0), bars(96, 1)
    return Data(x=x, y=y, x_val=x_val, y_val=y_val, source="bars.npz")


@pytest.fixture(scope="session")
def trained(data: Data, tmp_path_factory: pytest.TempPathFactory):
    """The file of the trained network."""
    keras.utils.set_random_seed(0)
    model = bars_network()
    schedule = Schedule(epochs=4, batch_size=16, learning_rate=0.01, alpha=0.0)
    FineTuner(task_of(model, data)).fit(model, schedule)
    path = tmp_path_factory.mktemp("exits") / "bars.keras"
    model.save(path)
    return path
