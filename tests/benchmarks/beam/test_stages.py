from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from benchmarks.beam import stages
from selector.sequence import FixedWidth, ThresholdPruning
from selector.sequence_tuning import SequenceCosts, TunedPoint
from selector.testing import RandomDecoder


def test_what_was_tuned_for_another_drop_is_tuned_again(tmp_path: Path, monkeypatch):
    network = RandomDecoder(widest=3)
    network.file = tmp_path / "network.tflite"
    network.file.write_bytes(b"weights")
    lines = ["3"], ["a"]
    policy = SimpleNamespace(network=network, tokens=lambda line: [int(line)])
    group = stages.Group("numbers-gru-float32", {1: policy}, "exact", lines, lines, tmp_path)
    fixed = TunedPoint(FixedWidth(3), 80.0, 3.0, 2.0, 3.0, (0.0, 0.0, 0.0), True)
    asked = []

    def tune(*given, worst_drop, **more):
        asked.append(worst_drop)
        gap = -0.1, -worst_drop, 0.1
        point = TunedPoint(ThresholdPruning(absolute=worst_drop, widest=3), 79.0, 2.0, 1.0, 2.0, gap, True)
        plain = {"fixed": fixed.to_dict(), "points": [one.to_dict() for one in (point, fixed)], "trials": 1}
        return SimpleNamespace(to_dict=lambda: plain)

    monkeypatch.setattr(stages, "tune_widths", tune)
    monkeypatch.setattr(stages, "measured_costs", lambda *given: SequenceCosts(1.0, {}))
    chosen = [stages.choose(group, 3, 1, 1.0, drop, lambda line: None) for drop in (0.5, 0.5, 2.0)]
    assert asked == [0.5, 2.0]
    assert [one.policies["threshold"].absolute for one in chosen] == [0.5, 0.5, 2.0]
