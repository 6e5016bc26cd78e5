"""Asking, while a device is measured, whether that is enough and what to measure next.

The adviser is passed in: what learns from a profile stands above this package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from profiler.errors import EdgetimeError
from profiler.measurement.combining import ProbeTime
from profiler.measurement.store import Profile
from profiler.probes import Probe
from profiler.progress import ProgressCallback

EVERY_S = 60.0
"""Seconds of measuring between two questions: an answer takes a fit of the time model, some 10 s."""
LEAST_LEFT_S = 25.0
"""With less time left nobody is asked: it is better spent on measuring."""
SHARE = 0.2
"""An answer that would take more than this share of all the time is given up: slow boards fit slowly."""

INTERVAL_PER_ERROR = 5 / 3
"""The interval may be so many times the goal for the mean error: 3% on average, and 90% of networks within 5%."""


@dataclass(frozen=True)
class NextProbes:
    """What to measure next, and how good the time model is by now.

    Parameters
    ----------
    done
        The goal is reached.
    error
        Mean relative error on what the model had not learned from; 0.03 is 3%.
    interval
        90% of networks are within this share of their time.
    probes
        What to measure next, in an order in which every prefix is a good choice.
    note
        A few words on where these probes go.
    of
        ``networks``, or ``layers`` where there were no networks to judge error and interval by.
    """

    done: bool
    error: float
    interval: float
    probes: tuple[Probe, ...] = ()
    note: str = ""
    of: str = "networks"


Events = Mapping[str, "Sequence[tuple[str, int]] | None"]
"""Operators that the runtime ran for probes, by probe key: see `Profile.add_events`."""

Adviser = Callable[[Sequence[ProbeTime], Events, ProgressCallback], NextProbes]
"""Takes the times and the events of one setting. It calls back often: there it may be stopped."""


class Consultation:
    """Asks an adviser from time to time.

    Parameters
    ----------
    adviser
        None: nobody is ever asked.
    begin, deadline
        The time that there is, by `time.monotonic`.

    Attributes
    ----------
    latest : NextProbes or None
        The last answer.
    problem : str
        Why nobody is asked any more; empty where all is well.
    """

    def __init__(
        self, adviser: Adviser | None, store: Profile, setting: str, begin: float, deadline: float
    ) -> None:
        self._adviser = adviser
        self._store = store
        self._setting = setting
        self._begin = begin
        self._deadline = deadline
        self._asked = -1e9
        self._took = 0.0
        self.latest: NextProbes | None = None
        self.problem = ""

    @property
    def possible(self) -> bool:
        """Whether there is somebody to ask, and time left to do so and to measure what is advised."""
        left = self._deadline - time.monotonic()
        return self._adviser is not None and not self.problem and left >= max(LEAST_LEFT_S, 2 * self._took)

    @property
    def due(self) -> bool:
        """Whether it is possible to ask, and so long ago that much has been measured since."""
        return self.possible and time.monotonic() - self._asked >= EVERY_S

    def ask(self, report: Callable[[str], None]) -> NextProbes | None:
        """Ask; None where there is no answer, which `problem` explains and which loses nothing.

        Parameters
        ----------
        report
            Called now and then with what is being done.
        """
        assert self._adviser is not None
        since = time.monotonic()
        until = min(self._deadline, since + SHARE * (self._deadline - self._begin))

        def listen(fraction: float, note: str) -> None:
            if time.monotonic() > until:
                raise _TakesTooLongError
            report(note)

        times, events = self._store.measurements(self._setting), self._store.events(self._setting)
        answer = None
        try:
            answer = self.latest = self._adviser(times, events, listen)
        except _TakesTooLongError:
            self.problem = "working out what to measure next takes too long here"
        except Exception as error:
            # Whatever is wrong with the advice, measuring goes on: what is planned is a good profile by itself.
            what = str(error) if isinstance(error, EdgetimeError) else f"{type(error).__name__}: {error}"
            self.problem = f"what to measure next could not be worked out ({what.rstrip('.')})"
        self._asked = time.monotonic()
        self._took = self._asked - since
        return answer


class _TakesTooLongError(Exception):
    """Raised inside the adviser, out of its progress callback, to get back the time."""
