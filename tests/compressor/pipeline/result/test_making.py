"""Figures of the files side by side."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from compressor.pipeline.result import making
from compressor.pipeline.result.files import PointFiles


@pytest.fixture
def figures(monkeypatch):
    """Two points and the original, of times 1, 2 and 4 ms, and of scores that a test gives."""
    times = {"point0.seed0": 1.0, "point1.seed0": 2.0, "original": 4.0}
    files = PointFiles({name: Path(f"/f/{name}.tflite") for name in times})
    made = making._Figures(None, Path("/f"), files, [None, None], {}, {}, None)

    def point(figures, number):
        name = f"point{number}.seed0"
        return making.FrontPoint(
            keras="", tflite=name, chosen=number == 0, widths={}, validation_score=made.validation[name],
            score=0.0, seeds=1, predicted_ms=times[name], low_ms=0.0, high_ms=0.0, measured_ms=None,
            measured_p90_ms=None, size_bytes=0, peak_memory_bytes=0, energy_mj=None, parameters=0, macs=0,
            on_front=True,
        )  # fmt: skip

    monkeypatch.setattr(making._Figures, "_point", point)
    monkeypatch.setattr(making._Figures, "facts", lambda figures, name: SimpleNamespace(time_ms=times[name]))
    return made


@pytest.mark.parametrize(
    ("fast", "slow", "original", "front"),
    [
        (0.8, 0.9, 0.95, [True, True]),
        (0.9, 0.9, 0.95, [True, False]),
        (0.8, 0.9, 0.7, [True, True]),
        (math.nan, 0.9, 0.95, [True, True]),
        (0.8, math.nan, math.nan, [True, False]),
    ],
)
def test_a_point_is_on_the_front_unless_another_is_as_fast_and_as_good(figures, fast, slow, original, front):
    figures.validation.update({"point0.seed0": fast, "point1.seed0": slow, "original": original})
    assert [point.on_front for point in figures.points()] == front


@pytest.mark.parametrize(("seconds", "said"), [(170.0, ""), (182.0, ""), (198.0, ""), (240.0, "It took 1")])
def test_only_a_run_that_took_longer_by_more_than_a_tenth_is_warned_of(seconds, said):
    found = making.overrun_warning(3.0, seconds)
    assert len(found) == bool(said)
    assert all(note.startswith(said) and "longer than --minutes 3 allows" in note for note in found)
    assert making.overrun_warning(None, seconds) == []
