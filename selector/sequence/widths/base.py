"""What a policy of widths is: how many hypotheses go on after each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from selector.sequence.step import SearchStep

Chooser = Callable[[SearchStep], "int | NDArray[np.intp]"]
"""After each step: how many of its candidates, best first, go on; or which, by their places. Hypotheses that
ended and keep their places count too."""


@dataclass(frozen=True)
class WidthPolicy(ABC):
    """How wide the beam is, step by step.

    A kind of policy is a frozen dataclass whose fields are plain numbers, strings, or tuples of them; `kind` names it in files. It
    is registered by `register_width_policy`, or by the entry point ``edgetime.width_policies``;
    `selector.testing.check_width_policy` is the suite that it must pass.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def most(self) -> int:
        """The most hypotheses that it ever lets go on."""

    @abstractmethod
    def begin(self) -> Chooser:
        """What chooses for one sentence; it may remember what it saw of it."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"kind": self.kind, **_plain(asdict(self))}


def check_widths(least: int, most: int) -> None:
    """Raise UsageError where widths cannot be."""
    if not (isinstance(least, int) and isinstance(most, int) and 1 <= least <= most):
        raise UsageError(
            f"Widths are whole numbers from 1, the least at most the most: not {least!r} to {most!r}."
        )


def check_finite(policy: str, **values: float) -> None:
    """Raise UsageError where a number is NaN or infinite."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise UsageError(f"{name} of the width policy {policy} is {value!r}, which is no number.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
