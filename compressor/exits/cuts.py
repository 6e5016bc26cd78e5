"""Where a network can end early: places that few and small tensors cross, by the time that it takes to get there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor.costs import name_of, ranks_of
from compressor.exits.flat import steps
from profiler.errors import EdgetimeError, UsageError
from profiler.network import Network
from timemodel.model import NetworkPredictor

MOST_CROSSING = 3
"""Tensors that may cross a cut."""

_EARLIEST, _LATEST = 0.02, 0.95
"""Shares of the time between which an exit makes sense."""

_REACH = 0.35
"""How far from its even place, in distances between exits, an exit may move to where less crosses."""

_APART = 0.3
"""Exits nearer to each other than this, in the same distances, answer the same."""

_FUSED = {
    "BatchNormalization", "LayerNormalization", "Normalization", "Rescaling", "Activation", "ReLU", "LeakyReLU", "ELU",
    "PReLU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "Relu", "Sigmoid", "Silu", "Gelu",
}  # fmt: skip
"""What belongs to the layer before it: between the two the runtime would have to write down what it never does."""


@dataclass(frozen=True)
class ExitPlace:
    """A place between two layers.

    Parameters
    ----------
    after
        Name of the layer before it.
    tensors
        What crosses it (Keras tensors of the flat model).
    crossing_bytes
        Their size in float32, one row.
    predicted_ms
        Predicted time up to it, heads not counted.
    share
        That as a share of the whole.
    """

    after: str
    tensors: tuple[Any, ...]
    crossing_bytes: int
    predicted_ms: float
    share: float

    def describe(self) -> str:
        """``after add_1: 38% of the time, 16.4 kB cross``."""
        return f"after {self.after}: {self.share:.0%} of the time, {self.crossing_bytes / 1e3:.3g} kB cross"


def find_places(model: Any, network: Network, time_model: NetworkPredictor) -> list[ExitPlace]:
    """Every place where `model` (flat) can be cut, from its beginning on; `network` is what it becomes when converted.

    No cut lies between a layer and what the runtime fuses into it, or where the network's own inputs cross.
    """
    order = steps(model)
    last_read = {id(tensor): position for position, step in enumerate(order) for tensor in step.reads}
    ends = {id(tensor) for tensor in model.outputs}
    inputs = [id(tensor) for tensor in model.inputs]
    times = _times_until(order, network, time_model)
    readers: dict[int, list[str]] = {}
    for step in order:
        for tensor in step.reads:
            readers.setdefault(id(tensor), []).append(type(step.layer).__name__)
    cuts, alive = [], {}
    for position, step in enumerate(order[:-1]):
        alive.update({id(tensor): tensor for tensor in step.gives})
        alive = {key: tensor for key, tensor in alive.items() if last_read.get(key, -1) > position}
        crossed = any(last_read.get(key, -1) > position for key in inputs)
        tensors = tuple(alive.values())
        if crossed or not 1 <= len(tensors) <= MOST_CROSSING or not all(map(_is_plain, tensors)):
            continue
        if any(_FUSED & {*readers[id(tensor)]} or id(tensor) in ends for tensor in tensors):
            continue
        size = sum(4 * int(np.prod(tensor.shape[1:])) for tensor in tensors)
        cuts.append(
            ExitPlace(
                step.layer.name, tensors, size, float(times[position]), float(times[position] / times[-1])
            )
        )
    return cuts


def propose(cuts: Sequence[ExitPlace], count: int, name: str) -> list[ExitPlace]:
    """`count` cuts evenly in time, each moved a little to where the least crosses; fewer where there are not so many.

    Raises EdgetimeError where there is none at all.
    """
    if count < 1:
        raise UsageError(f"--exits is 1 or more, not {count}.")
    useful = [cut for cut in cuts if _EARLIEST <= cut.share <= _LATEST]
    if not useful:
        raise EdgetimeError(
            f"{name} has no place for an exit: nowhere between {_EARLIEST:.0%} and {_LATEST:.0%} of its time do at most "
            f"{MOST_CROSSING} tensors cross; use 'edgetime select --per-input' with a smaller network in front of it."
        )
    distance = 1 / (count + 1)
    chosen: list[ExitPlace] = []
    for place in range(1, count + 1):
        aim = place * distance
        free = [
            cut for cut in useful if all(abs(cut.share - one.share) >= _APART * distance for one in chosen)
        ]
        if free:
            chosen.append(
                min(
                    free,
                    key=lambda cut: (
                        _steps_from(cut, aim, distance),
                        cut.crossing_bytes,
                        abs(cut.share - aim),
                    ),
                )
            )
    return sorted(chosen, key=lambda cut: cut.share)


def _steps_from(cut: ExitPlace, aim: float, distance: float) -> int:
    """How many reaches a cut is from where an exit is wanted: only within the same one does it count what crosses."""
    return int(abs(cut.share - aim) / (_REACH * distance))


def named(cuts: Sequence[ExitPlace], wanted: Sequence[str], name: str) -> list[ExitPlace]:
    """The cuts after these layers, in the network's order; UsageError where there is none."""
    by_name = {cut.after: cut for cut in cuts}
    unknown = [layer for layer in wanted if layer not in by_name]
    if unknown:
        raise UsageError(
            f"{name} cannot be cut after {unknown[0]!r}; it can after {', '.join(by_name) or 'no layer'}."
        )
    return [cut for cut in cuts if cut.after in wanted]


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor holds real numbers in a fixed shape."""
    return str(tensor.dtype).startswith("float") and None not in tuple(tensor.shape)[1:]


def _times_until(order: Sequence[Any], network: Network, time_model: NetworkPredictor) -> Any:
    """Predicted time up to and with each step in ms [steps]; what belongs to no layer is spread over all."""
    prediction = time_model.predict(network)
    places: dict[str, int] = {}
    for position, step in enumerate(order):
        places[step.layer.name] = position
    ranks = ranks_of([step.layer.name for step in order])
    own = np.zeros(len(order))
    last = 0
    for layer, predicted in zip(network.layers, prediction.layers, strict=True):
        last = places.get(name_of(layer, ranks), last)
        own[last] += predicted.predicted_ms or 0.0
    reached = np.cumsum(own)
    total = float(prediction.predicted_ms)
    return reached * (total / reached[-1]) if reached[-1] > 0 else np.linspace(0, total, len(order))
