"""Which tokens may come next, and the best continuations of some hypotheses: of all scores, or of few that the decoder chose."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError
from selector.sequence.decoder import StepDecoder, Top
from selector.sequence.scoring import SearchOptions

MASKED = np.float32(-1e30)
"""Score of a token that may not come; finite, so that nothing times it is NaN."""

_LEAST = float(MASKED) / 2
_BLOCKS = 250
_ROWS = np.arange(1 << 12)
_ONES = np.ones(1 << 12)


class Ranked(NamedTuple):
    """Candidates, best first; equal ones by row, then by token.

    Lists, as there are few: walking through one takes no longer than a call of numpy.
    """

    scores: list[float]
    rows: list[int]
    tokens: list[int]


def log_sums_of(
    decoder: StepDecoder, logits: NDArray[np.float32], number: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Exponentials to some scale, their sums, and the logarithm of the sum of ``exp(logits)`` [rows]; EdgetimeError for NaN."""
    exponentials = decoder.probabilities
    if exponentials is not None:
        # The likeliest token alone says how far probabilities are from exponentials.
        best = exponentials.argmax(axis=1)
        rows = _ROWS[: len(best)]
        shares = exponentials[rows, best]
        log_sums: NDArray[np.float64] = logits[rows, best] - np.log(shares, dtype=np.float64)
        sums = _ONES[: len(best)]
    else:
        highest = logits.max(axis=1)
        exponentials = np.subtract(logits, highest[:, None], out=decoder.scratch[: len(logits)])
        np.exp(exponentials, out=exponentials)
        shares = exponentials.sum(axis=1)
        sums = shares.astype(np.float64)
        log_sums = highest + np.log(sums)
    # NaN and infinity alike make this NaN.
    if not shares.sum() < np.inf:
        raise not_numbers(number)
    return exponentials, sums, log_sums


def not_numbers(number: int) -> EdgetimeError:
    """What is said of a decoder whose scores in a step are none."""
    return EdgetimeError(
        f"The decoder gives NaN or infinity in step {number + 1}: its file is damaged or overflows; export it anew."
    )


def masked(
    logits: NDArray[np.float32],
    exponentials: NDArray[np.float32] | None,
    number: int,
    longest: int,
    options: SearchOptions,
    forbidden: Sequence[slice],
    end: int,
) -> NDArray[np.float32]:
    """The scores with those of tokens that may not come in this step masked, in place."""
    for tokens in forbidden:
        _mask(tokens, logits, exponentials)
    if is_forced(number, longest, options):
        forced = options.prefix[number] if number < min(len(options.prefix), longest - 1) else end
        only = logits[:, forced].copy()
        _mask(slice(None), logits, exponentials)
        logits[:, forced] = only
    elif number + 1 < options.shortest:
        _mask(end, logits, exponentials)
    return logits


def is_forced(number: int, longest: int, options: SearchOptions) -> bool:
    """Whether one token alone may come in a step."""
    return number < len(options.prefix) or number == longest - 1


def _mask(tokens: int | slice, logits: NDArray[np.float32], exponentials: NDArray[np.float32] | None) -> None:
    """Let tokens never come; their probability is not given to others."""
    logits[:, tokens] = MASKED
    if exponentials is not None:
        exponentials[:, tokens] = 0


def together(tokens: Sequence[int]) -> list[slice]:
    """Tokens as slices, neighbours in one."""
    found: list[slice] = []
    for token in sorted(set(tokens)):
        if found and found[-1].stop == token:
            found[-1] = slice(found[-1].start, token + 1)
        else:
            found.append(slice(token, token + 1))
    return found


def merged(before: Sequence[float], top: Top, most: int, banned: Collection[int]) -> Ranked | None:
    """The `most` best continuations of hypotheses with sums `before`; None where `top` does not tell."""
    found: list[tuple[float, int, int]] = []
    bound = -math.inf
    for row, start in enumerate(before):
        if not top.probabilities[row][-1] > 0:
            return None  # too small for float32: their order is lost
        for probability, token in zip(top.probabilities[row], top.tokens[row]):  # noqa: B905 (Python 3.9)
            score = start + math.log(probability)
            if score < bound:
                break
            if token not in banned:
                found.append((-score, row, token))
        if len(found) >= most:
            found.sort()
            del found[most:]
            bound = -found[-1][0]
    if len(found) < most:
        found.sort()
    return Ranked([-one[0] for one in found], [one[1] for one in found], [one[2] for one in found])


def ranked(logits: NDArray[np.float32], offsets: NDArray[np.float64], most: int) -> Ranked:
    """The `most` highest of ``logits + offsets`` [rows, tokens]; fewer where the rest is masked."""
    indices = candidates(logits, offsets, most)
    rows = indices // logits.shape[1]
    scores = logits.reshape(-1).take(indices) + offsets.take(rows)
    # `indices` rise, so a stable order breaks ties by row, then by token.
    order = (-scores).argsort(kind="stable")[:most]
    rows = rows.take(order)
    found = Ranked(
        scores.take(order).tolist(),
        rows.tolist(),
        (indices.take(order) - rows * logits.shape[1]).tolist(),
    )
    if found.scores[-1] < _LEAST:
        allowed = sum(score >= _LEAST for score in found.scores)
        found = Ranked(found.scores[:allowed], found.rows[:allowed], found.tokens[:allowed])
    return found


def candidates(logits: NDArray[np.float32], offsets: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Indices, rising, into the flat scores ``logits + offsets`` [rows, tokens] that hold the `most` highest, and few more.

    Among the maxima of blocks of tokens the one that is `most` from the top is no higher than what is sought: whatever is below it
    need not be looked at. So most tokens are only compared, not sorted.
    """
    rows, tokens = logits.shape
    size = max(1, tokens // _BLOCKS)
    count = tokens // size
    if rows * count <= most:
        return np.arange(rows * tokens)
    blocks = logits[:, : size * count].reshape(rows, size, count).max(axis=1) if size > 1 else logits
    if rows == 1:
        flat = blocks[0]
        least = np.partition(flat, count - most)[count - most : count - most + 1]
    else:
        flat = (blocks + offsets[:, None]).reshape(-1)
        least = np.partition(flat, flat.size - most)[flat.size - most] - offsets
        # Rounding may lift a bound above the score that it came from.
        least = (least - 1e-6 * (1.0 + np.abs(least))).astype(np.float32)
    found: NDArray[np.intp] = np.flatnonzero(logits >= least[:, None])
    if len(found) <= 8 * most + 64:
        return found
    # Equal scores in plenty: only the first of them can be among the highest.
    scores = logits.reshape(-1)[found] + offsets[found // tokens]
    return np.sort(found[(-scores).argsort(kind="stable")[:most]])
