"""Which operators a runtime ran for a probe, and by whose kernels, as its profiler reports them.

So it is known which pairs ran as one, and which operators a delegate such as XNNPACK left to the built-in kernels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from profiler.devices import Target
from profiler.errors import EdgetimeError
from profiler.measurement.events import DELEGATED, OPERATOR, Event, delegate_runs
from profiler.measurement.store import Profile
from profiler.measurement.whole_network import read_events
from profiler.network import Layer
from profiler.operators import unary
from profiler.probes import Probe

Row = tuple[str, int]
"""An operator that ran: its name, and the type of its event (`OPERATOR`, or a delegate's)."""

PER_OPERATOR = 4
"""How many layers of one operator and dtype are observed: some fall back to built-in kernels in part of the cases only."""
_GIVE_UP_AFTER, _GIVE_UP_EARLY = 12, 3
"""Failures in a row; fewer do where nothing worked yet, for then the runtime has no profiler."""
_BATCH, _BATCH_BYTES = 32, 16 << 20
_MARKER, _MARKER_EVENT = unary("ceil", (1, 1)), "Ceiling"
_SHORT_S = 1e-6
"""The fewest runs: nothing is timed here."""
_KINDS = (OPERATOR, 4, DELEGATED)


def probes_to_observe(probes: Sequence[Probe]) -> list[Probe]:
    """One pair of each kind with its operators alone, then some of every operator; every prefix is a good choice."""
    chosen: dict[str, Probe] = {}
    parts: dict[str, Probe] = {}
    kinds: set[tuple[tuple[str, str], ...]] = set()
    for probe in probes:
        kind = tuple(_kind(layer) for layer in probe.layers)
        if probe.kind == "pair" and kind not in kinds:
            kinds.add(kind)
            parts |= {alone.key: alone for layer in probe.layers for alone in [Probe("layer", (layer,))]}
            chosen[probe.key] = probe
    chosen |= parts
    rounds: list[dict[tuple[tuple[str, str], str], Probe]] = [{} for _ in range(PER_OPERATOR)]
    seen: dict[tuple[str, str], int] = {}
    for probe in probes:
        if probe.kind == "layer":
            layer = probe.layers[0]
            activation = str(layer.params.get("activation", "none"))
            number = seen.get(_kind(layer), 0)
            if number < PER_OPERATOR and probe.key not in chosen:
                seen[_kind(layer)] = number + 1
                rounds[number][_kind(layer), activation] = probe
    for row in rounds:
        chosen |= {probe.key: probe for probe in row.values()}
    return list(chosen.values())


def _kind(layer: Layer) -> tuple[str, str]:
    return layer.op, layer.dtype


def observe(target: Target, store: Profile, setting: str, probes: Sequence[Probe], until: float) -> int:
    """Observe probes that were not observed before, until `time.monotonic` is `until`; pairs in any case.

    Returns
    -------
    int
        How many; 0 where the target's runtime has no profiler.
    """
    known = store.events(setting)
    observed = failed = 0
    waiting = batches([probe for probe in probes_to_observe(probes) if probe.key not in known])
    while waiting:
        # Pairs are few, and what they show matters most: time that is up does not cut them off.
        pairs = len(waiting[0]) > 1 and waiting[0][0].kind == "pair"
        if time.monotonic() >= until and not pairs:
            break
        if failed >= (_GIVE_UP_AFTER if observed else _GIVE_UP_EARLY):
            break
        batch = waiting.pop(0)
        seen = observe_batch(target, batch)
        if seen is None and len(batch) > 1:
            # One of them cannot run, or the events do not tell them apart: half of them at a time, later.
            half = len(batch) // 2
            waiting += [batch[:half], batch[half:]]
        elif seen is None:
            failed += 1
            store.add_events(setting, batch[0].key, batch[0].kind, None)
        else:
            failed = 0
            observed += len(batch)
            for probe, events in zip(batch, seen, strict=True):
                store.add_events(setting, probe.key, probe.kind, events)
    if observed:
        target.close()  # what the profiler brought into the agent's process must not disturb what is timed
    return observed


def batches(probes: Sequence[Probe]) -> list[list[Probe]]:
    """Split `probes` into groups that are small enough to run as one network.

    A runtime may take a tenth of a second to get its profiler ready, however little there is to run.
    """
    groups: list[list[Probe]] = []
    room = 0
    for probe in probes:
        size = sum(layer.input_bytes + layer.output_bytes + layer.weight_bytes for layer in probe.layers)
        if not groups or len(groups[-1]) == _BATCH or size > room:
            groups.append([])
            room = _BATCH_BYTES
        groups[-1].append(probe)
        room -= size
    return groups


def observe_batch(target: Target, batch: Sequence[Probe]) -> list[list[Row]] | None:
    """The events of each probe of a batch; None where they could not be had."""
    together = join_probes(batch)
    try:
        answer = target.profile_layers(together.build(), _SHORT_S)
        if "error" in answer:
            return None
        events = read_events(answer.get("events", ()))
    except EdgetimeError:
        return None
    return split_events(batch, [event for event in events if event.type in _KINDS])


def join_probes(batch: Sequence[Probe]) -> Probe:
    """All probes of a batch as one network of separate parts, with a marker before each."""
    if len(batch) == 1:
        return batch[0]
    layers: list[Layer] = []
    wiring: list[tuple[int, ...]] = []
    inputs = 0
    for probe in batch:
        inputs += 1
        layers.append(_MARKER)
        wiring.append((-inputs,))
        begin, lowest = len(layers), 0
        for layer, sources in zip(probe.layers, probe.sources, strict=True):
            layers.append(layer)
            wiring.append(tuple(begin + source if source >= 0 else source - inputs for source in sources))
            lowest = min(lowest, *sources) if sources else lowest
        inputs -= lowest
    return Probe("network", tuple(layers), tuple(wiring))


def split_events(batch: Sequence[Probe], events: Sequence[Event]) -> list[list[Row]] | None:
    """The events of each probe of a batch that ran as one network; None where they cannot be told apart.

    The runtime's own kernels say their operator's number. What a delegate ran comes in the order of the
    operators, as long as these wait for nothing that the runtime's own kernels make.
    """
    if len(batch) == 1:
        return [[(event.name, event.type) for event in events]]
    numbers: list[range] = []
    for probe in batch:
        begin = numbers[-1].stop + 1 if numbers else 1
        numbers.append(range(begin, begin + len(probe.layers)))
    own = {event.node: event for event in events if event.type == OPERATOR}
    found: list[list[Row]] = []
    if not all(number.start - 1 in own for number in numbers):
        runs = delegate_runs(events)
        if not runs or [event.name for event in runs[0][0]].count(_MARKER_EVENT) != len(batch):
            return None
        for event in runs[0][0]:
            if event.name == _MARKER_EVENT:
                found.append([])
            elif found:
                found[-1].append((event.name, event.type))
    else:
        found = [[] for _ in batch]
    for rows, probe, mine in zip(found, batch, numbers, strict=True):
        outside = [number in own for number in mine]
        if any(outside):
            # Nothing is fused across the border between a delegate and the runtime's own kernels.
            rows[:] = [
                (own[number].name, OPERATOR) if number in own else (layer.op, DELEGATED)
                for number, layer in zip(mine, probe.layers, strict=True)
            ]
    return found
