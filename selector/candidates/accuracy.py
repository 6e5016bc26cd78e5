"""How accurate a network is on rows with labels, found by running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import DataError

if TYPE_CHECKING:
    from compressor.data import Data


def network_accuracy(path: Path, data: Data) -> float:
    """Accuracy of a ``.tflite`` file, or what `Data.metric` gives, on the rows that are held out."""
    from compressor.data import check_fits
    from compressor.export import TfliteRunner, accuracy

    runner = TfliteRunner(path)
    _, x, y = data.held_out()
    if callable(data.metric):
        return float(data.metric(runner, (x, y)))
    if not data.is_classification:
        raise DataError(
            f"{data.source} defines a loss but no metric: define metric(model, (x, y)) to judge by."
        )
    outputs = runner.predict(x)
    if isinstance(outputs, list):
        raise DataError(f"{path} has {len(outputs)} outputs: give a Python file with metric(model, (x, y)).")
    if not isinstance(x, Mapping):  # `predict` has checked the shapes of several inputs
        check_fits(data, next(iter(runner.input_shapes.values()))[1:], outputs.shape[-1])
    return accuracy(outputs, y)
