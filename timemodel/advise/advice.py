"""Which widths of a network to change on a device, and what each change would save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from profiler.errors import UsageError
from profiler.network import Layer, Network
from profiler.widths import WidthGroup, Widths
from timemodel.advise.precision import number_types
from timemodel.advise.results import Advice, CombinedChange, GroupAdvice, WidthOption
from timemodel.advise.surroundings import Surroundings
from timemodel.model import NetworkPredictor
from timemodel.staircases import fastest_width, steps_down, widths_to_try

_FREE_TOLERANCE = 0.001
_FREE_AT_MOST = 0.01
"""What is free costs at most this share of the layers concerned, and less than the model's error."""

_WIDER_BY = 1.05
"""A width that is free but hardly wider is not worth a word."""

_COMBINED = 3

_WHOLE_UP_TO = 256
"""Layers of a network that is predicted anew, whole, for every change; of longer ones only the surroundings of changes are."""


def advise(
    time_model: NetworkPredictor,
    network: Network,
    setting: str | None = None,
    min_saving: float = 0.02,
    most_steps: int = 4,
) -> Advice:
    """Look for widths of `network` that its device likes better: one group of coupled channels after the other.

    Where the time model has ``change_errors`` (see `TimeModel`), a change is only suggested where it saves more than its
    error. At most `most_steps` narrower widths per group are reported, each faster than the next wider one by at least
    `min_saving` of the time of the layers concerned.
    """
    if not network.edges:
        raise UsageError(f"{network.name} is a list of layers without connections: give a .tflite file.")
    if not 0 <= min_saving < 1 or most_steps < 1:
        raise UsageError(
            f"min_saving must be in [0, 1) and most_steps at least 1, not {min_saving} and {most_steps}."
        )
    unknown = _unknown(time_model, network, setting)
    widths = Widths(network)
    changes = _Changes(time_model, widths, setting)
    groups: list[GroupAdvice] = []
    doubtful: list[tuple[int, WidthOption]] = []
    for group in widths.groups:
        group_ms, extra_ms = float(changes.times_ms[list(group.layers)].sum()), changes.extra_ms(group)
        narrower: list[WidthOption] = []
        least_ms = max(min_saving * group_ms, math.ulp(group_ms))
        for width in steps_down(group.width, extra_ms, least_ms):
            option = changes.option(group, width)
            if option.sure:
                narrower.append(option)
            elif option.saving_ms > 0:
                doubtful.append((group.id, option))
            if len(narrower) == most_steps:
                break
        layers = tuple(network.layers[p].index for p in group.producers)
        options = _wider(group, group_ms, extra_ms, changes), tuple(narrower)
        groups.append(
            GroupAdvice(group.id, group.name, layers, group.width, group_ms, *options, group.frozen)
        )
    nearest = [(g.group, o) for g in groups for o in (*g.narrower[:1], *g.wider[:1]) if o.sure]
    best: dict[int, WidthOption] = {}
    for number, option in sorted(nearest, key=lambda change: -change[1].saving_ms):
        best.setdefault(number, option)
    top = tuple(best.items())
    combined = changes.combined([(number, option.width) for number, option in top[:_COMBINED]])
    unsure = None if top else max(doubtful, key=lambda change: change[1].saving_ms, default=None)
    notes = unknown + _notes(network, widths)
    types = () if unknown else number_types(time_model, network, setting)
    found = tuple(groups), top, notes, combined, unsure, types
    return Advice(network.name, changes.total_ms, *found, changes.total_mj, changes.unknown, bool(unknown))


