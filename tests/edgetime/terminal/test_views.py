"""What `predict` shows, from lines of its ``--json``."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from edgetime.terminal import views


def result(**more: Any) -> dict[str, Any]:
    """A network's prediction, as ``predict --json`` gives it."""
    return {
        "network": "net.tflite", "dtype": "float32", "device": "Board, 4 cores", "threads": 1, "layers": [], "predicted_ms": 2.0,
        "low_ms": 1.8, "high_ms": 2.2, "measured_ms": None, "measured_p90_ms": None, "load_ms": None, "first_ms": None,
        "coverage": 1.0, "uncovered": [], "peak_memory_bytes": 0, **more,
    }  # fmt: skip


def shown(parts: list, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    for part in parts:
        console.print(part)
    return console.file.getvalue().splitlines()


LOAD = {"met_p50_ms": 3.0, "met_p90_ms": 4.5}


def test_the_time_under_load_is_a_line_of_its_own() -> None:
    lines = shown(views.prediction(result(**LOAD), views.Layers.none))
    assert "  under the load that the profile met 3.00 ms, 90th percentile 4.50 ms" in lines
    assert all("load" not in line for line in shown(views.prediction(result(), views.Layers.none)))


def test_of_several_networks_the_time_under_load_is_two_columns() -> None:
    head, *rows = shown(views.batch([result(**LOAD), result(network="other.tflite", **LOAD)]), 100)
    assert "load p90" in head
    assert "load p50" in head
    assert all("3.00 ms" in row and "4.50 ms" in row for row in rows[-2:])
    assert "load" not in " ".join(shown(views.batch([result(), result()]), 100))


def test_energy_is_shown_where_it_is_known() -> None:
    layer = {
        "index": 0,
        "op": "relu",
        "name": "a",
        "macs": 0,
        "predicted_ms": 2.0,
        "measured_ms": None,
        "covered": True,
    }
    known = result(energy_mj=12_345.0, layers=[{**layer, "energy_mj": 4.5}])
    lines = shown(views.prediction(known, views.Layers.all), 100)
    assert any("energy" in line for line in lines)
    assert any("4.5 mJ" in line for line in lines)
    assert any("12.3 J" in line for line in lines)
    assert any("12.3 J" in line for line in shown(views.batch([known, result(energy_mj=None)]), 100))
    unknown = [result(layers=[{**layer, "energy_mj": None}])]
    assert "energy" not in " ".join(
        shown(views.prediction(unknown[0], views.Layers.all) + views.batch(unknown))
    )
