"""`compress --max-accuracy-drop` with one speaker to choose by, judged on another speaker that it never sees.

    python -m benchmarks.compression.promise.unseen --work DIR --time-model MODEL.timemodel.json [--drop 0.5] [--minutes 6]

Trains a network of spoken digits on four speakers, once; compresses it with the fifth as validation data; runs every point on the
sixth. What is asked for: at least 3 times as fast, and no worse than 3 points (two standard errors there).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression import tasks_sound
from benchmarks.compression.promise.__main__ import DATA
from profiler.errors import BudgetError

_SEEN, _VALIDATION, _UNSEEN = 4, 4, 5
"""So many speakers are trained on; the places of the other two by name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, compress, judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression.promise.unseen", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--time-model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--drop", type=float, default=0.5, help="points that may be lost")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--method", default=None, help="default: that of compress")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    arrays = tasks_sound.cached(options.data, options.work)
    speaker = np.unique(arrays["speaker"], return_inverse=True)[1].ravel()
    original = options.work / "sound.keras"
    if not original.exists():
        _train(arrays["x"][speaker < _SEEN], arrays["y"][speaker < _SEEN], original)
    result = _compress(options, arrays, speaker, original)
    unseen = speaker == _UNSEEN
    for line in judged(result, arrays["x"][unseen], arrays["y"][unseen]):
        print(line, flush=True)


def _train(x: Any, y: Any, place: Path) -> None:
    import keras

    from compressor.data import Data
    from compressor.training import FineTuner, Schedule, Task

    keras.utils.set_random_seed(0)
    model = tasks_sound.network(0.5)
    data = Data(x, y, x[::20], y[::20], augment=tasks_sound.augment)
    FineTuner(Task("softmax", data)).fit(model, Schedule(epochs=16, patience=99, alpha=0.0), last=True)
    model.save(place)


def _compress(options: argparse.Namespace, arrays: Any, speaker: Any, original: Path) -> Any:
    from compressor.data import Data
    from compressor.pipeline import compress
    from compressor.pipeline.result import CompressionResult

    train, held = speaker < _SEEN, speaker == _VALIDATION
    data = Data(
        arrays["x"][train], arrays["y"][train], arrays["x"][held], arrays["y"][held],
        groups=arrays["speaker"][train], groups_val=arrays["speaker"][held], augment=tasks_sound.augment,
    )  # fmt: skip
    out = options.work / "compressed"
    asked = {} if options.method is None else {"method": options.method}
    try:
        return compress(
            original, data, options.time_model, out, max_accuracy_drop=options.drop, minutes=options.minutes,
            resume=options.resume, warn=print, **asked,
        )  # fmt: skip
    except BudgetError as error:
        print(error)
        return CompressionResult.load(out)


def judged(result: Any, x: Any, y: Any) -> list[str]:
    """What each point loses on rows that nothing has seen, with two standard errors, and what was said."""
    from compressor.export import TfliteRunner

    def right(name: str) -> Any:
        return np.asarray(TfliteRunner(Path(result.folder) / name).predict(x)).argmax(axis=-1) == y

    before = right(result.before.tflite)
    lines = [f"original: {before.mean():.1%} of {len(y)} rows"]
    for point in result.points:
        lost = 100 * (before.astype(float) - right(point.tflite))
        error = 2 * lost.std() / np.sqrt(len(lost))
        faster = result.before.time_ms / point.time_ms
        chosen = ", chosen" if point.chosen else ""
        lines.append(f"{point.tflite}{chosen}: {faster:.1f}x, {lost.mean():.1f} points lost, ± {error:.1f}")
    return [*lines, *result.notes]


if __name__ == "__main__":
    main()
