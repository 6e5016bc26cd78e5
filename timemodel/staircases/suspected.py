"""Steps that an operator's tree suspects, and layers around them to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from profiler.widths import width_of, with_input_width, with_width

if TYPE_CHECKING:
    from timemodel.model import OperatorModel

_OUT, _IN = "out", "in"
_AXES = {"out_channels": _OUT, "channels": _OUT, "in_channels": _IN}
"""Sizes that the trees ask about, by the end of a layer at which they change."""
_SURE = 32
"""A split is off its step by at most one of so many channels."""


@dataclass(frozen=True)
class SuspectedStep:
    """Where an operator's time may jump: at a width of `at`, or, where `period` is above 0, at its multiples."""

    axis: str
    at: int = 0
    period: int = 0

    def near(self, width: int) -> int:
        """The first width of this step, the nearest to `width` of several."""
        return max(1, round(width / self.period)) * self.period if self.period else self.at


def suspected_steps(model: OperatorModel) -> list[SuspectedStep]:
    """The steps in numbers of channels that an operator's tree and tiles speak of; none where it has no width."""
    width = operator(model.op).output_width
    if width is None:
        return []
    costs, sizes = model.names()
    names = [*costs, *sizes]
    steps = []
    for node in model.tree.nodes_:
        axis = _AXES.get(names[node.feature]) if node.feature >= 0 else None
        if axis is None or (axis == _IN and width.follows_input):
            continue
        if node.modulus:
            steps.append(SuspectedStep(axis, period=node.modulus))
        elif node.threshold >= 1:
            steps.append(SuspectedStep(axis, at=int(np.floor(node.threshold)) + 1))
    if model.tiles.get("out_channels", 1) > 1:
        steps.append(SuspectedStep(_OUT, period=model.tiles["out_channels"]))
    return list(dict.fromkeys(steps))


def around_steps(layer: Layer, steps: list[SuspectedStep], rng: np.random.Generator) -> list[Layer]:
    """`layer` with its width just below, at and just above one of `steps`, drawn by `rng`; nothing where that cannot be."""
    if not steps or operator(layer.op).output_width is None or len(layer.inputs) < 2:
        return []
    step = steps[int(rng.integers(len(steps)))]
    width = width_of(layer) if step.axis == _OUT else layer.inputs[0].shape[-1]
    # A split lies in the middle between the widths that were measured: the step itself may be a little off.
    reach = step.at // _SURE
    middle = step.near(width) + int(rng.integers(-reach, reach + 1))
    widths = [middle + off for off in (-1, 0, 1)]
    resize = with_width if step.axis == _OUT else with_input_width
    return [resize(layer, new) for new in widths if new >= 1]
