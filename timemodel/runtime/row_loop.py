"""What running networks row by row from Python costs beside the networks: handing rows over, and deciding which network is next."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_RUN = 2.0
_PER_KB = 0.75
_DECIDE = 3.4


@dataclass(frozen=True)
class RowLoop:
    """Prices by `call_ms`, a call of a network that does next to nothing, which every profile has measured.

    Such a call is Python, its binding and the runtime's own steps, as are these; how many calls each is worth was found with the
    loop of `selector.runtime` in blocks of 200 to 1,000 rows.

    Examples
    --------
    >>> loop = RowLoop(call_ms=0.0004)
    >>> round(loop.run_ms(3072), 5), round(loop.decide_ms, 5)
    (0.0017, 0.00136)
    """

    call_ms: float = 0.0

    @classmethod
    def of(cls, model: Any, setting: str | None = None) -> RowLoop:
        """For the device of a time model; free where that does not know what a call costs."""
        terms = getattr(model.setting(setting), "terms", None) if hasattr(model, "setting") else None
        return cls(float(getattr(terms, "overhead_ms", 0.0)))

    def run_ms(self, row_bytes: int) -> float:
        """Around one run of a network whose inputs and outputs take `row_bytes`: copying a row in, and the answer out."""
        return self.call_ms * (_RUN + _PER_KB * row_bytes / 1024)

    @property
    def decide_ms(self) -> float:
        """Combining what stages said of a row, and comparing it with a threshold."""
        return self.call_ms * _DECIDE

    def network_ms(self, shapes: Iterable[tuple[int, ...]], classes: int) -> float:
        """Around one run of a network with inputs of these shapes, each of one row, that answers so many classes."""
        return self.run_ms(4 * (classes + sum(math.prod(shape) for shape in shapes)))
