from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from benchmarks.beam import rivals
from benchmarks.beam.stages import Chosen, Group
from selector.sequence import FixedWidth, SearchOptions
from selector.testing import RandomDecoder


def test_rivals_are_no_wider_than_the_palette(tmp_path: Path, monkeypatch):
    policy = SimpleNamespace(
        network=RandomDecoder(widest=3),
        policy=SimpleNamespace(search=SearchOptions()),
        file=tmp_path / "numbers-gru-1-float32.json",
        tokens=lambda line: [int(line)],
        text_of=lambda found: str(found.tokens),
    )
    (tmp_path / "numbers-gru-1-ctranslate2").mkdir()
    monkeypatch.setattr(rivals, "_ctranslate2", lambda *given: lambda source: ("", 0))
    lines = ["3", "4"], ["a", "b"]
    group = Group("numbers-gru-float32", {1: policy}, "exact", lines, lines, tmp_path)
    fixed = {f"fixed {width}": FixedWidth(width) for width in (1, 2, 3)}
    found = rivals.compare(group, Chosen("fixed 3", fixed, {}, {}, 0), 2, 1, lambda line: None)
    assert [row["rival"] for row in found] == [
        "fixed 1", "fixed 3", "by sums, fixed 3", "by sums, best first 3",
        *(f"CTranslate2 {kind} {width}" for kind in ("float32", "int8") for width in (1, 3)),
    ]  # fmt: skip
