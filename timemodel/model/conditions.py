"""Under what conditions a device was profiled: how calm it was, and how much longer things took under the load that was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from profiler.calm import State, in_words
from timemodel.model.checking import items, number, table, text, whole

FEW_CALM = 0.8
"""With a smaller share of the probes met in calm, intervals rest on corrected times too and are wider for it."""
TOO_FEW_CALM = 0.4
"""With a smaller share a user should know before all else."""


@dataclass(frozen=True)
class Load:
    """How many times as long as in calm what takes `span_ms` took under the load that was met: median, 90th percentile."""

    span_ms: float
    p50: float
    p90: float


@dataclass(frozen=True)
class Conditions:
    """Of one setting's profile.

    Parameters
    ----------
    calm_share
        Share of the time in which the device was calm.
    canary_us
        The canary's time in calm.
    states, canary_repeats
        See `profiler.calm.Calm`.
    probes, calm_probes
        Probes that ran, and those of them that were met in calm.
    powers
        By kind of work: what a state that slows the canary by r slows it by is r to this power.
    loads
        For rising spans.
    """

    calm_share: float
    canary_us: float
    states: tuple[State, ...] = ()
    canary_repeats: bool = True
    probes: int = 0
    calm_probes: int = 0
    powers: Mapping[str, float] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()

    @property
    def widened(self) -> bool:
        """Whether intervals are wider for times that were corrected."""
        return self.calm_probes < FEW_CALM * self.probes

    def in_words(self) -> str:
        """One or two sentences for a header."""
        met = f" {self.calm_probes:,} of {self.probes:,} probes were met in calm." if self.probes else ""
        return in_words(self.calm_share, self.states, self.canary_repeats) + met

    def warning(self, again: str) -> str | None:
        """What to know before trusting the model, with the mend; `again` is the command that measures more."""
        if self.calm_probes >= TOO_FEW_CALM * self.probes and self.canary_repeats:
            return None
        never = 1 - self.calm_probes / max(self.probes, 1)
        what = f"calm {self.calm_share:.0%} of the time: {never:.0%} of the probes never met a calm moment"
        if not self.canary_repeats:
            what = "the device's speed never repeated, so what calm is could not be told"
        return (
            f"{what[0].upper()}{what[1:]}, and predictions are less sure for it: run {again} again to go on, "
            "or stop what else runs there first."
        )

    def met_ms(self, calm_ms: float) -> tuple[float, float] | None:
        """Median and 90th percentile, under the load that was met, of what takes `calm_ms` in calm; None where unknown."""
        if not self.loads:
            return None
        spans = np.log([load.span_ms for load in self.loads])
        at = np.log(max(calm_ms, 1e-9))
        factors = [[load.p50 for load in self.loads], [load.p90 for load in self.loads]]
        p50, p90 = (float(np.interp(at, spans, row)) for row in factors)
        return calm_ms * p50, calm_ms * max(p50, p90)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **asdict(self),
            "states": [asdict(s) for s in self.states],
            "loads": [asdict(load) for load in self.loads],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Conditions:
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            It does not hang together.
        """
        powers = table(value["powers"], "its powers by kind of work")
        return cls(
            calm_share=number(value["calm_share"], "its share of calm time"),
            canary_us=number(value["canary_us"], "the canary's time", above=True),
            states=tuple(
                State(number(row["factor"], "a state's factor"), number(row["share"], "a state's share"))
                for row in (table(row, "a state") for row in items(value["states"], "its states"))
            ),
            canary_repeats=value["canary_repeats"] is True,
            probes=whole(value["probes"], "its number of probes"),
            calm_probes=whole(value["calm_probes"], "its number of probes met in calm"),
            powers={text(kind, "a kind of work"): number(power, "a power") for kind, power in powers.items()},
            loads=tuple(
                Load(
                    *(number(row[name], f"a load's {name}", above=True) for name in ("span_ms", "p50", "p90"))
                )
                for row in (table(row, "a load") for row in items(value["loads"], "its loads"))
            ),
        )
