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
        self._steps = [_Step(stage, networks[stage.network]) for stage in specification.stages]

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
        inputs: dict[str, memoryview] = {}
        for position, step in enumerate(self._steps):
            values = step.run(row, inputs)
            if not isfinite(sum(values)):
                return None
            heard.append(values if step.is_logits else [log(one if one > FLOOR else FLOOR) for one in values])
            scores = step.combine(heard)
            # What is added to all scores of a row makes no difference to their softmax, so only this is normalised.
            highest = max(scores)
            chances = [exp(score - highest) for score in scores]
            total = sum(chances)
            if step.threshold is None or step.stops(scores, chances, total, heard):
                if self._logits:
                    shift = highest + log(total)
                    found = [score - shift for score in scores]
                else:
                    found = [chance / total for chance in chances]
                return OneAnswer(np.array([found], np.float32), position)
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

    def __init__(self, stage: Stage, network: LoadedNetwork) -> None:
        self.threshold = stage.threshold
        self.run: Callable[[NDArray[Any], dict[str, memoryview]], list[float]] = network.run_one
        self.is_logits = network.known.form == "logits"
        self._stage = stage
        last = len(stage.weights) - 1
        self._weights = [(number, weight) for number, weight in enumerate(stage.weights) if weight != 0] or [
            (last, 1.0)
        ]

    def combine(self, heard: list[list[float]]) -> list[float]:
        (number, weight), *others = self._weights
        total = heard[number] if weight == 1 else [weight * value for value in heard[number]]
        for number, weight in others:
            total = [so_far + weight * value for so_far, value in zip(total, heard[number])]  # noqa: B905
        return total

    def stops(
        self, scores: list[float], chances: list[float], total: float, heard: list[list[float]]
    ) -> bool:
        """Whether the row stops here; the class with the highest score has the chance 1 / `total`."""
        kind, threshold = self._stage.confidence, self.threshold
        if kind == "margin":
            sure = (1 - sorted(chances)[-2]) / total
        elif kind == "top":
            sure = 1 / total
        else:
            shift = max(scores) + log(total)
            sure = 1 + sum(
                chance / total * (score - shift)
                for chance, score in zip(chances, scores)  # noqa: B905
            ) / log(len(scores))
        assert threshold is not None
        needed = threshold[scores.index(max(scores))] if isinstance(threshold, tuple) else threshold
        if sure < needed:
            return False
        if self._stage.agree and len(heard) > 1:
            now, before = heard[-1], heard[-2]
            return now.index(max(now)) == before.index(max(before))
        return True
