"""The demo, with less profiling and training than people get, from end to end and once more."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgetime.cli import app
from edgetime.demo.demo import Demo
from profiler.errors import EdgetimeError
from profiler.progress import ProgressCallback


class Listener:
    """Remembers what was shown."""

    def __init__(self):
        self.notes: list[str] = []
        self.stages: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[ProgressCallback]:
        self.stages.append(title)
        yield lambda fraction, note: None


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun: list[int] = []

    def profile(self: Demo, progress: ProgressCallback) -> None:
        begun.append(1)
        if len(begun) == 1:
            with pytest.raises(
                EdgetimeError, match=r"out is in use by process \d+ on .*another folder by --out"
            ):
                Demo(tmp_path / "out", Listener()).run()
        raise ZeroDivisionError

    monkeypatch.setattr(Demo, "_profile", profile)
    for _ in range(2):  # what failed has given the folder up
        with pytest.raises(ZeroDivisionError):
            Demo(tmp_path / "out", Listener()).run()
    assert len(begun) == 2


@pytest.mark.slow
def test_the_whole_demo_and_that_nothing_is_done_twice(tmp_path: Path):
    def demo(listener: Listener) -> Demo:
        few = {"epochs": 30, "compress_minutes": 0.8, "baseline_minutes": 0.6}
        return Demo(tmp_path / "out", listener, minutes=0.3, **few)

    first = Listener()
    summary = demo(first).run()
    assert len(first.stages) == 9

    names = [row["network"] for row in summary["networks"]]
    plain = [name.replace(" (goal missed: closest)", "") for name in names]
    assert plain == ["original", "uniform width", "compressed", "compressed, int8"]
    rows = dict(zip(plain, summary["networks"], strict=True))
    for row in rows.values():
        assert row["measured_ms"] > 0
        assert row["predicted_ms"] > 0
        assert 0 <= row["accuracy"] <= 1
    assert rows["original"]["accuracy"] > 0.8
    assert rows["compressed"]["predicted_ms"] < 0.5 * rows["original"]["predicted_ms"]
    assert rows["compressed"]["file_bytes"] < rows["original"]["file_bytes"]

    html = Path(summary["report"]).read_text()
    for words in (
        "Before and after",
        "Predicted against measured",
        "cut evenly",
        "conv_2d float32",
    ):
        assert words in html
    selection = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert len(selection["candidates"]) == len(names)

    second = Listener()
    assert demo(second).run() == summary
    assert second.stages == []
    assert sum("done before" in note for note in second.notes) == 9


@pytest.mark.parametrize("met", [True, False])
def test_the_summary_marks_what_missed_and_says_where_float32_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time_model_file: Path, met: bool
):
    """Made up: a compressed network that is slower than predicted, and slower still in int8."""
    stem = "compressed" if met else "closest"
    shutil.copy(time_model_file, tmp_path / "here.timemodel.json")
    for name, reached in (("uniform", True), ("compressed", met)):
        after: dict[str, object] = {
            f: f"{'compressed' if reached else 'closest'}.{f}" for f in ("keras", "tflite")
        }
        after["scores"] = [0.99, 0.97]
        value = {"met": reached, "missed": "" if reached else "No network was found", "after": after}
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(
            json.dumps({**value, "speedup_measured": 0.7, "drop_points": 1.0})
        )
    demo = Demo(tmp_path, Listener())
    files = demo._files()
    label = "compressed" if met else "compressed (goal missed: closest)"
    assert files == {
        "original": "original.tflite",
        "uniform width": "uniform/compressed.tflite",
        label: f"compressed/{stem}.tflite",
        f"{label}, int8": f"{stem}_int8.tflite",
    }
    lines = []
    for (what, file), measured_ms in zip(files.items(), (1.0, 1.0, 1.5, 3.0), strict=True):
        (tmp_path / file).write_bytes(b"x")
        times = {"predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1, "measured_ms": measured_ms}
        lines.append(json.dumps({"network": what, "accuracy": 0.9, "peak_memory_bytes": 1, **times}))
    (tmp_path / "predictions.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr("edgetime.report.write_report", lambda *rest: [])
    summary = demo._summary()
    assert [row["mark"] for row in summary["networks"]] == ["", ""] + [
        "measured outside the 90% interval"
    ] * 2
    assert summary["advice"] == "Keep float32 here: int8 takes 2 times as long on this device."
    assert summary["trainings"] == 2  # of which `drop_points` is a mean
    assert summary["calm_share"] == 1.0
    assert "The device was calm 100% of the time." in summary["device"]

    monkeypatch.setattr(Demo, "run", lambda self: summary)
    shown = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert ("Compressed: no faster (1.43x slower) (measured in turns)" in text) == met
    assert ("accuracy -1.00 points (mean of 2 trainings)." in text) == met
    assert ("The goal was missed. No network was found." in text) == (not met)
    assert summary["advice"] in text
    assert summary["device"] in text
