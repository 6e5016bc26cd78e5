"""`--finetune-epochs`: a quantised file whose weights were trained with the rounding in them, written and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from compressor.export import (
    CALIBRATION_ROWS,
    WEIGHTS_ALONE,
    Checked,
    Comparison,
    ExportResult,
    Given,
    TfliteRunner,
    calibration_rows,
    compare_networks,
    lean,
    opened,
    quantize_weights,
    to_tflite_bytes,
    write_checked,
)
from compressor.weights.quantization.assignment import QuantizableNetwork
from compressor.weights.quantization.finetuning import Quantize, finetune
from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent, sub_progress

TRAINABLE = ("int8", "dynamic", "weight-int8", "weight-int4")
"""Recipes whose weights can be trained."""


def export_finetuned(
    model: Any,
    out: str | os.PathLike[str],
    quantize: str,
    calibration: Given | None,
    epochs: int,
    *,
    check_data: Given | None = None,
    max_drop: float = 1.0,
    min_agreement: float = 0.95,
    allow_drop: bool = False,
    input_shape: Any = None,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> ExportResult:
    """Write a Keras model as a quantised `.tflite` of which the weights were trained to be integers.

    Parameters
    ----------
    model, out, check_data, max_drop, min_agreement, allow_drop, input_shape
        As of `compressor.export.export`.
    quantize
        One of `TRAINABLE`.
    calibration
        Typical inputs; all rows are trained on, with the float network's outputs as the example.
    epochs
        Passes over these rows.
    seed
        Of the rows' order.
    progress
        Told how far it is.

    Returns
    -------
    ExportResult
        Its notes say what training changed. Where the file answers less like the model than the untrained one does, that one is
        written.

    Raises
    ------
    UsageError, DataError, ModelFileError, EdgetimeError
        As `compressor.export.export`; UsageError too where weights of this recipe or operators of the network cannot be trained.
    """
    check_epochs(epochs, quantize)
    progress(0.0, "reading the model")
    checked = opened(model, out, quantize, calibration, check_data, max_drop, min_agreement, input_shape)
    rows = training_rows(checked)
    source, removed = lean(checked.model, checked.rows.inputs)
    plain = to_tflite_bytes(source, input_shape=input_shape)
    recipe = _recipe(checked, plain, quantize)
    untrained = recipe(plain)
    found = finetune(plain, recipe, rows, epochs, seed, sub_progress(progress, 0.1, 0.9))
    first, then = (
        compare_networks(checked.model, TfliteRunner(one), checked.rows) for one in (untrained, found.content)
    )
    better = _standing(then) >= _standing(first)
    content = found.content if better else untrained
    result = write_checked(checked, content, quantize, "float32", max_drop, min_agreement, allow_drop)
    progress(1.0, "done")
    return replace(result, notes=(*removed, *result.notes, _change(first, then, epochs, rows, better)))


def check_epochs(epochs: int, quantize: str) -> None:
    """Refuse epochs or recipes that cannot be trained, by UsageError."""
    if not 1 <= epochs <= 1000:
        raise UsageError(f"--finetune-epochs is 1 to 1000, not {epochs}.")
    if quantize not in (*TRAINABLE, "auto"):
        raise UsageError(
            f"--finetune-epochs trains weights to be integers of {', '.join(TRAINABLE)} or auto, not of {quantize}: "
            "choose one of these."
        )


def training_rows(checked: Checked) -> Mapping[str, npt.NDArray]:
    """All typical inputs, by name."""
    if checked.known is None:
        raise UsageError(
            "--finetune-epochs needs inputs to train on: give training rows with --calibration D.npz."
        )
    return calibration_rows(checked.known, checked.specs, most=10**9)


def _recipe(checked: Checked, plain: bytes, quantize: str) -> Quantize:
    if quantize in WEIGHTS_ALONE:
        return lambda content: quantize_weights(content, quantize)
    assert checked.known is not None
    network = QuantizableNetwork(plain, calibration_rows(checked.known, checked.specs, CALIBRATION_ROWS))
    assignment = network.uniform(quantize)
    return lambda content: network.with_weights(content).build(assignment)


def _standing(one: Comparison) -> tuple[float, float]:
    accuracy = one.accuracy_after if one.accuracy_after is not None else one.agreement
    return accuracy or 0.0, -one.relative_difference


def _change(
    first: Comparison, then: Comparison, epochs: int, rows: Mapping[str, npt.NDArray], better: bool
) -> str:
    count = len(next(iter(rows.values())))
    what = f"Fine-tuned as integers for {epochs} epoch{'s' * (epochs > 1)} on {count:,} rows"
    if not better:
        return f"{what}, which made it no better: the file without that was written."
    if first.drop_points is not None and then.drop_points is not None:
        changes = -then.drop_points, -first.drop_points
        return f"{what}: accuracy changes by {changes[0]:+.2f} points in place of {changes[1]:+.2f}."
    if first.agreement is not None and then.agreement is not None:
        return f"{what}: the same class on {then.agreement:.1%} of rows in place of {first.agreement:.1%}."
    return (
        f"{what}: outputs differ by {then.relative_difference:.1%} of their variation in place of "
        f"{first.relative_difference:.1%}."
    )
