"""`--quantize auto`: the fastest precision of every operator that keeps the accuracy, written, checked and explained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy.typing as npt

from compressor.export import (
    CALIBRATION_ROWS,
    Checked,
    Comparison,
    ExportResult,
    Given,
    TfliteRunner,
    calibration_rows,
    compare_networks,
    fault,
    lean,
    opened,
    to_tflite_bytes,
    write_checked,
)
from compressor.weights.quantization.assignment import FLOAT, QuantizableNetwork
from compressor.weights.quantization.clipping import clip
from compressor.weights.quantization.finetuning import finetune
from compressor.weights.quantization.reasons import reasons
from compressor.weights.quantization.search import MixedCandidate, search
from compressor.weights.quantization.training import check_epochs, training_rows
from profiler.errors import EdgetimeError, UsageError
from profiler.progress import ProgressCallback, silent, sub_progress
from profiler.tflite import read_network
from timemodel.model import NetworkPredictor

INT16 = "int16"
"""Int8 weights with int16 activations: of the whole network or not at all."""

_MOST_TRAINED = 2
"""Candidates that are fine-tuned, the fastest first."""

_WORTH = 0.97
"""A candidate is fine-tuned where it takes at most this share of the time of what keeps the accuracy without."""

SEARCH_ROWS = 128
"""Calibration rows on which the search compares outputs; divergence needs fewer than accuracy."""


@dataclass(frozen=True)
class Rival:
    """A file that could have been chosen: what it is, its predicted time, and points of accuracy (or of agreement) lost."""

    name: str
    predicted_ms: float
    lost_points: float | None


@dataclass(frozen=True)
class MixedResult:
    """A file of mixed precision that was written.

    Parameters
    ----------
    export
        The file and how it compares with the Keras model.
    predicted_ms
        Its time on the device.
    operators
        How many operators are what: ``{"int8": 44, "float32": 19}``.
    rivals
        All float32, all int8, all dynamic and (where its time is known) all int16 beside it.
    reasons
        Why operators are what they are, a sentence each.
    """

    export: ExportResult
    predicted_ms: float
    operators: dict[str, int]
    rivals: tuple[Rival, ...]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: those of the export, and ``mixed``."""
        mixed = {
            "predicted_ms": self.predicted_ms,
            "operators": self.operators,
            "rivals": [vars(rival) for rival in self.rivals],
            "reasons": list(self.reasons),
        }
        return {**self.export.to_dict(), "mixed": mixed}


