"""`ProfileSummary`: what one call of `profile` did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from profiler.calm import State, in_words
from profiler.measurement.next_probes import INTERVAL_PER_ERROR
from profiler.measurement.power import PowerReading


@dataclass(frozen=True)
class ProfileSummary:
    """Result of one call of `profile`.

    `measured` and `failed` (the runtime could not run the probe) count this call; `probes` is the number
    planned, `covered` the share of them that the profile now holds, `calm_probes` how many of them it met in calm.
    `calm_share` is the share of calm time in the whole profile, `states` what was met, see `profiler.calm.Calm`.

    `stopped` says why it ended: ``goal`` (the adviser said that this is enough), ``budget`` (the time was used) or
    ``complete`` (there was nothing left to measure). `error` and `interval` are the adviser's last ones, None where
    it was not asked: mean relative error, and within what share 90% of `error_of` (networks, or layers where there
    are none) are. `advised` is how many probes there are on its advice; `problem` says why it gave none. `notes` are
    sentences on the device and its states, `power` is what was learned of the energy, None where there is no source of it.
    """

    path: str
    device: str
    setting: str
    probes: int
    measured: int
    failed: int
    covered: float
    minutes: float
    calm_share: float = 1.0
    calm_probes: int = 0
    states: tuple[State, ...] = ()
    canary_repeats: bool = True
    stopped: str = "complete"
    error: float | None = None
    interval: float | None = None
    error_of: str = "networks"
    goal: float | None = None
    budget_minutes: float = 0.0
    advised: int = 0
    problem: str = ""
    notes: tuple[str, ...] = ()
    simulated: bool = False
    power: PowerReading | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.simulated:
            return self._worked_out()
        state = f"all met, {self.calm_probes:,} in calm"
        if self.covered < 1:
            state = f"{self.covered:.0%} of them met, {self.calm_probes:,} in calm (the same command goes on from here)"
        failed = f", {self.failed} not supported by the runtime" if self.failed else ""
        lines = [
            f"{self.device}; {self.setting}: {self.measured:,} measurements of {self.probes:,} probes in "
            f"{self.minutes:.1f} min{failed}; {state}, in {self.path}",
            in_words(self.calm_share, self.states, self.canary_repeats),
        ]
        if self.error is not None and self.interval is not None:
            lines.append(self._judgement(self.error, self.interval))
        if self.problem:
            lines.append(f"The plan was measured without advice: {self.problem}.")
        return "\n".join([*lines, *self.notes])

    def _worked_out(self) -> str:
        """The same of a simulator, which knows no calm and no noise."""
        rest = (
            ""
            if self.covered == 1
            else f", {self.covered:.0%} of the plan (the same command goes on from here)"
        )
        failed = f"; {self.failed} left out: not for this accelerator" if self.failed else ""
        first = f"{self.device}; {self.setting}: {self.measured:,} of {self.probes:,} probes worked out in {self.minutes:.1f} min"
        return "\n".join([f"{first}{rest}{failed}, in {self.path}", *self.notes])

    def _judgement(self, error: float, interval: float) -> str:
        goal = within = ""
        if self.goal is not None:
            goal = f" (goal {100 * self.goal:.3g}%)"
            within = f" (goal {100 * self.goal * INTERVAL_PER_ERROR:.3g}%)"
        more = f", {self.advised:,} probes were added where it matters" if self.advised else ""
        after = f"{self.minutes:.1f} of {self.budget_minutes:g} minutes"
        end = {
            "goal": f"stopped after {after} (--goal 0 uses all of them)",
            "budget": f"all {self.budget_minutes:g} minutes used",
            "complete": f"nothing more to measure after {after}",
        }[self.stopped]
        return (
            f"Cross-validated error {100 * error:.1f}%{goal}, 90% of {self.error_of} within "
            f"±{100 * interval:.1f}%{within} at the last check{more}: {end}."
        )
