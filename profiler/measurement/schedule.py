"""Which probe to measure next: all of them until each was met in calm, whole networks in calm stretches only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from profiler.measurement.sensitivity import goes_far
from profiler.probes import Probe

BACKLOG = 300
"""While so many wait for a calm moment, no new ones are begun..."""
TIMES = 3
"""...before each of them was met so often: several corrected times of one probe say more than one of several."""
MOST = 12
"""A probe that was met so often and never in calm is left."""


def meetings_wanted(probe: Probe) -> int:
    """How often a probe is met in calm before it is done.

    Several times, for the least to count: what decides over small differences (whole networks, chains, parts), and what others' use
    of the memory slows down while the canary, which stays in the nearest cache, is calm.
    """
    return 3 if goes_far(probe) else _SEVERAL.get(probe.kind, 1)


_SEVERAL = {"chain": 3, "network": 3, "part": 2}


@dataclass
class _State:
    """What is known of one probe: how often it was met, and how often in calm."""

    probe: Probe
    met: int = 0
    calm: int = 0

    @cached_property
    def wanted(self) -> int:
        """See `meetings_wanted`."""
        return meetings_wanted(self.probe)


class ProbeSchedule:
    """Decides by what was met so far; the order of the plan is kept among equals.

    Parameters
    ----------
    probes
        In an order in which every prefix is a good sample.
    calm_times
        How often each is to be met in calm. Only when all were met in calm once is the second time begun.

    Attributes
    ----------
    covered, calm : int
        Probes that were met at all, and in calm.
    times : int
        Meetings in calm that were wanted.
    """

    def __init__(self, probes: Iterable[Probe], calm_times: int = 1) -> None:
        self._calm_times = calm_times
        self._states: dict[str, _State] = {}
        self._waiting: deque[_State] = deque()
        self._round = 1
        self.covered = self.calm = self.times = 0
        self._begin()
        self.add(probes)

    def _begin(self) -> None:
        self._open: list[deque[_State]] = [deque() for _ in range(MOST)]
        self._networks: list[deque[_State]] = [deque() for _ in range(MOST)]
        self._backlog = 0

    def add(self, probes: Iterable[Probe], first: bool = False) -> list[Probe]:
        """Add probes, at the end or before all others; returns those that are new."""
        new = [_State(probe) for probe in dict.fromkeys(probes) if probe.key not in self._states]
        self._states |= {state.probe.key: state for state in new}
        if first:
            self._waiting.extendleft(reversed(new))
        else:
            self._waiting.extend(new)
        return [state.probe for state in new]

    def know(self, key: str, calm: bool) -> None:
        """Take in an earlier measurement, before the first `next`; what is not on the schedule is passed over."""
        if key in self._states:
            self._count(self._states[key], calm)

    def _count(self, state: _State, calm: bool) -> None:
        self.covered += not state.met
        state.met += 1
        if calm:
            self._count_calm(state)

    def _count_calm(self, state: _State) -> None:
        self.calm += not state.calm
        self.times += state.calm < self._calm_times
        state.calm += 1

    def next(self, calm: bool) -> Probe | None:
        """The probe to measure now, in a moment that looks calm or not; None where nothing is left.

        It is off the schedule until `met` says what became of it; one that cannot be run is not heard of again.
        """
        while True:
            least = self._least(self._open)
            if self._waiting and (self._backlog < BACKLOG or least >= TIMES):
                self._start(self._waiting.popleft())
                continue
            queues = self._networks if calm and self._least(self._networks) < MOST else self._open
            at = self._least(queues)
            if at == MOST:
                queues, at = self._networks, self._least(self._networks)
            if at < MOST:
                self._backlog -= 1
                return queues[at].popleft().probe
            if self._round >= self._calm_times:
                return None
            self._round += 1
            self._waiting.extend(state for state in self._states.values() if 0 < state.calm < self._round)

    def _least(self, queues: list[deque[_State]]) -> int:
        return next((met for met, queue in enumerate(queues) if queue), MOST)

    def _start(self, state: _State) -> None:
        """Put a probe among those that wait for a calm moment, unless it had one or was met often enough."""
        if state.calm < max(self._round, state.wanted) and state.met < MOST:
            (self._networks if state.probe.kind == "network" else self._open)[state.met].append(state)
            self._backlog += 1

    def met(self, probe: Probe, calm: bool) -> None:
        """Say that a probe was measured."""
        state = self._states[probe.key]
        self._count(state, calm)
        self._start(state)

    def drop(self, key: str) -> None:
        """Leave out a probe that cannot be run: one that is off the schedule, or before the first `next`."""
        if key in self._states:
            self.covered += not self._states[key].met
            self._states[key].met = MOST

    def restart(self, calm_keys: Iterable[str]) -> None:
        """Begin anew with other knowledge of which probes were met in calm: what calm is was seen wrongly before."""
        self.calm = self.times = 0
        for state in self._states.values():
            state.calm = 0
        for key in calm_keys:
            if key in self._states:
                self._count_calm(self._states[key])
        self._begin()
        self._round = 1
        self._waiting = deque(self._states.values())

    def __len__(self) -> int:
        return len(self._states)
