"""How far a training is: by steps, or by time where that ends first."""

from __future__ import annotations

import math
import time

LEAST_STEPS = 16
"""So many steps are taken whatever the time."""

_LOOKS = 8
"""Where time is short, the network is judged about so often."""

_MOST_JUDGING = 0.25
"""Of the time that is left."""

_RECENT = 0.9
_WHOLE = 1 - 1e-12


class Pace:
    """Counts steps; `progress` goes from 0 to 1, evenly over what is left by the number of steps and by the clock.

    `seconds` from now on are all that there is, judging included. What a step takes is measured from the third one on: the
    first ones compile. The learning rate follows `progress`, so that it has fallen to 0 when time ends, however fast the
    machine turns out to be.
    """

    def __init__(self, steps: int, seconds: float = math.inf) -> None:
        self.steps, self.done, self.progress = steps, 0, 0.0
        self._end = time.monotonic() + seconds
        self._taken = 0
        self._step_s = self._judging_s = 0.0
        self._last = math.nan

    @property
    def limited(self) -> bool:
        """Whether the clock counts."""
        return math.isfinite(self._end)

    @property
    def over(self) -> bool:
        """Whether no step is left."""
        if self.done >= self.steps or self.progress >= _WHOLE:
            return True
        late = time.monotonic() + self._judging_s + self._step_s >= self._end
        return self.limited and late and self.done >= min(LEAST_STEPS, self.steps)

    def step(self) -> None:
        """One more step is done."""
        self.done += 1
        self._taken += 1
        now = time.monotonic()
        if self._taken > 2:
            seconds = now - self._last
            self._step_s = seconds if self._taken == 3 else _RECENT * self._step_s + (1 - _RECENT) * seconds
        self._last = now
        left = float(self.steps - self.done)
        if self.limited and self._step_s:
            left = min(left, self._fitting(now))
        self.progress += (1 - self.progress) / (1 + max(0.0, left))

    def end_within(self, steps: int) -> None:
        """Let no more than so many steps follow, over which `progress` goes to its end."""
        self.steps = min(self.steps, self.done + steps)

    def judged(self, seconds: float) -> None:
        """The network was judged, which took so long and is no part of a step."""
        self._judging_s = seconds
        self._last += seconds

    def look_after(self, steps: int) -> int:
        """After how many steps the network is judged: `steps`, or fewer where time ends before that was done often."""
        if not self.limited or not self._step_s:
            return steps
        left_s = self._end - time.monotonic()
        looks = min(_LOOKS, max(1.0, _MOST_JUDGING * left_s / max(self._judging_s, 1e-9)))
        return max(1, min(steps, math.ceil((self.done + self._fitting(time.monotonic())) / looks)))

    def epoch_s(self, steps: int) -> float:
        """What so many steps and judging take; 0 where that is not known."""
        return self._step_s * steps + self._judging_s if self._step_s else 0.0

    def end(self) -> float:
        """It is over, early or not; the share of the steps that time left, 1 where it was not time that ended it."""
        late = self.over and self.done < self.steps
        self.progress = 1.0
        return self.done / self.steps if late else 1.0

    def resume(self, done: int, progress: float) -> None:
        """Go on where another run was."""
        self.done, self.progress = done, progress

    def _fitting(self, now: float) -> float:
        """Steps that fit into the time that is left, or must be taken."""
        return max(LEAST_STEPS - self.done, (self._end - now - self._judging_s) / self._step_s, 0.0)
