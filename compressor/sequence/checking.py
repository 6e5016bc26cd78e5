"""A sequence-to-sequence file against Keras, step by step, hypotheses changing places as in a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.export import require
from compressor.sequence.parts import Arrays, Named, walk

_SOURCES = 4
_STEPS = 5


@dataclass(frozen=True)
class StepComparison:
    """Of rows (hypotheses in steps): in what share the likeliest token is the same, and how far scores are apart.

    `difference` is the root of the mean squared difference of the scores, relative to how much Keras' scores vary.
    """

    rows: int
    agreement: float
    difference: float
    vocabulary: int


def compare_steps(
    path: Path, encoder: Named, steps: Mapping[int, Named], sources: Sequence[Sequence[int]], begin: int
) -> StepComparison:
    """Walk the file and Keras over the same tokens, each with its own states."""
    require("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    same = rows = vocabulary = 0
    squares = variance = 0.0
    for width, step in steps.items():
        runs = [
            (encoder.function(), step.function()),
            (_runner(interpreter, "encode"), _runner(interpreter, f"step_{width}")),
        ]
        for number, source in enumerate(sources[:_SOURCES]):
            walks = [walk(*pair, encoder, step, source, _wanderer(width, begin, number)) for pair in runs]
            for (_, wanted), (_, found) in zip(*walks, strict=True):
                a, b = wanted["logits"], found["logits"]
                same += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
                rows += len(a)
                squares += float(((a - b) ** 2).mean(axis=1).sum())
                variance += float(a.var(axis=1).sum())
                vocabulary = a.shape[1]
    return StepComparison(rows, same / rows, float(np.sqrt(squares / max(variance, 1e-30))), vocabulary)


def _wanderer(
    width: int, begin: int, seed: int
) -> Callable[[int, NDArray[Any] | None], tuple[NDArray[np.int32], NDArray[np.intp]] | None]:
    """Tokens and changes of places drawn alike for both: what is likely in one network need not be in the other."""
    generator = np.random.default_rng(seed)

    def choose(number: int, logits: NDArray[Any] | None) -> tuple[NDArray[np.int32], NDArray[np.intp]] | None:
        if number == _STEPS:
            return None
        if logits is None:
            return np.full(width, begin, np.int32), np.zeros(width, np.intp)
        tokens = generator.integers(0, logits.shape[1], width).astype(np.int32)
        return tokens, generator.integers(0, width, width)

    return choose


def _runner(interpreter: Any, signature: str) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
    runner = interpreter.get_signature_runner(signature)
    return lambda given: {name: np.array(value) for name, value in runner(**given).items()}
