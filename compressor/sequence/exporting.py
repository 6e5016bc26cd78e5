"""`export_sequence`: an encoder and a decoder's step become one `.tflite` file that was compared with Keras step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.exits import Part, join
from compressor.export import argument_names, convert_named, in_float32
from compressor.sequence.checking import StepComparison, compare_steps
from compressor.sequence.heads import with_search
from compressor.sequence.parts import Named, check_parts, walk
from compressor.sequence.sharing import share_weights
from compressor.sequence.slices import slices_as_shapes
from profiler.errors import EdgetimeError, UsageError
from profiler.files import replacing
from profiler.progress import ProgressCallback, silent

ENCODER = "encode"
STEP = "step_"
QUANTIZE = ("none", "dynamic", "int8")

_CALIBRATION_STEPS = 200
_AGREEMENT = {"none": 0.99, "dynamic": 0.9, "int8": 0.85}
"""Share of rows whose likeliest token has to be Keras', by default. Many rows follow unlikely tokens, where little decides."""

_ENCODER_LIMIT = 0.1
"""Relative difference of scores above which the encoder of an int8 file is quantised dynamically."""


@dataclass(frozen=True)
class ExportedSequence:
    """A file that was written, and how its steps compare with Keras'.

    Parameters
    ----------
    path
        The `.tflite` file.
    widths
        Widths at which its step runs, rising.
    source_longest, vocabulary
        Most tokens of a source, and number of target tokens.
    longest
        Most steps that its caches hold; None where it has none.
    quantize, encoder_quantize
        One of `QUANTIZE`: the step's, and the encoder's, which is ``"dynamic"`` where int8 loses too much in it.
    file_bytes, shared_bytes
        Its size, and what sharing weights between widths saved.
    comparison
        Agreement and differences, over all widths.
    """

    path: Path
    widths: tuple[int, ...]
    source_longest: int
    vocabulary: int
    longest: int | None
    quantize: str
    encoder_quantize: str
    file_bytes: int
    shared_bytes: int
    comparison: StepComparison


def export_sequence(
    encoder: Any,
    decoder_step: Callable[[int], Any],
    out: str | os.PathLike[str],
    widths: Sequence[int] = (1, 2, 3, 4, 5),
    quantize: str = "none",
    sources: Sequence[Sequence[int]] | None = None,
    *,
    begin: int = 2,
    end: int = 3,
    min_agreement: float | None = None,
    progress: ProgressCallback = silent,
) -> ExportedSequence:
    """Write an encoder and a decoder's step as one file, whose widths share their weights.

    Parameters
    ----------
    encoder
        Keras model from ``tokens`` int32 [1, source] to outputs by name, such as a memory to attend to and first states.
    decoder_step
        Gives the Keras model of one step for a width: from ``token`` int32 [width], the encoder's outputs that it looks at, states
        [width, ...], and where it wants it ``position`` int32 [1], to ``logits`` [width, vocabulary], states of the same names,
        and where it has it ``attention`` [width, source]. A state that comes out without its second axis is one entry of a cache
        [width, steps, ...].
    out
        The `.tflite` file.
    widths
        How many hypotheses a step runs: see `choose_palette`.
    quantize
        ``"none"``; ``"dynamic"``, weights in int8 and activations quantised as they come; or ``"int8"``, calibrated, with an
        encoder in "dynamic" where int8 puts scores more than 10% off, as in recurrent ones. Inputs and outputs stay float32.
    sources
        Typical sources, as tokens: int8 is calibrated on them, and the file compared with Keras on some. Needed for int8.
    begin, end
        Tokens that begin and end every output.
    min_agreement
        Share of rows whose likeliest token has to be Keras'; default: 0.99, dynamic 0.9, int8 0.85.
        Judge int8 by its outputs, too.

    Raises
    ------
    UsageError
        The two do not fit together, or int8 has no sources.
    EdgetimeError
        The file answers otherwise than Keras.
    """
    wanted = sorted(set(widths))
    if not wanted or wanted[0] < 1:
        raise UsageError("Widths are whole numbers from 1: give at least one.")
    if quantize not in QUANTIZE:
        raise UsageError(f"quantize is one of {', '.join(QUANTIZE)}, not {quantize!r}.")
    if quantize == "int8" and not sources:
        raise UsageError(
            "int8 needs typical sources to find the ranges of activations: give some hundred as tokens."
        )
    encoded = Named.of(in_float32(encoder), "The encoder")
    source_longest = next(iter(encoded.inputs.values()))[0][1]
    rows = [list(map(int, row))[:source_longest] for row in sources or _random_sources(encoded)]
    steps = {}
    for width in wanted:
        steps[width] = Named.of(in_float32(decoder_step(width)), f"The decoder's step of width {width}")
        check_parts(encoded, steps[width])
        if quantize != "int8":  # whose softmax would know 256 probabilities
            steps[width] = with_search(steps[width], wanted[-1])
    narrow = (
        steps[wanted[0]] if wanted[0] == 1 else Named.of(in_float32(decoder_step(1)), "The decoder's step")
    )
    samples: dict[str, list[dict[str, NDArray[Any]]]] = {"encoder": [], "step": []}
    if quantize == "int8":
        progress(0.0, "decoding sources to calibrate with")
        samples = _calibration(encoded, narrow, rows, begin, end)
    parts = []
    for number, (width, step) in enumerate(steps.items()):
        progress(0.1 + 0.5 * number / len(steps), f"converting {STEP}{width}")
        widened = [_widened(one, step) for one in samples["step"]]
        parts.append(_part(step, f"{STEP}{width}", quantize, widened))
    path = Path(out)
    least = _AGREEMENT[quantize] if min_agreement is None else min_agreement
    with replacing(path) as temporary:
        for encoder_quantize in dict.fromkeys((quantize, *(("dynamic",) if quantize == "int8" else ()))):
            progress(0.6, f"converting {ENCODER}")
            first = _part(encoded, ENCODER, encoder_quantize, samples["encoder"])
            joined = join([first, *parts], hand_on=False)
            content = share_weights(slices_as_shapes(joined))
            temporary.write_bytes(content)
            progress(0.75, "comparing with Keras step by step")
            comparison = compare_steps(temporary, encoded, steps, rows, begin)
            # A recurrent encoder adds up the rounding of its state at every source token; the decoder starts from what it gives.
            if comparison.difference <= _ENCODER_LIMIT:
                break
        if comparison.agreement < least or not np.isfinite(comparison.difference):
            raise EdgetimeError(
                f"{path} names the likeliest token that Keras names in {comparison.agreement:.1%} of {comparison.rows} rows, and "
                f"{least:.0%} are asked for: "
                + (
                    "export it with quantize='dynamic'."
                    if quantize == "int8"
                    else "please report this as a bug of edgetime."
                )
            )
    progress(1.0, "done")
    step = steps[wanted[-1]]
    caches = [s for n, (s, _) in step.inputs.items() if _is_cache(step, n)]
    return ExportedSequence(
        path,
        tuple(wanted),
        source_longest,
        comparison.vocabulary,
        min((shape[1] for shape in caches), default=None),
        quantize,
        encoder_quantize,
        len(content),
        len(joined) - len(content),
        comparison,
    )


