"""Candidates, and what came of trying them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from compressor.costs import Configuration, Costs


@dataclass(frozen=True)
class Candidate:
    """A network to look at: its configuration, and what it starts from.

    Attributes
    ----------
    configuration
        What was chosen.
    keep
        Which of the original's channels stay; None for the most important ones.
    network
        A ``.keras`` file in the search's folder that has this configuration and the weights to go on from; None to
        inherit those of the original.
    model
        That network in memory, so that it is not read again.
    """

    configuration: Configuration
    keep: dict[str, list[int]] | None = None
    network: str | None = None
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by group."""
        return self.configuration.widths

    @property
    def key(self) -> str:
        """A short name for files; equal candidates have the same."""
        values = json.dumps([self.configuration.to_dict(), self.keep, self.network], sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried: `configuration`, `keep` and `network` as in `Candidate`.

    Score and loss are on validation rows after a short fine-tuning; -inf and inf where training diverged.
    """

    configuration: Configuration
    costs: Costs
    score: float
    loss: float
    keep: dict[str, list[int]] | None = None
    network: str | None = None

    @property
    def candidate(self) -> Candidate:
        """What was tried."""
        return Candidate(self.configuration, self.keep, self.network)

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by group."""
        return self.configuration.widths

    @property
    def predicted_ms(self) -> float:
        """Its predicted time."""
        return self.costs.predicted_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite becomes None."""
        return {
            "configuration": self.configuration.to_dict(),
            **asdict(self.costs),
            "score": self.score if math.isfinite(self.score) else None,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "keep": self.keep,
            "network": self.network,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` wrote."""
        keep = value["keep"]
        return cls(
            Configuration.from_dict(value["configuration"]),
            Costs(
                float(value["predicted_ms"]),
                int(value["size_bytes"]),
                int(value["memory_bytes"]),
                value["energy_mj"],
                value["steered_ms"],
            ),
            -math.inf if value["score"] is None else float(value["score"]),
            math.inf if value["loss"] is None else float(value["loss"]),
            None if keep is None else {str(g): [int(p) for p in positions] for g, positions in keep.items()},
            value["network"],
        )
