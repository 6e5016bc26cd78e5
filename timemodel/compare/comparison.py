"""Why one of two files of one network takes longer than the other: operator by operator, with how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from profiler.errors import DataError
from profiler.network import Layer, Network
from timemodel.compare.alignment import AlignedGroup, Alignment, align
from timemodel.compare.reasons import DifferenceReason, reason_of
from timemodel.model import NetworkPrediction, SettingModel, TimeModel

SHARED = 0.75
"""Files that share less of their work than this are not of one network."""


@dataclass(frozen=True)
class AlignedLayers:
    """Layers of both files that do the same work, with what they take.

    `first` and `second` are positions in the lists of layers; one is empty where the other file has no such work. Times are
    predicted; `error_ms` is by how much (90%) their difference may be off, the same for all that are `alike`. Measured times and
    energies are None where unknown.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    first_ms: float
    second_ms: float
    error_ms: float
    reason: DifferenceReason
    name: str
    alike: Hashable = field(repr=False)
    first_measured_ms: float | None = None
    second_measured_ms: float | None = None
    first_mj: float | None = None
    second_mj: float | None = None

    @property
    def difference_ms(self) -> float:
        """How much longer the second file's layers take."""
        return self.second_ms - self.first_ms


@dataclass(frozen=True)
class Difference:
    """Aligned layers that differ for one reason, together.

    `text` reads ``3 hard_swish in int8, which runs outside XNNPACK``; times are sums as in `AlignedLayers`.
    """

    text: str
    count: int
    first_ms: float
    second_ms: float
    error_ms: float
    first_measured_ms: float | None
    second_measured_ms: float | None
    first_mj: float | None
    second_mj: float | None
    layers: tuple[AlignedLayers, ...] = field(repr=False)

    @property
    def difference_ms(self) -> float:
        """How much longer the second file's layers take."""
        return self.second_ms - self.first_ms

    @property
    def measured_difference_ms(self) -> float | None:
        """The same as measured; None where it was not."""
        return _minus(self.second_measured_ms, self.first_measured_ms)

    @property
    def difference_mj(self) -> float | None:
        """How much more energy they take; None where the device's energy is not known."""
        return _minus(self.second_mj, self.first_mj)

    @property
    def sure(self) -> bool:
        """Whether the predicted difference is more than it may be off."""
        return abs(self.difference_ms) > self.error_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "text": self.text,
            "count": self.count,
            "first_ms": self.first_ms,
            "second_ms": self.second_ms,
            "difference_ms": self.difference_ms,
            "error_ms": self.error_ms,
            "sure": self.sure,
            "first_measured_ms": self.first_measured_ms,
            "second_measured_ms": self.second_measured_ms,
            "measured_difference_ms": self.measured_difference_ms,
            "difference_mj": self.difference_mj,
        }


