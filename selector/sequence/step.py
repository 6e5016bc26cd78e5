"""One step of a search as policies see it: the candidates, best first, and what the decoder is sure of."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from selector.sequence.decoder import Top
from selector.sequence.ranking import MASKED, Ranked, candidates


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
    before : sequence of float
        Sums of log-probabilities of the hypotheses that were run, best first [hypotheses].
    ranked : Ranked
        Sums of log-probabilities of the candidates, best first, which hypothesis each continues, and by which token, as lists: so
        few are walked through more quickly than by numpy. Equal ones by row, then by token.
    scores, rows, tokens : array
        The same as arrays [candidates].
    """

    def __init__(
        self,
        number: int,
        logits: NDArray[np.float32],
        before: Sequence[float],
        ranked: Ranked,
        exponentials: NDArray[np.float32] | None = None,
        sums: NDArray[np.float64] | None = None,
        log_sums: NDArray[np.float64] | None = None,
        top: Top | None = None,
        banned: Collection[int] = (),
        entropies: Sequence[float] | None = None,
        ended: int = 0,
        best_ended: float = -math.inf,
    ) -> None:
        self.number = number
        self.hypotheses = len(before)
        self.ended = ended
        self.best_ended = best_ended
        self.before = before
        self.ranked = ranked
        self._logits = logits
        self._exponentials = exponentials
        self._sums = sums
        self._log_sums = log_sums
        self._top = top
        self._banned = banned
        self._entropies = entropies

    @functools.cached_property
    def scores(self) -> NDArray[np.float64]:
        """Sums of log-probabilities of the candidates, best first [candidates]."""
        return np.array(self.ranked.scores)

    @functools.cached_property
    def rows(self) -> NDArray[np.intp]:
        """Which hypothesis each candidate continues [candidates]."""
        return np.array(self.ranked.rows, np.intp)

    @functools.cached_property
    def tokens(self) -> NDArray[np.intp]:
        """By which token each candidate continues it [candidates]."""
        return np.array(self.ranked.tokens, np.intp)

    @functools.cached_property
    def token_scores(self) -> list[float]:
        """Log-probability of the last token of each candidate alone [candidates]."""
        found = zip(self.ranked.scores, self.ranked.rows)  # noqa: B905 (Python 3.9)
        return [score - self.before[row] for score, row in found]

    @functools.cached_property
    def entropies(self) -> NDArray[np.float64]:
        """Shannon entropy of the next token after each hypothesis, in nats, of the tokens that may come [hypotheses]."""
        return np.array([self.entropy(row) for row in range(self.hypotheses)])

    def entropy(self, row: int = 0) -> float:
        """Entropy after one hypothesis, without looking at the others; the best hypothesis is row 0."""
        if self._entropies is not None:
            return self._entropies[row]
        logits = self._logits[row]
        exponentials = np.exp(logits) if self._exponentials is None else self._exponentials[row]
        scale = 1.0 if self._sums is None else float(self._sums[row])
        if self._top is not None:
            # A softmax, whose sum is known, and so is where it is highest.
            best, share = self._top.tokens[row][0], 1.0
            log_sum = float(logits[best]) - math.log(self._top.probabilities[row][0])
        elif self._log_sums is not None:
            log_sum, share = float(self._log_sums[row]), float(exponentials.sum())
        else:
            best, share = int(exponentials.argmax()), float(exponentials.sum())
            log_sum = float(logits[best]) - math.log(float(exponentials[best]))
        weighted = float(exponentials @ logits)
        if not math.isfinite(weighted):  # the decoder itself rules tokens out by -infinity
            weighted = float(exponentials @ np.maximum(logits, MASKED))
        for token in self._banned:
            share -= float(exponentials[token])
            weighted -= float(exponentials[token]) * float(logits[token])
        return max(0.0, (log_sum * share - weighted) / scale)

    def deviation(self, k: int, row: int = 0) -> float:
        """Standard deviation of the `k` highest probabilities after one hypothesis."""
        shares = self._highest(k, row)
        mean = sum(shares) / len(shares)
        return math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))

    def _highest(self, k: int, row: int) -> list[float]:
        """The `k` highest probabilities of tokens that may come after one hypothesis, or fewer."""
        if self._top is not None:
            pairs = zip(self._top.probabilities[row], self._top.tokens[row])  # noqa: B905 (Python 3.9)
            found = [probability for probability, token in pairs if token not in self._banned]
            if len(found) >= k:
                return found[:k]
        pairs_of_row = zip(self.token_scores, self.ranked.rows)  # noqa: B905 (Python 3.9)
        mine = [score for score, of in pairs_of_row if of == row][:k]
        if len(mine) < k:  # others' candidates took the places
            logits = self._logits[row : row + 1].copy()
            logits[0, list(self._banned)] = MASKED
            found_logits = logits[0, candidates(logits, np.zeros(1), k)]
            log_sum = 0.0 if self._log_sums is None else float(self._log_sums[row])
            if self._log_sums is None and self._exponentials is not None:
                best = int(self._exponentials[row].argmax())
                log_sum = float(self._logits[row, best]) - math.log(float(self._exponentials[row, best]))
            mine = [float(one) - log_sum for one in np.sort(found_logits)[::-1][:k]]
        return [math.exp(score) for score in mine]