def step_bytes(decoder_step: Callable[[int], Any], width: int) -> bytes:
    """The float32 step of one width as a file of its own, to predict or measure its time."""
    named = Named.of(in_float32(decoder_step(width)), f"The decoder's step of width {width}")
    return _part(named, f"{STEP}{width}", "none", []).content


def _part(named: Named, signature: str, quantize: str, samples: list[dict[str, NDArray[Any]]]) -> Part:
    content = convert_named(named.model, named.inputs, quantize, samples)
    inputs = {plain: name for name, plain in argument_names(named.inputs).items()}
    return Part(content, signature, inputs, named.outputs)


def _is_cache(step: Named, name: str) -> bool:
    """Whether a state comes out without its second axis."""
    if name not in step.outputs:
        return False
    return len(step.model.output[name].shape) < len(step.inputs[name][0])


def _random_sources(encoder: Named) -> list[list[int]]:
    """Sources of small tokens, which every vocabulary has."""
    longest = next(iter(encoder.inputs.values()))[0][1]
    generator = np.random.default_rng(0)
    return [generator.integers(1, 4, generator.integers(1, longest + 1)).tolist() for _ in range(4)]


def _calibration(
    encoder: Named, step: Named, sources: Sequence[Sequence[int]], begin: int, end: int
) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """What encoder and step of width 1 take while the likeliest tokens are decoded."""
    encode, run = encoder.function(), step.function()
    (name,) = encoder.inputs
    shape = encoder.inputs[name][0]
    found: dict[str, list[dict[str, NDArray[Any]]]] = {"encoder": [], "step": []}
    longest = min([60, *(s[1] for n, (s, _) in step.inputs.items() if _is_cache(step, n))])

    def likeliest(
        number: int, logits: NDArray[Any] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.intp]] | None:
        token = begin if logits is None else int(logits[0].argmax())
        if number >= longest or token == end:
            return None
        return np.array([token], np.int32), np.zeros(1, np.intp)

    for source in sources:
        padded = np.zeros(shape, np.int32)
        padded[0, : len(source)] = source
        found["encoder"].append({name: padded})
        found["step"] += [dict(given) for given, _ in walk(encode, run, encoder, step, source, likeliest)]
        if len(found["step"]) >= 4 * _CALIBRATION_STEPS:
            break
    for part, rows in found.items():
        every = max(1, len(rows) // _CALIBRATION_STEPS)
        found[part] = rows[::every]
    return found


def _widened(given: Mapping[str, NDArray[Any]], step: Named) -> dict[str, NDArray[Any]]:
    """What a step of width 1 takes, for all hypotheses of a wider one alike: all widths get the same scales."""
    return {name: np.broadcast_to(given[name], shape).copy() for name, (shape, _) in step.inputs.items()}
