"""How long trainings may be, so that all of them end in time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compressor.training import Outcome, Schedule

MOST_TIMES = 8.0
"""So many times its schedule a training may be stretched to, where there is time."""


_AS_GOOD_AS_WHOLE = 0.95


def epoch_s_of(finished: Mapping[str, Mapping[str, Any]]) -> float:
    """What an epoch took in the last of the trainings that are finished (`Workspace.finished_seeds`); 0 where that is not known."""
    for outcome in reversed(list(finished.values())):
        if outcome["epochs"]:
            return float(outcome["epoch_s"] or outcome["seconds"] / outcome["epochs"])
    return 0.0


class TimePlan:
    """Shares time among trainings that are still to come; lengths are in units of the `whole` schedule.

    `epoch_s` is what an epoch takes, as far as that is known, and `beside_s` what each training takes beside: loading and
    writing networks, judging files. Both follow what was seen last. Without a `deadline`, and until `epoch_s` is known, nothing is
    stretched.
    """

    def __init__(self, whole: Schedule, epoch_s: float = 0.0) -> None:
        self.whole, self.epoch_s, self.beside_s = whole, epoch_s, 0.0
        self.deadline = math.inf
        self.shortest = 1.0

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def room(self) -> float:
        """How many whole trainings fit into the time that is left."""
        whole_s = self.epoch_s * self.whole.epochs + self.beside_s
        return self.left_s / whole_s if whole_s > 0 else math.inf

    def length(self, demand: float) -> float:
        """How long each of so many trainings can be: as its schedule, or longer; shorter where not even that fits."""
        if not math.isfinite(self.deadline) or not self.epoch_s:
            return 1.0
        return min(MOST_TIMES, self.room / demand)

    def training(self, length: float, part: float, demand: float) -> tuple[Schedule, float]:
        """The schedule and the seconds of a `part` of a training of this `length`, of so much `demand` that is left."""
        if not math.isfinite(self.deadline):
            return self._stretched(part), math.inf
        seconds = self.left_s * part / demand - self.beside_s
        if not self.epoch_s:
            return self._stretched(part), max(0.0, seconds)
        return self._stretched(max(1.0, length) * part), max(0.0, seconds)

    def learn(self, outcome: Outcome, took_s: float, length: float) -> float:
        """Take note of a training, or a part of one, that was to have some length and took so many seconds, all in all.

        The share of the whole schedule that it got is given back; 1 where that is all, or hardly less.
        """
        if outcome.epochs:
            self.epoch_s = outcome.epoch_s or outcome.seconds / outcome.epochs
        self.beside_s = max(0.0, took_s - outcome.seconds)
        reached = outcome.share * max(1.0, length)
        return self.got(reached if reached < _AS_GOOD_AS_WHOLE else 1.0)

    def got(self, share: float) -> float:
        """Take note of the share of the whole schedule that a training got, in this run or an earlier one."""
        self.shortest = min(self.shortest, share)
        return share

    def _stretched(self, times: float) -> Schedule:
        whole = self.whole
        return replace(
            whole,
            epochs=max(1, round(whole.epochs * times)),
            patience=max(1, round(whole.patience * times)) if times > 1 else whole.patience,
        )
