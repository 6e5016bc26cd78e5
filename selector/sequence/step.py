"""One step of a search as policies see it: the candidates, best first, and what the decoder is sure of."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

MASKED = np.float32(-1e30)
"""Score of a token that may not come; finite, so that nothing times it is NaN."""

_BLOCKS = 128


class SearchStep:
    """Candidates of one step: hypotheses with one token more.

    Attributes
    ----------
    number : int
        Of the step, from 0.
    hypotheses : int
        How many were run.
    ended : int
        How many ended so far.
    best_ended : float
        The highest sum of log-probabilities of one that ended; -infinity where none did.
    before : array
        Sums of log-probabilities of the hypotheses that were run, best first [hypotheses].
    scores : array
        Sums of log-probabilities of the candidates, best first [candidates]; equal ones by row, then by token.
    rows, tokens : array
        Which hypothesis each continues, and by which token [candidates].
    """

    def __init__(
        self,
        number: int,
        logits: NDArray[np.float32],
        exponentials: NDArray[np.float32] | None,
        log_sums: NDArray[np.float64],
        sums: NDArray[np.float64],
        before: NDArray[np.float64],
        most: int,
        ended: int = 0,
        best_ended: float = -np.inf,
    ) -> None:
        self.number = number
        self.hypotheses = len(logits)
        self.ended = ended
        self.best_ended = best_ended
        self.before = before
        self._logits = logits
        self._exponentials = exponentials
        self._log_sums = log_sums
        self._sums = sums
        offsets = before - log_sums
        indices = candidates(logits, offsets, most)
        values = logits.reshape(-1).take(indices)
        # `indices` rise, so a stable order breaks ties by row, then by token.
        if self.hypotheses == 1:
            scores = values + offsets[0]
            order = (-scores).argsort(kind="stable")[:most]
            self.rows = np.zeros(len(order), np.intp)
            self.tokens: NDArray[np.intp] = indices.take(order)
        else:
            rows = indices // logits.shape[1]
            scores = values + offsets.take(rows)
            order = (-scores).argsort(kind="stable")[:most]
            self.rows = rows.take(order)
            self.tokens = indices.take(order) - self.rows * logits.shape[1]
        self.scores: NDArray[np.float64] = scores.take(order)
        if self.scores[-1] < _LEAST:
            allowed = int((self.scores >= _LEAST).sum())
            self.scores, self.rows = self.scores[:allowed], self.rows[:allowed]
            self.tokens = self.tokens[:allowed]

    @functools.cached_property
    def token_scores(self) -> NDArray[np.float64]:
        """Log-probability of the last token of each candidate alone [candidates]."""
        found: NDArray[np.float64] = self.scores - self.before.take(self.rows)
        return found

    def probabilities(self, row: int = 0) -> NDArray[np.float32]:
        """Probabilities of all tokens after one hypothesis [vocabulary]; the best hypothesis is row 0."""
        if self._exponentials is None:
            shares: NDArray[np.float32] = np.exp(self._logits[row])
            return shares
        scaled: NDArray[np.float32] = self._exponentials[row] / np.float32(self._sums[row])
        return scaled

    @functools.cached_property
    def entropies(self) -> NDArray[np.float64]:
        """Shannon entropy of the next token after each hypothesis, in nats, of the tokens that may come [hypotheses]."""
        return self._entropies(self._logits, self._exponentials, self._log_sums, self._sums)

    @property
    def entropy(self) -> float:
        """Entropy after the best hypothesis alone, without looking at the others."""
        exponentials = None if self._exponentials is None else self._exponentials[:1]
        return float(self._entropies(self._logits[:1], exponentials, self._log_sums[:1], self._sums[:1])[0])

    @staticmethod
    def _entropies(
        logits: NDArray[np.float32],
        exponentials: NDArray[np.float32] | None,
        log_sums: NDArray[np.float64],
        sums: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        if exponentials is None:
            exponentials = np.exp(logits)
        weighted = np.array([a @ b for a, b in zip(exponentials, logits)])  # noqa: B905 (Python 3.9)
        if not np.isfinite(weighted).all():  # the decoder itself rules tokens out by -infinity
            weighted = (exponentials * np.maximum(logits, MASKED)).sum(axis=1)
        return np.maximum(log_sums * (exponentials.sum(axis=1) / sums) - weighted / sums, 0.0)

    def deviation(self, k: int, row: int = 0) -> float:
        """Standard deviation of the `k` highest probabilities after one hypothesis."""
        row_logits = self._logits[row : row + 1]
        found = row_logits[0, candidates(row_logits, np.zeros(1), k)] - np.float32(self._log_sums[row])
        return float(np.exp(np.sort(found)[-k:]).std())


_LEAST = float(MASKED) / 2


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
