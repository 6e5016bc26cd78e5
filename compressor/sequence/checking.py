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

Chosen = tuple[NDArray[np.int32], NDArray[np.intp]]
"""Last token of each hypothesis, and which of the step before it continues."""

Choose = Callable[[int, "NDArray[Any] | None"], "Chosen | None"]


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
    """Walk Keras over tokens that are likely to it, and the file over the same ones, each with its own states."""
    require("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    same = rows = vocabulary = 0
    squares = variance = 0.0
    for width, step in steps.items():
        keras, file = (
            (encoder.function(), step.function()),
            (_runner(interpreter, "encode"), _runner(interpreter, f"step_{width}")),
        )
        for number, source in enumerate(sources[:_SOURCES]):
            chosen: list[Chosen] = []
            wanted = [
                one["logits"]
                for _, one in walk(*keras, encoder, step, source, _likely(width, begin, number, chosen))
            ]
            found = [one["logits"] for _, one in walk(*file, encoder, step, source, _again(chosen))]
            for a, b in zip(wanted, found, strict=True):
                same += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
                rows += len(a)
                squares += float(((a - b) ** 2).mean(axis=1).sum())
                variance += float(a.var(axis=1).sum())
                vocabulary = a.shape[1]
    return StepComparison(rows, same / rows, float(np.sqrt(squares / max(variance, 1e-30))), vocabulary)


def _likely(width: int, begin: int, seed: int, chosen: list[Chosen]) -> Choose:
    """Hypotheses that change places, each with one of the three tokens that are likeliest after it; `chosen` keeps them."""
    generator = np.random.default_rng(seed)

    def choose(number: int, logits: NDArray[Any] | None) -> Chosen | None:
        if number == _STEPS:
            return None
        if logits is None:
            chosen.append((np.full(width, begin, np.int32), np.zeros(width, np.intp)))
        else:
            parents = generator.integers(0, width, width)
            ranks = generator.integers(0, min(3, logits.shape[1]), width)
            tokens = np.argsort(-logits[parents], axis=1, kind="stable")[np.arange(width), ranks]
            chosen.append((tokens.astype(np.int32), parents))
        return chosen[-1]

    return choose


def _again(chosen: Sequence[Chosen]) -> Choose:
    """The same tokens and places."""
    return lambda number, logits: chosen[number] if number < len(chosen) else None


def _runner(interpreter: Any, signature: str) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
    runner = interpreter.get_signature_runner(signature)
    return lambda given: {name: np.array(value) for name, value in runner(**given).items()}
