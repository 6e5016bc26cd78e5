"""The same width in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selector.sequence.widths.base import Chooser, WidthPolicy, check_widths


@dataclass(frozen=True)
class FixedWidth(WidthPolicy):
    """Ordinary beam search; width 1 is greedy."""

    width: int = 5
    kind: ClassVar[str] = "fixed"

    def __post_init__(self) -> None:
        check_widths(1, self.width)

    @property
    def most(self) -> int:
        """The width."""
        return self.width

    def begin(self) -> Chooser:
        """The width, always."""
        return lambda step: self.width
