"""What a search chooses about a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

_NETWORK = "network"
"""Where the precision of the whole network stands; which operator has which bits follows from its name."""


class Configuration:
    """What a search chooses: how many channels each group has, what else goes, the file's precision; it cannot change.

    Parameters
    ----------
    widths
        Channels by group (`compressor.graph.Group.id`).
    others
        The choices of further dimensions, by the names in `DIMENSIONS`; what is left out is empty. A further dimension
        needs its name there and a property, the cost that reads it, and what applies it (`Prepared.build`); methods
        that do not choose it carry it along.

    Examples
    --------
    >>> full = Configuration({"conv": 8, "dense": 10})
    >>> full.with_widths({"conv": 4}).to_dict()
    {'widths': {'conv': 4, 'dense': 10}}
    >>> full.with_widths({"conv": 8}) == full
    True
    >>> full.without(["block_2"]).to_dict()
    {'widths': {'conv': 8, 'dense': 10}, 'removed': {'block_2': 1}}
    >>> full.with_precision("int8").precision
    'int8'
    """

    DIMENSIONS: ClassVar[tuple[str, ...]] = ("widths", "removed", "precision")

    __slots__ = ("_choices",)

    def __init__(self, widths: Mapping[str, int], **others: Mapping[str, Any]) -> None:
        given: dict[str, Mapping[str, Any]] = {"widths": widths, **others}
        unknown = sorted(given.keys() - set(self.DIMENSIONS))
        if unknown:
            raise TypeError(
                f"A configuration has no {', '.join(unknown)}: it has {', '.join(self.DIMENSIONS)}."
            )
        self._choices: dict[str, dict[str, Any]] = {
            dimension: dict(given.get(dimension, {})) for dimension in self.DIMENSIONS
        }
        self._choices["widths"] = {name: int(width) for name, width in widths.items()}

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by group."""
        return MappingProxyType(self._choices["widths"])

    @property
    def removed(self) -> frozenset[str]:
        """What is gone besides channels, such as blocks, or the border of kernels (`compressor.graph.Change.id`)."""
        return frozenset(self._choices["removed"])

    def without(self, blocks: Iterable[str]) -> Configuration:
        """The same widths with these blocks or other things gone, and no others."""
        made = object.__new__(type(self))
        made._choices = {**self._choices, "removed": dict.fromkeys(sorted(blocks), 1)}
        return made

    @property
    def precision(self) -> str:
        """Name of the number types of its file's operators; empty where that is not chosen, or there is no choice."""
        return str(self._choices["precision"].get(_NETWORK, ""))

    def with_precision(self, precision: str) -> Configuration:
        """The same with this precision; without one where it is empty."""
        made = object.__new__(type(self))
        made._choices = {**self._choices, "precision": {_NETWORK: precision} if precision else {}}
        return made

    def with_widths(self, widths: Mapping[str, int]) -> Configuration:
        """The same with these widths; groups that are not named keep theirs."""
        changed = {name: int(width) for name, width in widths.items()}
        made = object.__new__(type(self))  # searches ask thousands of times: nothing is checked again
        made._choices = {**self._choices, "widths": {**self._choices["widths"], **changed}}
        return made

    def with_kept(self, keep: Mapping[str, Sequence[int]]) -> Configuration:
        """The same with as many channels in each group as are kept there."""
        return self.with_widths({name: len(positions) for name, positions in keep.items()})

    @property
    def key(self) -> str:
        """A short name for files; equal configurations have the same."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain JSON values; further dimensions only where something is chosen."""
        return {name: dict(values) for name, values in self._choices.items() if values or name == "widths"}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Configuration:
        """Read what `to_dict` wrote; a dimension that is not known here is a `TypeError`."""
        return cls(**value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self._choices == other._choices

    def __hash__(self) -> int:
        return hash(frozenset(self._choices["widths"].items()))

    def __repr__(self) -> str:
        return f"Configuration({', '.join(f'{name}={values}' for name, values in self.to_dict().items())})"
