"""Accuracies of networks that a compression made, as its ``result.json`` has them: nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import DataError

if TYPE_CHECKING:
    from compressor.pipeline.result import CompressionResult


@dataclass(frozen=True)
class KnownAccuracies:
    """Accuracies by file, and in words of which rows and whence; empty where they are not known of all files.

    `reason` says why those that are known are not used: networks can be compared only on the same rows.
    """

    by_path: Mapping[Path, float] = field(default_factory=dict)
    judged_on: str = ""
    reason: str = ""


def compressed_accuracies(paths: Sequence[Path]) -> KnownAccuracies:
    """What compressions say of networks that they made, where each of `paths` is one."""
    read = cache(_read)
    scores: dict[Path, float] = {}
    results: dict[Path, CompressionResult] = {}
    for path in paths:
        for folder in path.absolute().parents[:2]:
            result = read(folder)
            score = None if result is None else _scores(result).get(path.absolute())
            if result is not None and score is not None:
                scores[path], results[folder] = score, result
                break
    if not scores:
        return KnownAccuracies()
    places = " and ".join(str(folder / "result.json") for folder in results)
    unknown = [path for path in paths if path not in scores]
    if unknown:
        reason = (
            f"{places} has no accuracy of {unknown[0]}, so networks are ranked by time alone: give --data."
        )
        return KnownAccuracies(reason=reason)
    kinds = {(result.score_name, result.test_rows) for result in results.values()}
    if len(kinds) > 1:
        reason = f"{places} have scores of different rows, so networks are ranked by time alone: give --data."
        return KnownAccuracies(reason=reason)
    ((_, rows),) = kinds
    return KnownAccuracies(scores, f"{rows} test rows, as {places} has it")


def _read(folder: Path) -> CompressionResult | None:
    """The result of a compression in a folder; None where there is none, or somebody else's file of this name."""
    if not (folder / "result.json").is_file():
        return None
    from compressor.pipeline.result import CompressionResult

    try:
        return CompressionResult.load(folder)
    except DataError:
        return None


def _scores(result: CompressionResult) -> dict[Path, float]:
    """Score of each file on the test rows: mean over seeds."""
    originals = [facts for facts in (result.before, result.quantized) if facts is not None]
    named = [
        *((one.tflite, one.score) for one in result.points),
        *((one.tflite, one.mean_score) for one in originals),
    ]
    return {Path(result.folder) / name: score for name, score in named}
