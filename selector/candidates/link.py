"""The way to another machine: what sending an input, or what was computed of it, costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from profiler.errors import UsageError


@dataclass(frozen=True)
class Link:
    """A link as it was measured.

    Parameters
    ----------
    latency_ms
        From sending the last byte to the first byte of the reply, without the work there: both ways together.
    mbps
        Millions of bits per second, from here to there; the reply is a few bytes.
    energy_mj_per_kb
        What the device spends on sending 1,000 bytes, mJ; None where unknown.
    cloud_ms
        Time of the network there; None where a time model says it.

    Examples
    --------
    >>> Link.parse("latency_ms=40,mbps=8").send_ms(10_000)
    50.0
    """

    latency_ms: float
    mbps: float
    energy_mj_per_kb: float | None = None
    cloud_ms: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where a value makes no sense."""
        for name, value in asdict(self).items():
            if value is None:
                continue
            if not math.isfinite(value) or value < 0 or (name == "mbps" and value == 0):
                raise UsageError(f"{name}={value:g} of a link makes no sense: give a number above 0.")

    @classmethod
    def parse(cls, text: str) -> Link:
        """Read ``latency_ms=40,mbps=8,energy_mj_per_kb=2.5``; UsageError where that is no link."""
        names = [field.name for field in fields(cls)]
        values: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, number = part.partition("=")
            try:
                if name.strip() not in names or not equals:
                    raise ValueError
                values[name.strip()] = float(number)
            except ValueError:
                raise UsageError(
                    f"{part!r} is nothing that a link has: write {', '.join(f'{one}=NUMBER' for one in names)}."
                ) from None
        missing = [name for name in ("latency_ms", "mbps") if name not in values]
        if missing:
            raise UsageError(
                f"A link needs {' and '.join(missing)}: write for instance latency_ms=40,mbps=8."
            )
        return cls(**values)

    def send_ms(self, nbytes: float) -> float:
        """Time of sending so many bytes and waiting for the reply, ms, without the work there."""
        return self.latency_ms + 8e-3 * nbytes / self.mbps

    def send_mj(self, nbytes: float) -> float | None:
        """Energy of sending so many bytes, mJ."""
        return None if self.energy_mj_per_kb is None else self.energy_mj_per_kb * nbytes / 1000

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)
