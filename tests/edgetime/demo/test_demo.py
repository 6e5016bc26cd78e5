"""The demo, with less profiling and training than people get, from end to end and once more."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetime.demo.demo import TEST_FILES, Demo
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
    assert names == list(TEST_FILES)
    rows = dict(zip(names, summary["networks"], strict=True))
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
    assert len(selection["candidates"]) == len(TEST_FILES)

    second = Listener()
    assert demo(second).run() == summary
    assert second.stages == []
    assert sum("done before" in note for note in second.notes) == 9
