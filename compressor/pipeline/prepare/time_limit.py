"""``--minutes``: when each part of a compression has to end, and what is said where they are short."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from compressor.pipeline.prepare.limits import in_percent

_RESERVE_SHARE, _AS_BEFORE, _MOST_RESERVE = 0.1, 0.7, 0.3
"""Kept for what comes after training: of all time, or by what came before the search, but no more than the last of all."""


class TimeLimit:
    """The time that a run may take, on the clock of `time.monotonic`; `warn` hears once where it will not do."""

    def __init__(self, started: float, minutes: float | None, warn: Callable[[str], None]) -> None:
        self._started, self._minutes, self._warn = started, minutes, warn
        self._before_s = 0.0

    def at(self, share: float) -> float:
        """When a share of the time is used up."""
        return self._started + 60 * share * self._minutes if self._minutes else math.inf

    def prepared(self) -> None:
        """What comes before the search is done: what comes after training takes about as long."""
        self._before_s = time.monotonic() - self._started

    def training_end(self) -> float:
        """When training has to end, so that there is time for exporting, testing and measuring."""
        if not self._minutes:
            return math.inf
        reserve_s = max(_RESERVE_SHARE * 60 * self._minutes, _AS_BEFORE * self._before_s)
        return self.at(1.0) - min(reserve_s, _MOST_RESERVE * 60 * self._minutes)

    def short_for_candidates(self, share: float) -> None:
        """Say so while the search goes on: candidates get this share of their schedule."""
        self._warn(
            f"--minutes {self._minutes:g} is short: candidates are trained for {in_percent(share)} of their schedule."
        )

    def notes(self, candidates: float, finalists: float) -> tuple[str, ...]:
        """A sentence on what got which share of its schedule, where that is not all."""
        if not self._minutes or min(candidates, finalists) >= 1:
            return ()
        cut = {"candidates": candidates, "finalists": finalists}
        words = " and ".join(f"{name} for {in_percent(share)}" for name, share in cut.items() if share < 1)
        return (
            f"--minutes {self._minutes:g} was short: training was cut, that of {words} of the schedule; give more, or stop "
            "what else runs here.",
        )