@dataclass(frozen=True)
class FileComparison:
    """Two files of one network under one setting.

    `differences` are sorted by how much they change, largest first; their sums are `second.predicted_ms` less
    `first.predicted_ms` (a call's overhead is the same). `error_ms` is by how much (90%) that may be off.
    """

    first: NetworkPrediction
    second: NetworkPrediction
    alignment: Alignment
    layers: tuple[AlignedLayers, ...]
    differences: tuple[Difference, ...]
    error_ms: float

    @property
    def difference_ms(self) -> float:
        """How much longer the second file takes."""
        return self.second.predicted_ms - self.first.predicted_ms

    @property
    def sure(self) -> bool:
        """Whether the predicted difference is more than it may be off."""
        return abs(self.difference_ms) > self.error_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, layers by their numbers in each file."""
        numbers = [[layer.index for layer in one.layers] for one in (self.first, self.second)]
        return {
            "first": _summary(self.first),
            "second": _summary(self.second),
            "device": self.first.device,
            "difference_ms": self.difference_ms,
            "error_ms": self.error_ms,
            "ratio": self.second.predicted_ms / self.first.predicted_ms if self.first.predicted_ms else None,
            "sure": self.sure,
            "shared": self.alignment.shared,
            "differences": [difference.to_dict() for difference in self.differences],
            "layers": [
                {
                    "name": row.name,
                    "first": [numbers[0][i] for i in row.first],
                    "second": [numbers[1][i] for i in row.second],
                    "first_ops": [self.first.layers[i].op for i in row.first],
                    "second_ops": [self.second.layers[i].op for i in row.second],
                    "first_ms": row.first_ms,
                    "second_ms": row.second_ms,
                    "difference_ms": row.difference_ms,
                    "error_ms": row.error_ms,
                    "first_measured_ms": row.first_measured_ms,
                    "second_measured_ms": row.second_measured_ms,
                    "reason": row.reason.text,
                }
                for row in self.layers
            ],
        }


def compare(
    time_model: TimeModel,
    first: Network,
    second: Network,
    setting: str | None = None,
    measured_ms: Sequence[Mapping[int, float]] = (),
) -> FileComparison:
    """Compare two files of one network: which layers take longer in the second one, and why.

    Parameters
    ----------
    first, second
        As `profiler.tflite.read_network` reads them: another number type, another converter, other widths.
    setting
        One of the time model's; default: its first.
    measured_ms
        Measured times of the layers of each file by `Layer.index`, as `profiler.measurement.measure_network` gives them; or
        nothing.

    Raises
    ------
    DataError
        The files are not of one network; the message says what they share.
    """
    alignment = align(first, second)
    outside = _numbers(first), _numbers(second)
    # A head for other classes leaves the inputs as they are, another resolution the outputs: where both differ nothing is the same.
    strangers = all(one != other for one, other in zip(*outside, strict=True))
    if alignment.shared < SHARED or strangers:
        raise DataError(_not_one(first, second, alignment))
    model = time_model.setting(setting)
    predictions = tuple(time_model.predict(network, setting=setting) for network in (first, second))
    times = [
        _Times(network, prediction, layers)
        for network, prediction, layers in zip(
            (first, second), predictions, measured_ms or ({}, {}), strict=True
        )
    ]
    rows = tuple(_row(model, group, *times) for group in alignment.groups)
    differences = _differences(rows)
    error_ms = _error_ms(model, rows, predictions[0], predictions[1])
    return FileComparison(predictions[0], predictions[1], alignment, rows, differences, error_ms)


class _Times:
    """Predicted and measured times of one network's layers by position."""

    def __init__(
        self, network: Network, prediction: NetworkPrediction, measured_ms: Mapping[int, float]
    ) -> None:
        self.layers = network.layers
        self.rows = prediction.layers
        # A loop's layers stand there more than once, and are measured all together.
        often: dict[int, int] = defaultdict(int)
        for layer in network.layers:
            often[layer.index] += 1
        self.measured = {
            position: measured_ms[layer.index] / often[layer.index]
            for position, layer in enumerate(network.layers)
            if layer.index in measured_ms
        }

    def ms(self, positions: Sequence[int]) -> float:
        return sum(self.rows[i].predicted_ms for i in positions)

    def measured_ms(self, positions: Sequence[int]) -> float | None:
        return sum(self.measured.get(i, 0.0) for i in positions) if self.measured else None

    def mj(self, positions: Sequence[int]) -> float | None:
        known = [self.rows[i].energy_mj for i in positions]
        return None if None in known else sum(mj for mj in known if mj is not None)

    def error_ms(self, positions: Sequence[int]) -> float:
        # Half of the 90% interval; that of layers that go together adds up.
        return sum((self.rows[i].high_ms - self.rows[i].low_ms) / 2 for i in positions)


def _row(model: SettingModel, group: AlignedGroup, first: _Times, second: _Times) -> AlignedLayers:
    one = [first.layers[i] for i in group.first]
    other = [second.layers[i] for i in group.second]
    times = first.ms(group.first), second.ms(group.second)
    # What both files do alike is wrong alike.
    error_ms = (
        0.0 if one == other else float(np.hypot(first.error_ms(group.first), second.error_ms(group.second)))
    )
    return AlignedLayers(
        group.first,
        group.second,
        *times,
        error_ms,
        reason_of(model, one, other, *times),
        _name(one, other),
        (tuple(one), tuple(other)),
        first.measured_ms(group.first),
        second.measured_ms(group.second),
        first.mj(group.first),
        second.mj(group.second),
    )


