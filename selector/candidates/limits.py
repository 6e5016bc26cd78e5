"""What a network may take on a device, and which one comes nearest where none fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.errors import UsageError
from selector.candidates.option import NetworkOption

_BYTES = 1000.0


@dataclass(frozen=True)
class DeviceLimits:
    """What one inference may take at most; None where there is no limit.

    `budget_ms` is of predicted time, `max_memory_kb` of the activations at their peak (1,000 bytes each), `max_energy_mj` of
    predicted energy.
    """

    budget_ms: float | None = None
    max_memory_kb: float | None = None
    max_energy_mj: float | None = None

    def check(self) -> None:
        """Raise UsageError where a limit is not a positive number."""
        limits = (
            ("budget", self.budget_ms, "ms", "a time"),
            ("limit", self.max_memory_kb, "kB of memory", "a size"),
            ("limit", self.max_energy_mj, "mJ", "an energy"),
        )
        for name, value, unit, what in limits:
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"A {name} of {value:g} {unit} cannot be met: give {what} above 0.")

    def check_known(self, device: str, candidates: Sequence[NetworkOption]) -> None:
        """Raise UsageError where energy is limited and the device's is not known."""
        if self.max_energy_mj is not None and any(
            one.energy_mj is None and not one.at_least for one in candidates
        ):
            raise UsageError(
                f"The time model of {device} knows no energy: leave the limit on energy out, "
                "or profile the device with a source of power ('edgetime targets' lists them)."
            )

    def fit(self, candidate: NetworkOption) -> bool:
        """Whether a network is within every limit: what takes *at least* its time is not, whatever that is."""
        return not candidate.at_least and all(ratio <= 1 for _, ratio in self._taken(candidate))

    def over(self, candidate: NetworkOption) -> tuple[str, ...]:
        """The limits that a network is beyond: ``time``, ``memory``, ``energy``."""
        return tuple(name for name, ratio in self._taken(candidate) if ratio > 1)

    def miss(self, candidates: Sequence[NetworkOption]) -> str:
        """Words on limits that no candidate is within: each one's nearest; where each alone is met, the nearest to all."""
        candidates = [one for one in candidates if not one.at_least] or candidates
        if candidates[0].at_least:
            first = candidates[0]
            return (
                f"No network's time is known on this device: {first.path} takes at least {first.predicted_ms:.3g} ms; not known: "
                f"{first.why_unknown or ', '.join(first.uncovered)}. Profile the device with these operators, or measure with "
                "'edgetime predict --measure'."
            )
        limits = [name for name, _ in self._taken(candidates[0])]
        unmet = [name for name in limits if all(name in self.over(one) for one in candidates)]
        if unmet:
            text = "; ".join(
                f"{'No' if index == 0 else 'no'} network is predicted to take at most {self._limit(name)}; nearest is "
                + self._nearest([name], candidates)
                for index, name in enumerate(unmet)
            )
        else:
            together = " and ".join(map(self._limit, limits))
            text = f"No network is predicted to take at most {together} together; nearest is "
            text += self._nearest(limits, candidates)
        budget = limits == ["time"]
        mend = (
            "raise the budget, or make it faster"
            if budget
            else "raise the limit, or make it smaller"
            if len(limits) == 1
            else "raise a limit, or make it smaller and faster"
        )
        return f"{text}: {mend} with 'edgetime compress'."

    def _taken(self, candidate: NetworkOption) -> list[tuple[str, float]]:
        """What a candidate takes of each limit, as a share of it."""
        energy_mj = math.inf if candidate.energy_mj is None else candidate.energy_mj
        pairs = (
            ("time", candidate.predicted_ms, self.budget_ms),
            ("memory", candidate.peak_memory_bytes / _BYTES, self.max_memory_kb),
            ("energy", energy_mj, self.max_energy_mj),
        )
        return [(name, value / limit) for name, value, limit in pairs if limit is not None]

    def _nearest(self, names: Sequence[str], candidates: Sequence[NetworkOption]) -> str:
        """The candidate that is least beyond the worst of some limits, in words."""

        def worst(one: NetworkOption) -> float:
            return max(ratio for name, ratio in self._taken(one) if name in names)

        nearest = min(candidates, key=worst)
        over = {name: ratio for name, ratio in self._taken(nearest) if name in names and ratio > 1}
        takes = " and ".join(f"{_value(name, nearest)} ({_excess(ratio)})" for name, ratio in over.items())
        return f"{nearest.path} with {takes}"

    def _limit(self, name: str) -> str:
        if name == "time":
            return f"{self.budget_ms:g} ms"
        return f"{self.max_memory_kb:g} kB of memory" if name == "memory" else f"{self.max_energy_mj:g} mJ"


def _value(name: str, candidate: NetworkOption) -> str:
    if name == "time":
        return f"{candidate.predicted_ms:.3g} ms"
    if name == "memory":
        return f"{candidate.peak_memory_bytes / _BYTES:.4g} kB"
    return f"{candidate.energy_mj:.3g} mJ"


def _excess(ratio: float) -> str:
    """How far a value is beyond its limit."""
    if ratio < 2:
        return f"{100 * (ratio - 1):.1f}% over"
    return f"{ratio:,.0f} times that" if ratio >= 100 else f"{ratio:.3g} times that"
