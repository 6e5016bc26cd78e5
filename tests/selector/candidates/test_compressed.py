"""Accuracies that compressions have found already."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor.pipeline.result import CompressionResult, FrontPoint
from compressor.pipeline.result.compression_result import NetworkFacts
from selector.candidates import compressed_accuracies

COSTS = {"predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1, "measured_ms": None, "measured_p90_ms": None}


def facts(tflite, scores):
    return NetworkFacts(
        **COSTS, parameters=9, macs=9, tflite=tflite, keras=None, quantize="none", score=scores[0],
        scores=scores, validation_score=None, file_bytes=9,
    )  # fmt: skip


def compression(folder: Path, test_rows: int = 40, **changes) -> list[Path]:
    """A folder as ``edgetime compress`` leaves it; the files of its point, of another one and of the original."""
    points = [
        FrontPoint(
            **COSTS, parameters=9, macs=9, keras="", tflite=name, chosen=name == "compressed.tflite", widths={},
            validation_score=0.5, score=score, seeds=2, size_bytes=9, on_front=True,
        )
        for name, score in (("compressed.tflite", 0.8), ("points/1.tflite", 0.7))
    ]  # fmt: skip
    (folder / "points").mkdir(parents=True)
    result = CompressionResult(
        folder=str(folder), method="optuna", device="d", setting="s", quantize="none", seed=0, seeds=2, budget_ms=1.0,
        max_accuracy_drop=None, met=True, score_name="accuracy", test_rows=test_rows,
        before=facts("original.tflite", (0.9,)), quantized=None, after=facts("compressed.tflite", (0.7, 0.9)),
        speedup_measured=None, speedup_low=None, speedup_high=None, widths=(), frozen=(), trials=(), seconds=1.0,
        points=tuple(points), **changes,
    )  # fmt: skip
    result.save()
    for file in result.networks():
        file.touch()
    return result.networks()


def test_each_file_has_the_score_of_its_network_on_the_test_rows(tmp_path):
    paths = compression(tmp_path / "a")
    known = compressed_accuracies(paths)
    assert [known.by_path[path] for path in paths] == [0.8, 0.7, 0.9]
    assert known.judged_on == f"40 test rows, as {tmp_path / 'a' / 'result.json'} has it"
    assert known.reason == ""


def test_other_networks_or_other_rows_leave_times_alone(tmp_path):
    first, second = compression(tmp_path / "a"), compression(tmp_path / "b", test_rows=50)
    other = tmp_path / "other.tflite"
    other.touch()
    known = compressed_accuracies([*first, other])
    assert not known.by_path
    assert f"no accuracy of {other}" in known.reason
    known = compressed_accuracies([*first, *second])
    assert not known.by_path
    assert "scores of different rows" in known.reason
    third = compression(tmp_path / "c")
    assert len(compressed_accuracies([*first, *third]).by_path) == 6


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_of_no_compression_says_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    known = compressed_accuracies([tmp_path / "net.tflite"])
    assert (known.by_path, known.judged_on, known.reason) == ({}, "", "")
