"""Which widths of a network to change on a device, and what each change would save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from profiler.errors import UsageError
from profiler.network import Layer, Network
from profiler.widths import (
    WidthGroup,
    Widths,
)
from timemodel.advise.precision import number_types
from timemodel.advise.results import (
    Advice,
    GroupAdvice,
    Together,
    WidthOption,
)

__all__ = ["Advice", "GroupAdvice", "LayerTimer", "Together", "WidthOption", "advise", "candidate_widths"]

_FREE_TOLERANCE = 0.001
_FREE_AT_MOST = 0.01
"""What is free costs at most this share of the layers concerned, and less than the model's error."""

_WIDER_BY = 1.05
"""A width that is free but hardly wider is not worth a word."""

_TOGETHER = 3
_EDGE = 2.0
_EVERY_WIDTH_UP_TO = 64
_BATCH_LAYERS = 50_000


class LayerTimer(Protocol):
    """The part of a time model that advice needs.

    Where it has ``change_error_ms(before, after, setting)`` as well (see `TimeModel`), changes that save less than that
    are not suggested; without it its times are taken to be exact.
    """

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own; what stands in a loop counts every round."""
        ...

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """Time in ms of one inference of `network`."""
        ...


def advise(
    time_model: LayerTimer,
    network: Network,
    setting: str | None = None,
    min_saving: float = 0.02,
    most_steps: int = 4,
) -> Advice:
    """Look for widths of `network` that its device likes better.

    Each group of coupled channels is tried at widths from 1 to twice what it has, the others staying as they
    are; what counts is the whole network's time, since a layer's consumers change with it. A change is only
    suggested if it saves more than the model may be wrong about it: see `timemodel.model.differences`.

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
    widths = Widths(network)
    times = np.asarray(time_model.predict_layers_ms(network.layers, setting=setting), dtype=float)
    total_ms = time_model.predict_total_ms(network, setting=setting)
    staircases = _staircases(time_model, widths, times, setting)
    changes = _Changes(time_model, widths, setting, total_ms)
    groups, doubtful = [], []
    for group in widths.groups:
        group_ms, staircase = float(times[list(group.layers)].sum()), staircases.get(group.id, {})
        narrower: list[WidthOption] = []
        for width in _steps_down(group.width, group_ms, staircase, min_saving):
            option = changes.option(group, width)
            if option.sure:
                narrower.append(option)
            elif option.saving_ms > 0:
                doubtful.append((group.id, option))
            if len(narrower) == most_steps:
                break
        groups.append(
            GroupAdvice(
                group.id,
                group.name,
                tuple(network.layers[p].index for p in group.producers),
                group.width,
                group_ms,
                _wider(group, group_ms, staircase, changes),
                tuple(narrower),
                group.frozen,
            )
        )
    nearest = [(g.group, o) for g in groups for o in (*g.narrower[:1], *g.wider[:1]) if o.sure]
    best: dict[int, WidthOption] = {}
    for number, option in sorted(nearest, key=lambda change: -change[1].saving_ms):
        best.setdefault(number, option)
    top = tuple(best.items())
    return Advice(
        network.name,
        total_ms,
        tuple(groups),
        top,
        _notes(network, widths),
        changes.together([(number, option.width) for number, option in top[:_TOGETHER]]),
        max(doubtful, key=lambda change: change[1].saving_ms, default=None) if not top else None,
        number_types(time_model, network, setting),
    )


class _Changes:
    """What changes of one network would save, and how sure that is."""

    def __init__(self, time_model: LayerTimer, widths: Widths, setting: str | None, total_ms: float) -> None:
        self._time_model, self._widths, self._setting, self._total_ms = time_model, widths, setting, total_ms

    def _saving(self, widths: Mapping[int, int]) -> tuple[float, float, float, float]:
        changed_ms = self._time_model.predict_total_ms(
            self._widths.with_widths(widths), setting=self._setting
        )
        saving_ms = self._total_ms - changed_ms
        share = saving_ms / self._total_ms if self._total_ms > 0 else 0.0
        return changed_ms, saving_ms, share, self.error_ms(widths)

    def error_ms(self, widths: Mapping[int, int]) -> float:
        """By how much (90%) the saving of other widths may be off; 0 where the timer knows no error."""
        known = getattr(self._time_model, "change_error_ms", None)
        if known is None:
            return 0.0
        changed = self._widths.changed_layers(widths)
        before = [self._widths.network.layers[position] for position in changed]
        return float(known(before, list(changed.values()), setting=self._setting))

    def option(self, group: WidthGroup, width: int) -> WidthOption:
        """One group at another width."""
        return WidthOption(width, *self._saving({group.id: width}))

    def together(self, changes: Sequence[tuple[int, int]]) -> Together | None:
        """Several groups at other widths."""
        return Together(tuple(changes), *self._saving(dict(changes))) if len(changes) > 1 else None


def _wider(
    group: WidthGroup, group_ms: float, staircase: Mapping[int, float], changes: _Changes
) -> tuple[WidthOption, ...]:
    """Larger widths: the fastest if it is surely faster than now, then the widest that costs nothing to speak of."""
    above = {w: more for w, more in staircase.items() if w > group.width and more <= _FREE_AT_MOST * group_ms}
    found: list[WidthOption] = []
    if above:
        fastest = changes.option(group, min(above, key=lambda w: (above[w], -w)))
        found += [fastest] if fastest.sure else []
    # From the widest down, until one is free: its error is asked for only here.
    for width in sorted(above, reverse=True):
        if width < _WIDER_BY * group.width:
            break
        option = changes.option(group, width)
        slack = max(_FREE_TOLERANCE * group_ms, min(option.error_ms, _FREE_AT_MOST * group_ms))
        if option.saving_ms >= -slack:
            found += [option] if all(o.width != width for o in found) else []
            break
    return tuple(found)


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
