"""Deciding on a single row with plain numbers: numpy's calls for one row would cost more than small networks do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.confidence import FEW, FLOOR
from selector.runtime.network import LoadedNetwork
from selector.runtime.runner import OneAnswer
from selector.runtime.specification import Specification, Stage


class OneRow:
    """A cascade on a single row; the same as `CascadeRunner` but for rounding in the last digits.

    Parameters
    ----------
    specification, networks
        See `takes` for which.
    """

    def __init__(self, specification: Specification, networks: Sequence[LoadedNetwork]) -> None:
        self._logits = specification.networks[specification.single].form == "logits"
        self._steps = [
            _Step(stage, networks[stage.network], specification.stages[: position + 1])
            for position, stage in enumerate(specification.stages)
        ]

    @staticmethod
    def takes(specification: Specification, networks: Sequence[LoadedNetwork]) -> bool:
        """Whether all stages are plain: few classes, one input, no row of another machine or of the stage before."""
        return all(
            stage.answers is None
            and not specification.networks[stage.network].feeds
            and not specification.networks[stage.network].remote
            and networks[stage.network].is_plain
            for stage in specification.stages
        ) and (specification.classes <= FEW)

    def __call__(self, row: NDArray[Any]) -> OneAnswer | None:
        """Answer a row [1, ...]; None where a stage gives NaN or infinity."""
        heard: list[list[float]] = []
        inputs: dict[Any, memoryview] = {}
        for position, step in enumerate(self._steps):
            alone = step.log_probabilities(row, inputs)
            if alone is None:
                return None
            heard.append(alone)
            combined = step.combine(heard)
            if step.threshold is None or step.stops(combined, heard):
                values = combined if self._logits else [exp(one) for one in combined]
                return OneAnswer(np.array([values], np.float32), position)
        return None


def one_network(network: LoadedNetwork) -> Callable[[NDArray[Any]], OneAnswer | None] | None:
    """What answers a row [1, ...] by one plain network, None where it gives NaN or infinity; nothing where it is not plain."""
    if not network.is_plain:
        return None
    shape = (1, *network.outputs[network.answers].shape[1:])

    def answer(row: NDArray[Any]) -> OneAnswer | None:
        values = network.run_one(row, {})
        if not isfinite(sum(values)):
            return None
        return OneAnswer(np.array(values, np.float32).reshape(shape), 0)

    return answer


class _Step:
    """One stage."""

    def __init__(self, stage: Stage, network: LoadedNetwork, stages: Sequence[Stage]) -> None:
        self.threshold = stage.threshold
        self._stage = stage
        self._network = network
        self._run: Callable[[NDArray[Any], dict[Any, memoryview]], list[float]] = network.run_one
        self._is_logits = network.known.form == "logits"
        self._weights = [(number, weight) for number, weight in enumerate(stage.weights) if weight != 0]
        self._as_it_is = self._weights in ([], [(len(stages) - 1, 1)])

    def log_probabilities(self, row: NDArray[Any], inputs: dict[Any, memoryview]) -> list[float] | None:
        values = self._run(row, inputs)
        if self._is_logits:
            return _normalised(values) if isfinite(sum(values)) else None
        if not isfinite(sum(values)):
            return None
        kept = [value if value > FLOOR else FLOOR for value in values]
        total = sum(kept)
        return [log(value / total) for value in kept]

    def combine(self, heard: list[list[float]]) -> list[float]:
        if self._as_it_is:
            return heard[-1]
        parts = [(weight, heard[number]) for number, weight in self._weights]
        weight, alone = parts[0]
        total = [weight * value for value in alone]
        for weight, alone in parts[1:]:
            total = [so_far + weight * value for so_far, value in zip(total, alone)]  # noqa: B905
        return _normalised(total)

    def stops(self, combined: list[float], heard: list[list[float]]) -> bool:
        first = max(combined)
        kind, threshold = self._stage.confidence, self.threshold
        if kind == "entropy":
            sure = 1 + sum(exp(value) * value for value in combined) / log(len(combined))
        else:
            sure = exp(first)
            if kind == "margin":
                sure -= exp(sorted(combined)[-2])
        assert threshold is not None
        needed = threshold[combined.index(first)] if isinstance(threshold, tuple) else threshold
        if sure < needed:
            return False
        if self._stage.agree and len(heard) > 1:
            now, before = heard[-1], heard[-2]
            return now.index(max(now)) == before.index(max(before))
        return True


def _normalised(scores: list[float]) -> list[float]:
    highest = max(scores)
    shift = highest + log(sum(exp(score - highest) for score in scores))
    return [score - shift for score in scores]
