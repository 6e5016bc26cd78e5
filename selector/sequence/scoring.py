"""How hypotheses are ranked in the end, and what a search is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError

STOPS = ("ended", "proof")


@dataclass(frozen=True)
class SearchOptions:
    """What is asked of a search.

    Parameters
    ----------
    alpha, offset
        The sum of log-probabilities is divided by ``((offset + length) / (offset + 1)) ** alpha``: 0 ranks by the sum, 1 with
        offset 0 by the mean, offset 5 is GNMT's. Length counts tokens with END, without BEGIN.
    coverage
        Weight of GNMT's coverage penalty, ``sum log min(attention given to a source token, 1)``; needs a decoder that gives its
        attention. It ranks ended hypotheses, and does not steer which stay in the beam.
    best
        So many hypotheses are given, best first.
    shortest
        END is forbidden before so many tokens.
    longest_ratio, longest_more
        At ``longest_ratio * source tokens + longest_more`` tokens END is forced, or earlier where the decoder takes fewer steps.
    stop
        ``"ended"``: hypotheses that ended keep their places while they are among the best by score, so that fewer and fewer run,
        and the search is over when none is left.
        ``"proof"``: all places stay for live ones, and the search is over when it is proven that none can win. The proof ends the
        former too.
    forbidden
        Tokens that never come. Their probability is not given to others.
    prefix
        Tokens that an output must begin with.
    fill
        Where the decoder runs at a wider width of its palette anyway, hypotheses that the policy would drop fill the free places.
    """

    alpha: float = 1.0
    offset: float = 0.0
    coverage: float = 0.0
    best: int = 1
    shortest: int = 0
    longest_ratio: float = 2.0
    longest_more: int = 10
    stop: str = "ended"
    forbidden: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    fill: bool = False

    def __post_init__(self) -> None:
        if self.stop not in STOPS:
            raise UsageError(f"stop is {' or '.join(STOPS)}, not {self.stop!r}.")
        for name in ("alpha", "offset", "coverage", "longest_ratio", "longest_more", "shortest"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < np.inf:
                raise UsageError(f"{name} is a number from 0, not {value!r}.")
        if not _whole(self.best, 1):
            raise UsageError(f"best is the number of outputs, at least 1, not {self.best!r}.")
        for name in ("forbidden", "prefix"):
            if not all(_whole(token, 0) for token in getattr(self, name)):
                raise UsageError(f"{name} are whole numbers of tokens, not {getattr(self, name)!r}.")

    def longest(self, source_tokens: int, decoder_longest: int) -> int:
        """At how many tokens END is forced."""
        limit = int(np.ceil(self.longest_ratio * source_tokens)) + int(self.longest_more)
        return max(1, min(decoder_longest, limit))

    def divisor(self, length: int | NDArray[Any]) -> Any:
        """What sums of log-probabilities of a length are divided by."""
        return ((self.offset + length) / (self.offset + 1)) ** self.alpha

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SearchOptions:
        """What `to_dict` gave; TypeError for names that do not exist."""
        given: dict[str, Any] = {n: tuple(one) if isinstance(one, list) else one for n, one in value.items()}
        return cls(**given)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def coverage_penalty(coverage: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of attention given to each source token [hypotheses, source]: 0 where each had a whole token's, less where not."""
    penalty: NDArray[np.float64] = np.log(np.clip(coverage, 1e-9, 1.0)).sum(axis=1)
    return penalty
