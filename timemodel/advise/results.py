"""What `advise` finds: plain values that print and become JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Saving:
    """What a changed network would take, how much less than now that is, and by how much (90%) that may be off.

    `saving_mj` is the energy that it would save; None where the device's energy is not known.
    """

    predicted_ms: float
    saving_ms: float
    saving_share: float
    error_ms: float
    saving_mj: float | None = field(default=None, kw_only=True)

    @property
    def sure(self) -> bool:
        """Whether it saves more than the model may be wrong."""
        return self.saving_ms > self.error_ms


@dataclass(frozen=True)
class WidthOption(Saving):
    """A network with another `width` of one group of channels."""

    width: int


@dataclass(frozen=True)
class CombinedChange(Saving):
    """A network with other widths of several groups; `changes` are (group, width)."""

    changes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class OperatorInType:
    """All layers of one operator in a network, now and in another number type; `error_ms` (90%) is of the difference."""

    op: str
    layers: int
    now_ms: float
    other_ms: float
    error_ms: float
    measured: bool

    @property
    def slower(self) -> bool:
        """Whether it surely takes longer there."""
        return self.other_ms - self.now_ms > self.error_ms

    @property
    def faster(self) -> bool:
        """Whether it surely takes less there."""
        return self.now_ms - self.other_ms > self.error_ms


@dataclass(frozen=True)
class NumberType(Saving):
    """A network in another number type, with its operators; what differs most comes first."""

    dtype: str
    operators: tuple[OperatorInType, ...]


@dataclass(frozen=True)
class GroupAdvice:
    """What can be done about one group of channels that change together.

    Widths that are `wider` cost no more: the fastest one beyond the model's error, and the widest one that is free. Those
    that are `narrower` save more than that error, nearest first: each is the widest one of a step of the staircase.
    `fixed` says why the width cannot change.
    """

    group: int
    name: str
    layers: tuple[int, ...]  # `Layer.index` of those that put these channels out
    width: int
    group_ms: float  # time now of all layers that change with the width, consumers included
    wider: tuple[WidthOption, ...] = ()
    narrower: tuple[WidthOption, ...] = ()
    fixed: str = ""


@dataclass(frozen=True)
class Advice:
    """Advice on one network; see `advise`.

    `top` has the nearest change (group, option) of each group that saves more than the model's error, most saving first,
    `combined` what the first three of them save together; `unsure`, where `top` is empty, what is predicted to save most.
    `energy_mj` is of the network as it is; None where that is not known. `at_least`: as in `NetworkPrediction`, where `unknown`
    are the operators whose time is not known; a note says why.
    """

    network: str
    predicted_ms: float
    groups: tuple[GroupAdvice, ...]
    top: tuple[tuple[int, WidthOption], ...]
    notes: tuple[str, ...] = ()
    combined: CombinedChange | None = None
    unsure: tuple[int, WidthOption] | None = None
    number_types: tuple[NumberType, ...] = ()
    energy_mj: float | None = None
    unknown: tuple[str, ...] = ()
    at_least: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``advise --json``."""
        return {
            "network": self.network,
            "predicted_ms": self.predicted_ms,
            "energy_mj": self.energy_mj,
            "at_least": self.at_least,
            "unknown": list(self.unknown),
            "groups": [asdict(group) for group in self.groups],
            "top": [self._change(*change) for change in self.top],
            "combined": None if self.combined is None else asdict(self.combined),
            "unsure": None if self.unsure is None else self._change(*self.unsure),
            "number_types": [asdict(kind) for kind in self.number_types],
            "notes": list(self.notes),
        }

    def _change(self, number: int, option: WidthOption) -> dict[str, Any]:
        group = self.groups[number]
        return {
            "group": number,
            "name": group.name,
            "layers": list(group.layers),
            "from_width": group.width,
            **asdict(option),
        }

    def rows(self) -> list[dict[str, str]]:
        """One row of text per group that can change, in the order of the network; the keys are a table's headings."""
        return [
            {
                "layer": ", ".join(str(i) for i in group.layers[:3]) + ("…" if len(group.layers) > 3 else ""),
                "name": group.name,
                "channels": str(group.width),
                "narrower": _texts(group.narrower),
                "wider": _texts(group.wider),
            }
            for group in self.groups
            if not group.fixed
        ]


def _texts(options: Sequence[WidthOption]) -> str:
    # Adding 0 turns -0.0 into 0.0, which reads better.
    shares = [f"{round(-100 * o.saving_share, 1) + 0:+.1f}%" if o.sure else "free" for o in options]
    return ", ".join(f"{option.width} ({share})" for option, share in zip(options, shares, strict=True))
