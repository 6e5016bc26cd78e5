"""Answers of networks that do not exist, with as many rows as a test wants, so that the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selector.candidates import Answers
from selector.runtime import PolicyNetwork, log_softmax

STRENGTHS = (1.25, 2.0, 2.5, 2.9)
TIMES_MS = (0.006, 0.023, 0.116, 0.523)


def synthetic_answers(
    rows: int,
    seed: int = 0,
    *,
    strengths: Sequence[float] = STRENGTHS,
    times_ms: Sequence[float] = TIMES_MS,
    classes: int = 10,
    shared: float = 0.6,
    groups: int | None = None,
) -> Answers:
    """Rows that are easy or hard for all networks alike, on which better networks see the class more clearly.

    Parameters
    ----------
    strengths
        How clearly each network sees the class; the defaults are right on 60, 73, 78 and 82% of rows.
    times_ms
        Their predicted times.
    shared
        Share of the networks' noise that is the same for all: at 1 they err on the same rows.
    groups
        So many groups, whose rows are easy or hard together; None for none.
    """
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, rows)
    ease = generator.normal(0, 0.9, rows)
    member = None if groups is None else generator.integers(0, groups, rows)
    if groups is not None:
        ease = 0.8 * ease + 0.5 * generator.normal(0, 1, groups)[member]
    common = generator.normal(size=(rows, classes))
    answers = []
    for strength in strengths:
        scores = np.sqrt(shared) * common + np.sqrt(1 - shared) * generator.normal(size=(rows, classes))
        scores[np.arange(rows), y] += strength * np.exp(ease) + 0.4
        answers.append(log_softmax(2 * scores).astype(np.float32))
    networks = tuple(
        PolicyNetwork(f"net{index}.tflite", f"net{index}", float(ms)) for index, ms in enumerate(times_ms)
    )
    return Answers(
        networks, tuple(Path(one.file) for one in networks), np.stack(answers), y, member, "synthetic rows"
    )