def _name(one: Sequence[Layer], other: Sequence[Layer]) -> str:
    """The name of the layer of most work; by the file that has it."""
    layers = one or other
    return max(layers, key=lambda layer: layer.macs).name


def _differences(rows: Sequence[AlignedLayers]) -> tuple[Difference, ...]:
    groups: dict[tuple[str, str], list[AlignedLayers]] = defaultdict(list)
    for row in rows:
        groups[row.reason.operators, row.reason.text].append(row)
    found = [_difference(operators, members) for (operators, _), members in groups.items()]
    return tuple(sorted(found, key=lambda one: -abs(one.difference_ms)))


def _difference(operators: str, rows: Sequence[AlignedLayers]) -> Difference:
    text = (
        f"{len(rows)} {operators}: {rows[0].reason.text}"
        if rows[0].reason.text
        else f"{len(rows)} {operators}"
    )
    return Difference(
        text,
        len(rows),
        sum(row.first_ms for row in rows),
        sum(row.second_ms for row in rows),
        _together_ms(rows),
        _sum([row.first_measured_ms for row in rows]),
        _sum([row.second_measured_ms for row in rows]),
        _sum([row.first_mj for row in rows]),
        _sum([row.second_mj for row in rows]),
        tuple(rows),
    )


def _together_ms(rows: Sequence[AlignedLayers]) -> float:
    """By how much a sum of differences may be off: equal layers are equally wrong, that of others partly averages out."""
    kinds: dict[Hashable, float] = defaultdict(float)
    for row in rows:
        kinds[row.alike] += row.error_ms
    return float(np.linalg.norm(list(kinds.values())))


def _error_ms(
    model: SettingModel,
    rows: Sequence[AlignedLayers],
    first: NetworkPrediction,
    second: NetworkPrediction,
) -> float:
    """By how much the difference of both files may be off.

    What whole networks of a number type are off by is shared by both files where they have one type, and is then an error of the
    difference alone.
    """
    low, high = model.terms.low, model.terms.high
    shares = [(high.get(p.dtype, 1.25) - low.get(p.dtype, 0.8)) / 2 for p in (first, second)]
    if first.dtype == second.dtype:
        return float(np.hypot(_together_ms(rows), shares[0] * (second.predicted_ms - first.predicted_ms)))
    whole = shares[0] * first.predicted_ms, shares[1] * second.predicted_ms
    return float(np.linalg.norm([_together_ms(rows), *whole]))


def _numbers(network: Network) -> tuple[list[int], list[int]]:
    """How many numbers each input takes and each output gives, in whatever layout; sorted."""
    ends = network.inputs, network.outputs
    return tuple(sorted(prod(network.tensors[i].shape) for i in end) for end in ends)  # type: ignore[return-value]


def _not_one(first: Network, second: Network, alignment: Alignment) -> str:
    names = sorted(
        {first.layers[group.first[0]].op for group in alignment.groups if group.first and group.second}
    )
    shared = ", ".join(names) or "no operator"
    return (
        f"{first.name} and {second.name} are not of one network: of {len(first.layers)} and {len(second.layers)} layers "
        f"{alignment.exact} have the same sizes, and {alignment.shared:.0%} of the work is in like places ({shared}); "
        f"they take {_counts(first, 0)} and {_counts(second, 0)} numbers and give {_counts(first, 1)} and {_counts(second, 1)}; "
        "name two files of one network."
    )


def _counts(network: Network, end: int) -> str:
    return " + ".join(map(str, _numbers(network)[end])) or "no"


def _summary(prediction: NetworkPrediction) -> dict[str, Any]:
    whole = prediction.to_dict()
    names = (
        "network",
        "dtype",
        "predicted_ms",
        "low_ms",
        "high_ms",
        "coverage",
        "uncovered",
        "energy_mj",
        "at_least",
    )
    return {name: whole[name] for name in names}


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(value for value in values if value is not None)


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
