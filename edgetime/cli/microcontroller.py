"""What ``edgetime predict --mcu`` does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edgetime import networks as files
from edgetime.microcontrollers import micro_result, without_time
from edgetime.prediction import Predictor
from edgetime.terminal import Answer, Terminal, each_network, end_of_batch, microcontroller, options, views
from profiler.errors import UsageError
from timemodel import TimeModel


def predict(given: Sequence[Path], setting: str | None, layers: views.Layers | None, out: Terminal) -> None:
    """Say what networks need on a microcontroller; the first of `given` may be the time model of one."""
    model = given[0] if given[0].name.endswith(".json") else None
    paths = files.expand(given if model is None else given[1:])
    if not paths:
        raise UsageError("Name the networks too: edgetime predict MODEL.timemodel.json NET.tflite --mcu.")
    with contextlib.ExitStack() as undo:
        predictor = None
        if model is not None:
            known = TimeModel.load(model)
            key = options.find_setting(known.settings, setting) if setting is not None else None
            predictor = undo.enter_context(Predictor(known, setting=key))
        elif setting is not None:
            raise UsageError("--setting goes with a time model: name one, or leave it out.")
        progress = undo.enter_context(out.progress("Predict"))
        results, failed = each_network(
            paths, lambda path, signature: _answer(path, signature, predictor), out, progress
        )
    if len(results) > 1:
        out.show(*microcontroller.batch(results))
    for result in results if len(results) == 1 else ():
        if result["predicted_ms"] is not None:
            out.show(*views.prediction(result, layers or views.Layers.top), "")
        out.show(*microcontroller.one(result, out.width))
    end_of_batch(failed, len(paths), out)


def _answer(path: Path, signature: str | None, predictor: Predictor | None) -> Answer:
    read = files.read(path, signature=signature)
    known: Answer = without_time(read.network, signature), ()
    if predictor is not None:
        known = predictor.predict(path, signature=signature)
    result, warnings = known
    return {**result, **micro_result(read)}, warnings