def export_mixed(
    model: Any,
    out: str | os.PathLike[str],
    predictor: NetworkPredictor,
    calibration: Given,
    *,
    check_data: Given | None = None,
    max_drop: float = 1.0,
    min_agreement: float = 0.95,
    trials: int = 60,
    finetune_epochs: int = 0,
    seed: int = 0,
    input_shape: Any = None,
    progress: ProgressCallback = silent,
) -> MixedResult:
    """Write a Keras model as the fastest `.tflite` whose operators are float32, int8 or dynamic int8 and that keeps its accuracy.

    Candidates come from `search` and are tried from the fastest on, each on the rows to check on. Uniform files by TensorFlow's
    converter take part.

    Parameters
    ----------
    model, out, calibration, check_data, max_drop, min_agreement, input_shape
        As of `compressor.export.export`; calibration rows cannot be left out.
    predictor
        Says how long a file takes on the device.
    trials, seed
        Of the search.
    finetune_epochs
        Passes over the calibration rows by which faster candidates that lose too much are fine-tuned; 0 for none.
    progress
        Told how far it is.

    Raises
    ------
    UsageError, DataError, ModelFileError, EdgetimeError
        As `compressor.export.export`; EdgetimeError too where no operator can become integer.
    """
    if finetune_epochs:
        check_epochs(finetune_epochs, "auto")
    checked = opened(model, out, "auto", calibration, check_data, max_drop, min_agreement, input_shape)
    if checked.known is None:
        raise UsageError("--quantize auto needs typical inputs: give them with --calibration D.npz.")
    rows = calibration_rows(checked.known, checked.specs, CALIBRATION_ROWS)
    source, removed = lean(checked.model, checked.rows.inputs)
    plain = to_tflite_bytes(source, input_shape=input_shape)

    def predict_ms(content: bytes) -> float:
        found = predictor.predict(read_network(content))
        if found.at_least:
            raise EdgetimeError(
                f"Not all of the time of {checked.name} is known on {found.device}: {found.not_known}."
            )
        return found.predicted_ms

    progress(0.05, "calibrating")
    network = QuantizableNetwork(plain, rows)
    if not network.units:
        raise EdgetimeError(
            f"--quantize auto changes nothing in {checked.name}: no operator can become integer."
        )
    few = _few(rows, SEARCH_ROWS)
    clip(network, few, sub_progress(progress, 0.05, 0.15))
    front = search(
        network, few, predict_ms, trials=trials, seed=seed, progress=sub_progress(progress, 0.15, 0.8)
    )
    uniform = _uniform(network, source, checked, plain, predict_ms, input_shape)
    progress(0.85, "checking the fastest")

    @cache
    def compared(content: bytes) -> Comparison:
        return compare_networks(checked.model, TfliteRunner(content), checked.rows)

    def good(one: MixedCandidate) -> bool:
        return fault(compared(one.content), "int8", max_drop, min_agreement, checked.rows.real) is None

    pool = sorted((*front, *uniform.values()), key=lambda one: one.predicted_ms)
    chosen = next(filter(good, pool), uniform[FLOAT])
    faster = [
        one
        for one in pool
        if one.predicted_ms < _WORTH * chosen.predicted_ms and INT16 not in one.assignment.values()
    ]
    notes = list(removed)
    if faster and not finetune_epochs:
        notes.append(
            f"A file of {faster[0].predicted_ms:.3g} ms loses too much: --finetune-epochs 3 may make it good enough."
        )
    for one in faster[:_MOST_TRAINED] if finetune_epochs else ():
        trained = _trained(network, one, checked, finetune_epochs, seed, predict_ms, progress)
        if good(trained) and trained.predicted_ms < chosen.predicted_ms:
            chosen = trained
            notes.append(
                f"Without fine-tuning ({finetune_epochs} epochs) it would lose too much: {_loss(compared(one.content))}."
            )
            break
    export = write_checked(
        checked, chosen.content, "auto", "float32", max_drop, min_agreement, allow_drop=False
    )
    rivals = tuple(
        Rival(f"all {name}", one.predicted_ms, _lost_points(compared(one.content)))
        for name, one in uniform.items()
    )
    progress(1.0, "done")
    predictions = {
        name: predictor.predict(read_network(network.build(network.uniform(name))))
        for name in (FLOAT, "int8", "dynamic")
    }
    if INT16 in uniform:
        predictions[INT16] = predictor.predict(read_network(uniform[INT16].content))
    return MixedResult(
        replace(export, notes=(*export.notes, *notes)),
        chosen.predicted_ms,
        dict(Counter(chosen.assignment.values())),
        rivals,
        reasons(network, chosen, predictions, predictor.predict(read_network(chosen.content))),
    )


def _trained(
    network: QuantizableNetwork,
    one: MixedCandidate,
    checked: Checked,
    epochs: int,
    seed: int,
    predict_ms: Callable[[bytes], float],
    progress: ProgressCallback,
) -> MixedCandidate:
    """The candidate with its weights fine-tuned; as it is where its operators cannot be trained through."""
    try:
        found = finetune(
            network.content,
            lambda content: network.with_weights(content).build(one.assignment),
            training_rows(checked),
            epochs,
            seed,
            sub_progress(progress, 0.85, 0.95),
        )
    except EdgetimeError:
        return one
    return replace(one, content=found.content, predicted_ms=predict_ms(found.content))


def _loss(comparison: Comparison) -> str:
    lost = _lost_points(comparison)
    return "its outputs differ" if lost is None else f"{lost:.2f} points"


def _few(rows: Mapping[str, npt.NDArray], most: int) -> dict[str, npt.NDArray]:
    return {name: array[:: -(-len(array) // most)] for name, array in rows.items()}


def _uniform(
    network: QuantizableNetwork,
    source: Any,
    checked: Checked,
    plain: bytes,
    predict_ms: Any,
    input_shape: Any,
) -> dict[str, MixedCandidate]:
    """All float32; all int8, dynamic and (where its time is known) int16 as TensorFlow's converter makes them.

    Where that fails ai-edge-quantizer makes them, but for int16.
    """
    found = {FLOAT: MixedCandidate(network.uniform(FLOAT), plain, predict_ms(plain), 0.0)}
    for name in ("int8", "dynamic", INT16):
        try:
            content = to_tflite_bytes(
                source, name, None if name == "dynamic" else checked.known, input_shape=input_shape
            )
            time_ms = predict_ms(content)
        except EdgetimeError:
            if name == INT16:
                continue
            content = network.build(network.uniform(name))
            time_ms = predict_ms(content)
        assignment = dict.fromkeys(network.uniform(FLOAT), INT16) if name == INT16 else network.uniform(name)
        found[name] = MixedCandidate(assignment, content, time_ms, float("nan"))
    return found


def _lost_points(comparison: Comparison) -> float | None:
    if comparison.drop_points is not None:
        return comparison.drop_points
    return None if comparison.agreement is None else 100 * (1 - comparison.agreement)