class _Changes:
    """What changes of one network would save, and how sure that is."""

    def __init__(self, time_model: NetworkPredictor, widths: Widths, setting: str | None) -> None:
        self._time_model, self._widths, self._setting = time_model, widths, setting
        is_long = len(widths.network.layers) > _WHOLE_UP_TO
        self._surroundings = Surroundings(widths.network) if is_long else None
        self.times_ms = self._layers_ms(widths.network.layers)
        self.total_ms = time_model.predict_total_ms(widths.network, setting=setting)
        known = getattr(time_model, "predict_layers_mj", None)
        has_energy = known is not None and known(widths.network.layers[:1], setting=setting) is not None
        self.total_mj = self._total_mj(widths.network) if has_energy else None
        predict = getattr(time_model, "predict", None)
        layers = () if predict is None else predict(widths.network, setting=setting).layers
        self.unknown = tuple(sorted({layer.op for layer in layers if not layer.known}))
        errors_of = getattr(time_model, "change_errors", None)
        self._errors = None if errors_of is None else errors_of(setting)

    def extra_ms(self, group: WidthGroup) -> dict[int, float]:
        """By width: how much longer than now the network would take; empty for a group that cannot change."""
        if not group.free:
            return {}
        changed = {
            width: self._widths.changed_layers({group.id: width}) for width in widths_to_try(group.width)
        }
        predicted = self._layers_ms([layer for layers in changed.values() for layer in layers.values()])
        ends = np.cumsum([len(layers) for layers in changed.values()])
        return {
            width: float(after.sum()) - float(self.times_ms[list(layers)].sum())
            for (width, layers), after in zip(changed.items(), np.split(predicted, ends[:-1]), strict=True)
        }

    def option(self, group: WidthGroup, width: int) -> WidthOption:
        """One group at another width."""
        saving, saving_mj = self._saving({group.id: width})
        return WidthOption(*saving, width, saving_mj=saving_mj)

    def combined(self, changes: Sequence[tuple[int, int]]) -> CombinedChange | None:
        """Several groups at other widths."""
        if len(changes) < 2:
            return None
        saving, saving_mj = self._saving(dict(changes))
        return CombinedChange(*saving, tuple(changes), saving_mj=saving_mj)

    def _saving(self, widths: Mapping[int, int]) -> tuple[tuple[float, float, float, float], float | None]:
        """The fields of a `Saving`."""
        layers = self._widths.changed_layers(widths)
        before, after, changed_ms, saving_ms = self._networks(widths, layers)
        share = saving_ms / self.total_ms if self.total_ms > 0 else 0.0
        error_ms = 0.0
        if self._errors is not None:
            old = [self._widths.network.layers[position] for position in layers]
            error_ms = float(self._errors.change_ms(old, list(layers.values())))
        saving_mj = None
        if self.total_mj is not None:
            saving_mj = (self._total_mj(before) or 0.0) - (self._total_mj(after) or 0.0)
        return (changed_ms, saving_ms, share, error_ms), saving_mj

    def _networks(
        self, widths: Mapping[int, int], layers: Mapping[int, Layer]
    ) -> tuple[Network, Network, float, float]:
        """What is compared, before and after a change; the time of the whole network after it, and what is saved."""
        if self._surroundings is None:
            changed = self._widths.with_widths(widths)
            changed_ms = self._time_model.predict_total_ms(changed, setting=self._setting)
            return self._widths.network, changed, changed_ms, self.total_ms - changed_ms
        around = self._surroundings.around(layers)
        before, after = (self._surroundings.part(around, new) for new in ({}, layers))
        saving_ms = self._time_model.predict_total_ms(
            before, setting=self._setting
        ) - self._time_model.predict_total_ms(after, setting=self._setting)
        return before, after, self.total_ms - saving_ms, saving_ms

    def _total_mj(self, network: Network) -> float | None:
        return self._time_model.predict(network, setting=self._setting).energy_mj

    def _layers_ms(self, layers: Sequence[Layer]) -> np.ndarray:
        return np.asarray(self._time_model.predict_layers_ms(layers, setting=self._setting), dtype=float)


def _wider(
    group: WidthGroup, group_ms: float, extra_ms: Mapping[int, float], changes: _Changes
) -> tuple[WidthOption, ...]:
    """Larger widths: the fastest if it is surely faster than now, then the widest that costs nothing to speak of."""
    above = [w for w, extra in extra_ms.items() if w > group.width and extra <= _FREE_AT_MOST * group_ms]
    found: list[WidthOption] = []
    if above:
        fastest = changes.option(group, fastest_width(above, [extra_ms[w] for w in above]))
        found += [fastest] if fastest.sure else []
    # From the widest down, until one is free: its error is asked for only here.
    for width in reversed(above):
        if width < _WIDER_BY * group.width:
            break
        option = changes.option(group, width)
        slack = max(_FREE_TOLERANCE * group_ms, min(option.error_ms, _FREE_AT_MOST * group_ms))
        if option.saving_ms >= -slack:
            found += [option] if all(o.width != width for o in found) else []
            break
    return tuple(found)


def _unknown(time_model: NetworkPredictor, network: Network, setting: str | None) -> tuple[str, ...]:
    """What is left out of the network's time, and why; UsageError where that is all of it."""
    predict = getattr(time_model, "predict", None)
    if predict is None:
        return ()  # its total is all that is asked for
    found = predict(network, setting=setting)
    if not found.whole:
        raise UsageError(f"The time of {network.name} is not known on {found.device}: {found.not_known}.")
    return (f"Not all of the time is known: {found.not_known}.",) if found.at_least else ()


def _notes(network: Network, widths: Widths) -> tuple[str, ...]:
    notes = []
    if network.assumed_batch:
        notes.append("The file leaves the batch open; 1 was taken.")
    if network.unknown_loops:
        loops = ", ".join(network.unknown_loops)
        notes.append(
            f"How often {loops} turns depends on the data, and one turn is counted: say it with --loop-turns."
        )
    for position, reason in widths.refused.items():
        layer = network.layers[position]
        if layer.activations:
            notes.append(f"Layer {layer.index} lets nothing change that reaches it: {reason}.")
    return tuple(notes)
