"""A decoder that remembers: what it ran once for a source, another policy of widths gets without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.sequence.decoder import StepDecoder, Top
from selector.sequence.ranking import MASKED, Ranked, log_sums_of, not_numbers
from selector.sequence.scoring import SearchOptions
from selector.sequence.step import SearchStep

_NONE = Ranked([], [], [])

_SPARE = 8
"""Most probabilities that a policy looks at beside those of its candidates."""


@dataclass
class _Seen:
    """What was seen of a source: a tree of hypotheses, and for each the head of its next token's distribution."""

    children: dict[tuple[int, int], int] = field(default_factory=dict)
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    tokens: list[NDArray[np.int32]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    attention: list[NDArray[np.float32]] = field(default_factory=list)


class RememberingDecoder(StepDecoder):
    """Searches find what they find with the decoder itself, for some options of a search without forced tokens.

    A hypothesis that was never seen makes it run the steps of its search so far, and those that follow.
    """

    normalized = True

    def __init__(self, decoder: StepDecoder, options: SearchOptions) -> None:
        self._decoder = decoder
        self._options = options
        self.vocabulary, self.begin, self.end = decoder.vocabulary, decoder.begin, decoder.end
        self.source_longest, self.longest = decoder.source_longest, decoder.longest
        self.palette = decoder.palette
        self._few = min(decoder.vocabulary, max(self.palette[-1] + 1, _SPARE) + len(options.forbidden))
        self._known: dict[tuple[int, ...], _Seen] = {}
        self.steps_run = 0

    def start(self, source: Sequence[int]) -> None:
        """Remember this source."""
        self._source = tuple(source)
        self._seen = self._known.setdefault(self._source, _Seen())
        self._nodes = [-1]
        self._history: list[tuple[NDArray[np.int32], NDArray[np.intp]]] = []
        self._runs = False
        self._longest = self._options.longest(len(source), self.longest)

    def step(self, tokens: NDArray[np.int32], parents: NDArray[np.intp]) -> NDArray[np.float32]:
        """Log-probabilities of the likeliest tokens and of END, all others masked, where a search cannot do with `top` alone."""
        seen, self._history = self._seen, [*self._history, (tokens, parents)]
        keys = [(self._nodes[parent], token) for token, parent in zip(tokens.tolist(), parents.tolist())]  # noqa: B905
        unknown = [row for row, key in enumerate(keys) if key not in seen.children]
        if self._runs:
            self._run(tokens, parents, keys)
        elif unknown:
            self._decoder.start(self._source)
            for before in self._history[:-1]:
                self._decoder.step(*before)
            self._runs = True
            self._run(tokens, parents, keys)
        self._nodes = [seen.children[key] for key in keys]
        if len(self._history) < self._longest and all(
            seen.probabilities[node][-1] > 0 for node in self._nodes
        ):
            return self.scratch[: len(keys)]
        return self._scores()

    def _run(self, tokens: NDArray[np.int32], parents: NDArray[np.intp], keys: list[tuple[int, int]]) -> None:
        """Run a step, and keep what is new of it."""
        self.steps_run += 1
        logits = self._decoder.step(tokens, parents)
        seen = self._seen
        attention = self._decoder.attention
        shares, highest = self._distributions(logits)
        banned = self._options.forbidden
        if len(self._history) < self._options.shortest:
            banned = (*banned, self.end)
        # As a search without memory sees it.
        step = SearchStep(0, logits, keys, _NONE, shares, top=highest, banned=banned)  # type: ignore[arg-type]
        for row, key in enumerate(keys):
            if key in seen.children:
                continue
            seen.children[key] = len(seen.ends)
            seen.probabilities.append(np.array(highest.probabilities[row][: self._few], np.float32))
            seen.tokens.append(np.array(highest.tokens[row][: self._few], np.int32))
            seen.ends.append(float(shares[row, self.end]))
            seen.entropies.append(step.entropy(row))
            if attention is not None:
                seen.attention.append(attention[row].copy())

    def _distributions(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], Top]:
        """Probabilities of the next tokens, and the highest of them."""
        shares, highest = self._decoder.probabilities, self._decoder.top
        if shares is None:
            if self._decoder.normalized:
                shares = np.exp(logits).astype(np.float32)
            else:
                exponentials, sums, _ = log_sums_of(self._decoder, logits, len(self._history) - 1)
                shares = np.divide(exponentials, sums[:, None]).astype(np.float32)
        if highest is None or len(highest.tokens[0]) < self._few:
            order = np.sort(np.argpartition(-shares, self._few - 1, axis=1)[:, : self._few])
            best = np.take_along_axis(shares, order, 1)
            by_share = (-best).argsort(axis=1, kind="stable")
            highest = Top(
                np.take_along_axis(best, by_share, 1).tolist(),
                np.take_along_axis(order, by_share, 1).tolist(),
            )
        elif not shares[:, 0].sum() < np.inf:
            raise not_numbers(len(self._history) - 1)
        return shares, highest

    def _scores(self) -> NDArray[np.float32]:
        """For steps in which END is forced."""
        scores = self.scratch[: len(self._nodes)]
        scores[:] = MASKED
        with np.errstate(divide="ignore"):
            for row, node in enumerate(self._nodes):
                scores[row, self._seen.tokens[node]] = np.log(self._seen.probabilities[node])
                scores[row, self.end] = np.log(self._seen.ends[node])
        return np.maximum(scores, MASKED, out=scores)

    @property
    def top(self) -> Top:
        """What is remembered of the hypotheses of the last step."""
        seen = self._seen
        return Top(
            [seen.probabilities[node].tolist() for node in self._nodes],
            [seen.tokens[node].tolist() for node in self._nodes],
        )

    @property
    def entropies(self) -> list[float]:
        """Of the tokens that may come."""
        return [self._seen.entropies[node] for node in self._nodes]

    @property
    def attention(self) -> NDArray[np.float32] | None:
        """The decoder's own."""
        if not self._seen.attention:
            return None
        return np.stack([self._seen.attention[node] for node in self._nodes])

    def state(self, row: int) -> Any:
        """Not remembered."""
        raise NotImplementedError("Best-first search runs the decoder itself.")

    def step_from(self, token: int, state: Any) -> NDArray[np.float32]:
        """Not remembered."""
        raise NotImplementedError("Best-first search runs the decoder itself.")
