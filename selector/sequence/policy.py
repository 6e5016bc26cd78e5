"""A sequence policy as plain values: a network, its tokens, a search and its widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from profiler.errors import UsageError
from selector.sequence.scoring import SearchOptions
from selector.sequence.widths import FixedWidth, WidthPolicy, width_policy


@dataclass(frozen=True)
class SequencePolicy:
    """What is run, as plain values.

    Parameters
    ----------
    network, source_tokens, target_tokens
        Names of the `.tflite` file and of the SentencePiece models of both sides in the policy's folder; the latter None for lines
        of numbers.
    palette, vocabulary
        Widths at which the decoder runs, all that the file has or some of them, and number of target tokens.
    begin, end
        Tokens that begin and end an output.
    ends_source
        Whether a source ends with `end` too.
    longest
        Most steps; None for what the decoder's caches hold.
    widths, search
        How wide the beam is, and what is asked of a search.
    device, encoder_ms, step_ms, search_ms, first_ms, switch_ms
        The device that predicted times are of; the encoder's, a step's by width, what the search itself adds to a step, by the
        hypotheses run, and what a sentence's first step at a width costs more, and one after a step of another width; None and
        empty where they are unknown.
    then, least
        Name of another policy's JSON file in the folder, which answers where the best output's log-probability per token is below
        `least`; None for none.
    expected
        What was seen on the rows that it was tuned on.
    """

    network: str
    palette: tuple[int, ...]
    vocabulary: int
    source_tokens: str | None = None
    target_tokens: str | None = None
    begin: int = 2
    end: int = 3
    ends_source: bool = True
    longest: int | None = None
    widths: WidthPolicy = field(default_factory=FixedWidth)
    search: SearchOptions = field(default_factory=SearchOptions)
    device: str = ""
    encoder_ms: float | None = None
    step_ms: Mapping[int, float] = field(default_factory=dict)
    search_ms: Mapping[int, float] = field(default_factory=dict)
    first_ms: Mapping[int, float] = field(default_factory=dict)
    switch_ms: Mapping[int, float] = field(default_factory=dict)
    encoder_mj: float | None = None
    step_mj: Mapping[int, float] = field(default_factory=dict)
    then: str | None = None
    least: float = 0.0
    expected: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.network, str):
            raise UsageError(f"A sequence policy names its network, not {self.network!r}.")
        if self.longest is not None and not (isinstance(self.longest, int) and self.longest >= 1):
            raise UsageError(f"longest is a number of steps from 1, not {self.longest!r}.")
        for name in ("begin", "end"):
            token = getattr(self, name)
            if not (isinstance(token, int) and 0 <= token < self.vocabulary):
                raise UsageError(
                    f"The token {name} is {token!r}, and the vocabulary has {self.vocabulary} from 0."
                )
        if not math.isfinite(self.least):
            raise UsageError(f"least is a number, not {self.least!r}.")

    @property
    def files(self) -> tuple[str | None, ...]:
        """Names of the network and of the tokens of both sides."""
        return self.network, self.source_tokens, self.target_tokens

    def predicted_ms(self, widths: Sequence[int], run_widths: Sequence[int]) -> float | None:
        """Predicted time of a sentence whose steps ran so many hypotheses at some widths of the palette; None where unknown."""
        if self.encoder_ms is None or any(width not in self.step_ms for width in run_widths):
            return None
        steps = sum(self.step_ms[width] for width in run_widths)
        changes = changes_ms_of(self.first_ms, self.switch_ms, run_widths)
        return self.encoder_ms + steps + changes + search_ms_of(self.search_ms, widths)

    def predicted_mj(self, run_widths: Sequence[int]) -> float | None:
        """Likewise its energy."""
        if self.encoder_mj is None or any(width not in self.step_mj for width in run_widths):
            return None
        return self.encoder_mj + sum(self.step_mj[width] for width in run_widths)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("step_ms", "step_mj", "search_ms", "first_ms", "switch_ms"):
            plain[name] = {str(width): value for width, value in plain[name].items()}
        return {
            **plain,
            "palette": list(self.palette),
            "widths": self.widths.to_dict(),
            "search": self.search.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SequencePolicy:
        """What `to_dict` gave; TypeError, ValueError or EdgetimeError where it is damaged."""
        given = dict(value)
        given["palette"] = tuple(int(width) for width in given["palette"])
        for name in ("step_ms", "step_mj", "search_ms", "first_ms", "switch_ms"):
            given[name] = {int(width): float(one) for width, one in given.get(name, {}).items()}
        given["widths"] = width_policy(given["widths"])
        given["search"] = SearchOptions.from_dict(given["search"])
        return cls(**given)


def search_ms_of(search_ms: Mapping[int, float], widths: Sequence[int]) -> float:
    """What a search adds to the steps of a sentence, by what it adds to one at some widths; 0 where none is known."""
    known = sorted(search_ms)
    return (
        float(np.interp(widths, known, [search_ms[one] for one in known]).sum()) if known and widths else 0.0
    )


def changes_ms_of(
    first_ms: Mapping[int, float], switch_ms: Mapping[int, float], run_widths: Sequence[int]
) -> float:
    """What steps of a sentence cost more as they are its first at a width, or follow one of another width.

    The weights of each width lie in memory of their own: what ran last is what the processor's caches hold.
    """
    seen: set[int] = set()
    before, found = None, 0.0
    for width in run_widths:
        if width not in seen:
            found += first_ms.get(width, 0.0)
            seen.add(width)
        elif width != before:
            found += switch_ms.get(width, 0.0)
        before = width
    return found
