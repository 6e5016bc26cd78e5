"""Files of a result."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from compressor.costs import Configuration, Costs
from compressor.data import Data
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import Workspace
from compressor.pipeline.result.files import PointFiles, write_quantised
from compressor.search import Trial
from compressor.training import Task


class Written:
    """In place of precisions: a file says what it is in."""

    by_name = ("float32", "int8", "dynamic", "mixed")

    def export(self, model, place, precision, **options):
        place.write_text(f"{model} as {precision}")
        return SimpleNamespace(notes=["exported"])


PREPARED = SimpleNamespace(
    model="the original",
    task=Task("softmax", Data(np.zeros((2, 1)), np.arange(2))),
    precisions=Written(),
    precision_of=lambda configuration: configuration.precision,
    time_model=SimpleNamespace(setting=lambda: None),
)


def point(precision):
    trial = Trial(Configuration({"a": 1}).with_precision(precision), Costs(1.0), 0.9, 0.1)
    return Finalist(trial, (), (0.9,), True)


@pytest.mark.parametrize(
    ("place", "names"), [(0, {"original_int8.tflite"}), (1, {"original_mixed.tflite"}), (2, set())]
)
def test_the_quantised_original_is_in_the_precision_of_what_is_handed_over(tmp_path, place, names):
    (tmp_path / "original_dynamic.tflite").write_text("of an earlier run")
    points = [point(name) for name in ("int8", "mixed", "float32")]
    files = {f"point{n}.seed0": Path(f"{n}") for n in range(3)}
    made = PointFiles(
        {"original": Path("o"), **files},
        places=[(Path(), Path())] * 3,
        precisions={f"point{n}.seed0": point.trial.configuration.precision for n, point in enumerate(points)},
    ).lead(place)
    points[0], points[place] = points[place], points[0]
    notes = []
    write_quantised(PREPARED, Workspace(tmp_path, {}, False), made, points[0], notes)
    assert {path.name for path in tmp_path.glob("original_*")} == names
    assert len(notes) == len(names)
    if names:
        precision = made.precisions["point0.seed0"]
        assert made.tflite["quantized"].read_text() == f"the original as {precision}"
        assert list(made.tflite)[:2] == ["original", "quantized"]
    else:
        assert made.base == "original"
