"""What ``edgetime predict --mcu`` does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from edgetime import networks as files
from edgetime.microcontrollers import micro_result, without_time
from edgetime.prediction import Predictor
from edgetime.terminal import Terminal, options, views
from edgetime.terminal.microcontroller import microcontroller, microcontroller_batch
from profiler.errors import EdgetimeError, UsageError
from timemodel import TimeModel


def predict(given: Sequence[Path], setting: str | None, layers: views.Layers | None, out: Terminal) -> None:
    """Say what networks need on a microcontroller; the first of `given` may be the time model of one."""
    model = given[0] if given[0].name.endswith(".json") else None
    paths = files.expand(given if model is None else given[1:])
    if not paths:
        raise UsageError("Name the networks too: edgetime predict MODEL.timemodel.json NET.tflite --mcu.")
    results: list[dict[str, Any]] = []
    failed = 0
    with contextlib.ExitStack() as undo:
        predictor = None
        if model is not None:
            known = TimeModel.load(model)
            key = options.find_setting(known.settings, setting) if setting is not None else None
            predictor = undo.enter_context(Predictor(known, setting=key))
        elif setting is not None:
            raise UsageError("--setting goes with a time model: name one, or leave it out.")
        progress = undo.enter_context(out.progress("Predict"))
        for done, path in enumerate(paths):
            progress(done / len(paths), path.name)
            try:
                found = [_one(path, signature, predictor, out) for signature in files.signatures(path)]
            except EdgetimeError as error:
                if len(paths) == 1:
                    raise
                out.complain(str(error))
                failed += 1
                continue
            for result in found:
                out.json(result)
            results += found
        progress(1.0, "")
    if len(results) > 1:
        out.show(*microcontroller_batch(results))
    for result in results if len(results) == 1 else ():
        if result["predicted_ms"] is not None:
            out.show(*views.prediction(result, layers or views.Layers.top), "")
        out.show(*microcontroller(result))
    if failed:
        out.complain(f"{failed} of {len(paths)} networks could not be predicted.")
        raise typer.Exit(1)


def _one(path: Path, signature: str | None, predictor: Predictor | None, out: Terminal) -> dict[str, Any]:
    read = files.read(path, signature=signature)
    result = without_time(read.network, signature)
    if predictor is not None:
        result, warnings = predictor.predict(path, signature=signature)
        for warning in warnings:
            out.warn(warning)
    return {**result, **micro_result(read)}
