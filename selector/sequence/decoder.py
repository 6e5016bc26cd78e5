"""What a search needs of a decoder."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Top(NamedTuple):
    """The highest probabilities of the next token and their tokens, best first, equal ones by token: a list for each hypothesis."""

    probabilities: list[list[float]]
    tokens: list[list[int]]


class StepDecoder(ABC):
    """Gives the scores of the next token for some hypotheses of one source at a time.

    Attributes
    ----------
    vocabulary : int
        Number of target tokens.
    begin, end : int
        Tokens that begin and end every output.
    source_longest, longest : int
        Most tokens of a source, and most steps.
    palette : tuple of int
        Widths at which it runs, rising: in between, the next wider one is run.
    normalized : bool
        Whether its scores are log-probabilities already, and not logits.
    """

    vocabulary: int
    begin: int
    end: int
    source_longest: int
    longest: int
    palette: tuple[int, ...]
    normalized: bool = False

    @functools.cached_property
    def scratch(self) -> NDArray[np.float32]:
        """Memory for a search to work in [widest, vocabulary]: made once, as fresh memory is slow."""
        return np.empty((self.palette[-1], self.vocabulary), np.float32)

    @abstractmethod
    def start(self, source: Sequence[int]) -> None:
        """Encode a source; then there is one hypothesis, which holds nothing."""

    @abstractmethod
    def step(self, tokens: NDArray[np.int32], parents: NDArray[np.intp]) -> NDArray[np.float32]:
        """Scores of the next token [hypotheses, vocabulary], in memory that lasts until the next step and may be written to.

        Parameters
        ----------
        tokens
            Last token of each hypothesis [hypotheses], at most as many as the widest of the palette.
        parents
            Which hypothesis of the step before each of them continues [hypotheses].
        """

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Softmax of the last step's scores [hypotheses, vocabulary], which may be written to; None where it gives none."""
        return None

    @property
    def top(self) -> Top | None:
        """The head of each hypothesis' distribution after the last step; None where it gives none."""
        return None

    @property
    def entropies(self) -> Sequence[float] | None:
        """Entropy of each hypothesis' next token, of those that may come; None where it gives none."""
        return None

    @property
    def attention(self) -> NDArray[np.float32] | None:
        """Attention to each source token in the last step [hypotheses, source]; None where the decoder gives none."""
        return None

    @abstractmethod
    def state(self, row: int) -> Any:
        """What `step_from` needs to go on from a hypothesis of the last step."""

    @abstractmethod
    def step_from(self, token: int, state: Any) -> NDArray[np.float32]:
        """Scores of the next token [vocabulary] of one hypothesis: `state` is what it had before its last token, `token`."""

    def width_for(self, hypotheses: int) -> int:
        """The width of the palette at which so many hypotheses run."""
        for width in self.palette:
            if width >= hypotheses:
                return width
        return self.palette[-1]
