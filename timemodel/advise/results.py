"""What `timemodel.advise.advice.advise` finds: plain values that print and become JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from timemodel.advise.precision import NumberType


@dataclass(frozen=True)
class WidthOption:
    """Another width, and what the whole network would take with it.

    `saving_ms` is what it would take less than now (negative: more), `saving_share` the same as a share of
    now. `error_ms` is by how much the saving may be off (90%).
    """

    width: int
    predicted_ms: float
    saving_ms: float
    saving_share: float
    error_ms: float = 0.0

    @property
    def sure(self) -> bool:
        """Whether it saves more than the model may be wrong."""
        return self.saving_ms > self.error_ms


@dataclass(frozen=True)
class GroupAdvice:
    """What can be done about one group of channels that change together.

    Parameters
    ----------
    group, name
        `WidthGroup.id` and the name of its first layer.
    layers
        `Layer.index` of the layers that put these channels out.
    width
        How many there are now.
    group_ms
        Predicted time now of all layers that change with the width, in ms; consumers included.
    wider
        Larger widths that cost no more: the fastest one if it is faster than now beyond the model's error, and
        the widest one that is free.
    narrower
        Smaller widths that save more than the model's error, nearest first: each is the widest one of a step of
        the staircase.
    fixed
        Why the width cannot change; empty where it can.
    """

    group: int
    name: str
    layers: tuple[int, ...]
    width: int
    group_ms: float
    wider: tuple[WidthOption, ...] = ()
    narrower: tuple[WidthOption, ...] = ()
    fixed: str = ""


@dataclass(frozen=True)
class Together:
    """Several changes at once, predicted on the network that has them all.

    `changes` are (group, width); the other fields are those of `WidthOption`.
    """

    changes: tuple[tuple[int, int], ...]
    predicted_ms: float
    saving_ms: float
    saving_share: float
    error_ms: float = 0.0


@dataclass(frozen=True)
class Advice:
    """Advice on one network; see `advise`.

    Parameters
    ----------
    top
        The nearest change of each group that saves more than the model's error, most saving first, as
        (group, option).
    together
        What the first three of `top` save when all are made; None where there are fewer than two.
    unsure
        Where `top` is empty: the change that is predicted to save most, which the model is not sure of.
    number_types
        What the network would take in other number types that the time model knows.
    """

    network: str
    predicted_ms: float
    groups: tuple[GroupAdvice, ...]
    top: tuple[tuple[int, WidthOption], ...]
    notes: tuple[str, ...] = ()
    together: Together | None = None
    unsure: tuple[int, WidthOption] | None = None
    number_types: tuple[NumberType, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``advise --json``."""
        return {
            "network": self.network,
            "predicted_ms": self.predicted_ms,
            "groups": [asdict(group) for group in self.groups],
            "top": [self._change(*change) for change in self.top],
            "together": None if self.together is None else asdict(self.together),
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
                "wider": ", ".join(_text(o) if o.sure else f"{o.width} (free)" for o in group.wider),
            }
            for group in self.groups
            if not group.fixed
        ]


def _texts(options: Sequence[WidthOption]) -> str:
    return ", ".join(_text(o) for o in options)


def _text(option: WidthOption) -> str:
    # Adding 0 turns -0.0 into 0.0, which reads better.
    return f"{option.width} ({round(-100 * option.saving_share, 1) + 0:+.1f}%)"
