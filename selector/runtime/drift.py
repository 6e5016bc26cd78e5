"""Noticing that rows stop at other stages than they did when the policy was fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence

ALARM = 0.01
"""Chance that it ever warns where nothing has changed, however long it runs."""

_FIRST_RESTART = 256
_EVERY = 32
_PRIOR = 0.5


class Drift:
    """A sequential test: is the share of rows that each stage stops still what it was on the rows that it was fitted on?

    It compares two ways to foretell where rows stop: from the shares that were fitted, with the uncertainty that so many
    rows leave (Dirichlet-multinomial), and from any other shares (Dirichlet prior 1/2). The ratio of their likelihoods is a
    martingale while nothing has changed, so that the chance of it ever exceeding 1 / `alarm` is at most `alarm`, whenever
    one looks. To be quick after a long quiet time it is begun anew after 256, 512, 1024, … rows, and the mean of all counts.

    Parameters
    ----------
    shares
        Share of rows that each stage stopped when it was fitted [stages].
    rows
        Number of rows that it was fitted on.
    alarm
        Chance of a false alarm.

    Attributes
    ----------
    stops : list of int
        Rows that each stage has stopped since the last reset.
    evidence : float
        How much likelier the rows are if the shares have changed; `changed` from 1 / `alarm` on.
    changed : bool
        Whether it has ever exceeded that.

    Examples
    --------
    >>> drift = Drift([0.7, 0.3], rows=1000)
    >>> drift.add([70, 30]), drift.add([10, 90])
    (False, True)
    """

    def __init__(self, shares: Sequence[float], rows: int, alarm: float = ALARM) -> None:
        self.shares = tuple(float(share) for share in shares)
        self.fitted_rows = int(rows)
        self.alarm = alarm
        self.reset()

    def reset(self) -> None:
        """Forget all rows seen, and the alarm."""
        self.stops = [0] * len(self.shares)
        self.evidence = 1.0
        self.changed = False
        self._looked_at = self._unseen = 0
        self._begins: list[list[int]] = [[0] * len(self.shares)]

    @property
    def rows(self) -> int:
        """Rows seen since the last reset."""
        return sum(self.stops)

    def add(self, stops: Sequence[int]) -> bool:
        """Count rows that each stage stopped [stages]; True where that raises the alarm, which happens once."""
        self.stops = [old + int(new) for old, new in zip(self.stops, stops)]  # noqa: B905 (Python 3.9)
        rows = self.rows
        if self.changed or rows < self._looked_at + _EVERY:
            return False
        self._looked_at = rows
        self._unseen = 0
        self.evidence = self._ratio()
        if rows >= _FIRST_RESTART * 2 ** (len(self._begins) - 1):
            self._begins.append(list(self.stops))
        self.changed = self.evidence >= 1 / self.alarm
        return self.changed

    def add_one(self, stage: int) -> bool:
        """Count one row that a stage stopped, as `add` does."""
        if self.changed:
            return False
        self.stops[stage] += 1
        self._unseen += 1
        return self._unseen >= _EVERY and self.add([0] * len(self.stops))

    def _ratio(self) -> float:
        """Mean of the likelihood ratios of all beginnings, weighted 1/2, 1/4, …; those that are to come count 1."""
        total, weight = 0.0, 1.0
        for begin in self._begins:
            weight /= 2
            since = [now - then for now, then in zip(self.stops, begin)]  # noqa: B905
            known = [
                self.fitted_rows * share + then + _PRIOR
                for share, then in zip(self.shares, begin)  # noqa: B905
            ]
            ratio = _log_likelihood(since, [_PRIOR] * len(since)) - _log_likelihood(since, known)
            total += weight * math.exp(min(ratio, 700.0))
        return total + weight

    def sentence(self) -> str:
        """What has changed, and what to do."""
        then = ", ".join(f"{100 * share:.0f}%" for share in self.shares)
        now = ", ".join(f"{100 * stop / max(1, self.rows):.0f}%" for stop in self.stops)
        return (
            f"Rows stop at other stages than when the policy was fitted (now {now} of {self.rows:,} rows at each stage, "
            f"then {then} of {self.fitted_rows:,}), so its accuracy is no longer known: "
            "run 'edgetime select --per-input' on rows of today."
        )


def _log_likelihood(counts: Sequence[int], prior: Sequence[float]) -> float:
    """Logarithm of the probability of a sequence with these counts, its shares drawn from a Dirichlet distribution."""
    whole = sum(prior)
    parts = sum(math.lgamma(a + n) - math.lgamma(a) for a, n in zip(prior, counts))  # noqa: B905
    return math.lgamma(whole) - math.lgamma(whole + sum(counts)) + parts
