"""Which widths of a network to change on a device, and what each change would save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from profiler.errors import UsageError
from profiler.layer import Layer
from profiler.network import Network
from profiler.widths import Widths, analyse_widths

_FREE_TOLERANCE = 0.001
_EDGE = 2.0
_EVERY_WIDTH_UP_TO = 64
_BATCH_LAYERS = 50_000


class LayerTimer(Protocol):
    """The part of a time model that advice needs."""

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own; what stands in a loop counts every round."""
        ...

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """Time in ms of one inference of `network`."""
        ...


@dataclass(frozen=True)
class WidthOption:
    """Another width, and what the whole network would take with it.

    `saving_ms` is what it would take less than now (negative: more), `saving_share` the same as a share of
    now.
    """

    width: int
    predicted_ms: float
    saving_ms: float
    saving_share: float


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
        Larger widths that cost no more: the fastest one if it is faster than now, and the widest.
    narrower
        Smaller widths that cost less, nearest first: each is the widest one of a step of the staircase.
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
class Advice:
    """Advice on one network; see `advise`.

    `top` has the nearest worthwhile change of each group, most saving first, as (group, option).
    """

    network: str
    predicted_ms: float
    groups: tuple[GroupAdvice, ...]
    top: tuple[tuple[int, WidthOption], ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``advise --json``."""
        return {
            "network": self.network,
            "predicted_ms": self.predicted_ms,
            "groups": [asdict(group) for group in self.groups],
            "top": [
                {
                    "group": number,
                    "name": self.groups[number].name,
                    "layers": list(self.groups[number].layers),
                    "from_width": self.groups[number].width,
                    **asdict(option),
                }
                for number, option in self.top
            ],
            "notes": list(self.notes),
        }

    def rows(self) -> list[dict[str, str]]:
        """One row of text per group, in the order of the network; the keys are a table's headings."""
        return [
            {
                "layer": ", ".join(str(i) for i in group.layers[:4]) + ("…" if len(group.layers) > 4 else ""),
                "name": group.name,
                "width": str(group.width),
                "ms": f"{group.group_ms:.4g}",
                "no slower": _texts(group.wider),
                "faster": _texts(group.narrower),
                "fixed": group.fixed,
            }
            for group in self.groups
        ]


def _texts(options: Sequence[WidthOption]) -> str:
    # Adding 0 turns -0.0 into 0.0, which reads better.
    return ", ".join(f"{o.width} ({round(-100 * o.saving_share, 1) + 0:+.1f}%)" for o in options)


def advise(
    time_model: LayerTimer,
    network: Network,
    setting: str | None = None,
    min_saving: float = 0.02,
    most_steps: int = 4,
) -> Advice:
    """Look for widths of `network` that its device likes better.

    Each group of coupled channels is tried at widths from 1 to twice what it has, the others staying as they
    are; what counts is the whole network's time, since a layer's consumers change with it.

    Parameters
    ----------
    time_model
        Of the device in question.
    network
        As `profiler.read_network` gives it.
    setting
        Which of the device's settings, where the time model has several; handed on to it.
    min_saving
        A narrower width is reported where it makes the layers concerned faster by at least this share,
        compared with the next wider one that is reported.
    most_steps
        At most so many narrower widths per group.

    Raises
    ------
    UsageError
        It is not known how the network's layers hang together (it comes from a table), or a parameter makes
        no sense.
    """
    if not network.edges:
        raise UsageError(f"{network.name} is a list of layers without connections: give a .tflite file.")
    if not 0 <= min_saving < 1 or most_steps < 1:
        raise UsageError(
            f"min_saving must be in [0, 1) and most_steps at least 1, not {min_saving} and {most_steps}."
        )
    widths = analyse_widths(network)
    times = np.asarray(time_model.predict_layers_ms(network.layers, setting=setting), dtype=float)
    total_ms = time_model.predict_total_ms(network, setting=setting)
    staircases = _staircases(time_model, widths, times, setting)
    groups = []
    for group in widths.groups:
        group_ms, staircase = float(times[list(group.layers)].sum()), staircases.get(group.id, {})

        def option(width: int, number: int = group.id) -> WidthOption:
            changed_ms = time_model.predict_total_ms(widths.with_widths({number: width}), setting=setting)
            saving_ms = total_ms - changed_ms
            return WidthOption(width, changed_ms, saving_ms, saving_ms / total_ms if total_ms > 0 else 0.0)

        wider = [option(w) for w in _free_widths(group.width, group_ms, staircase)]
        steps = _steps_down(group.width, group_ms, staircase, min_saving)[:most_steps]
        narrower = [option(w) for w in steps]
        slack = _FREE_TOLERANCE * group_ms
        groups.append(
            GroupAdvice(
                group.id,
                group.name,
                tuple(network.layers[p].index for p in group.producers),
                group.width,
                group_ms,
                tuple(o for o in wider if o.saving_ms >= -slack),
                tuple(o for o in narrower if o.saving_ms > 0),
                group.frozen,
            )
        )
    nearest = [(g.group, o) for g in groups for o in (*g.narrower[:1], *g.wider[:1])]
    top = sorted((c for c in nearest if c[1].saving_ms > 0), key=lambda change: -change[1].saving_ms)
    return Advice(network.name, total_ms, tuple(groups), tuple(top), _notes(network, widths))


def candidate_widths(width: int) -> list[int]:
    """Widths from 1 to twice `width` where a staircase may have an edge; `width` itself is among them.

    Every one up to 64. Above that multiples of 8, 16, 32 and so on, coarser as they grow, with both
    neighbours, since an edge may lie on either side of a multiple; and a geometric sequence in between.
    """
    largest = 2 * width
    found = set(range(1, min(largest, _EVERY_WIDTH_UP_TO) + 1)) | {width - 1, width, width + 1}
    step, start = 8, _EVERY_WIDTH_UP_TO
    while start < largest:
        for multiple in range(start, min(4 * start, largest) + 1, step):
            found.update((multiple - 1, multiple, multiple + 1))
        step, start = 2 * step, 4 * start
    value = float(_EVERY_WIDTH_UP_TO)
    while value < largest:
        found.add(round(value))
        value *= 1.07
    return sorted(w for w in found if 1 <= w <= largest)


def _staircases(
    time_model: LayerTimer, widths: Widths, times: np.ndarray, setting: str | None
) -> dict[int, dict[int, float]]:
    """Per free group and candidate width: how much longer than now the network would take, in ms."""
    questions: list[tuple[int, int, float]] = []
    layers: list[Layer] = []
    ends: list[int] = []
    result: dict[int, dict[int, float]] = {}

    def answer() -> None:
        predicted = np.asarray(time_model.predict_layers_ms(layers, setting=setting), dtype=float)
        start = 0
        for (group, width, old_ms), end in zip(questions, ends, strict=True):
            result.setdefault(group, {})[width] = float(predicted[start:end].sum()) - old_ms
            start = end
        questions.clear()
        layers.clear()
        ends.clear()

    for group in widths.groups:
        if not group.free:
            continue
        for width in candidate_widths(group.width):
            changed = widths.changed_layers({group.id: width})
            questions.append((group.id, width, float(times[list(changed)].sum())))
            layers.extend(changed.values())
            ends.append(len(layers))
            if len(layers) >= _BATCH_LAYERS:
                answer()
    if layers:
        answer()
    return result


def _free_widths(width: int, group_ms: float, staircase: Mapping[int, float]) -> list[int]:
    """Larger widths that cost no more: the fastest, if faster than now, and the widest."""
    slack = _FREE_TOLERANCE * group_ms
    free = [w for w, more in staircase.items() if w > width and more <= slack]
    if not free:
        return []
    fastest = min(free, key=lambda w: (staircase[w], -w))
    chosen = [fastest] if staircase[fastest] < -slack else []
    return list(dict.fromkeys([*chosen, max(free)]))


def _steps_down(width: int, group_ms: float, staircase: Mapping[int, float], min_saving: float) -> list[int]:
    """Smaller widths, largest first, each faster than all larger ones by a real step.

    A step is an edge where one channel less saves at least twice what a channel is worth on average. Where
    there is no such edge, time falls evenly and any width that saves enough is as good as another.
    """
    falling = sorted((w for w in staircase if w <= width), reverse=True)
    if len(falling) < 2:
        return []
    average = (staircase[falling[0]] - staircase[falling[-1]]) / (falling[0] - falling[-1])
    least = max(min_saving * group_ms, math.ulp(group_ms))
    edges: list[int] = []
    even: list[int] = []
    for above, candidate in pairwise(falling):
        more = staircase[candidate]
        if more <= (staircase[even[-1]] if even else 0.0) - least:
            even.append(candidate)
        drop = (staircase[above] - more) / (above - candidate)
        if more <= (staircase[edges[-1]] if edges else 0.0) - least and drop >= _EDGE * average:
            edges.append(candidate)
    return edges or even


def _notes(network: Network, widths: Widths) -> tuple[str, ...]:
    notes = []
    if network.assumed_batch:
        notes.append("The file leaves the batch open; 1 was taken.")
    for position, reason in widths.refused.items():
        layer = network.layers[position]
        if layer.activations:
            notes.append(f"Layer {layer.index} lets nothing change that reaches it: {reason}.")
    return tuple(notes)
