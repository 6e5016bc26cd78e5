"""What a network is trained for and judged by: its loss, what it learns from the original, its score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Data, Rows, check_fits, each, take
from compressor.training.head import Head, kind_of_head
from compressor.training.model_io import input_names, output_names, run
from profiler.errors import DataError

_LOOKED_AT = 64


@dataclass(frozen=True)
class Task:
    """The loss and the score of a network, over all of its outputs.

    Labels and outputs are arrays where the network has one output, else mappings by the names of outputs. The loss is
    then the sum of all losses, each times its weight (`Data.loss_weights`), and the score the mean of all scores. `head`
    is `Head.kind` of the output; of each by name where there are several.
    """

    head: str | Mapping[str, str]
    data: Data

    @cached_property
    def heads(self) -> dict[str, Head]:
        """Each output by name; an only one has the name ``""``."""
        loss = self.data.loss
        if isinstance(self.head, str):
            return {"": Head(self.head, loss)}
        return {name: Head(kind, loss.get(name) if loss else None) for name, kind in self.head.items()}

    @property
    def score_name(self) -> str:
        """What scores are called in reports."""
        return "accuracy" if self.counts_right else "score"

    @property
    def is_classification(self) -> bool:
        """Whether all outputs are classes."""
        return all(head.is_classification for head in self.heads.values())

    @property
    def counts_right(self) -> bool:
        """Whether the score is the share of right answers."""
        return self.is_classification and self.data.metric is None

    def score(self, outputs: Rows, x: Rows, y: Rows) -> float:
        """Higher is better: the share of right answers, the data file's own metric, or minus its loss."""
        metric = self.data.metric
        if callable(metric):
            return float(metric(Answered(outputs), (x, y)))
        scores = [
            float(metric[name](labels, found)) if metric and name in metric else head.score(labels, found)
            for name, head, labels, found in self._by_head(y, outputs)
        ]
        return scores[0] if len(scores) == 1 else float(np.mean(scores))

    def right(self, outputs: Rows, y: Rows) -> NDArray[np.float64]:
        """The share of outputs that are right, of each row [rows]."""
        found = [head.answers(part) == labels for _, head, labels, part in self._by_head(y, outputs)]
        return np.mean(np.array(found, dtype=np.float64), axis=0)

    def loss(self, y: Rows, outputs: Rows) -> Any:
        """Mean loss of a batch (a TensorFlow scalar)."""
        return self._total(
            {n: head.loss(labels, found) for n, head, labels, found in self._by_head(y, outputs)}
        )

    def losses(self, y: Rows, outputs: Rows) -> Any:
        """Loss of each row (a TensorFlow tensor [rows])."""
        return self._total(
            {n: head.losses(labels, found) for n, head, labels, found in self._by_head(y, outputs)}
        )

    def distance(self, outputs: Rows, wanted: Rows, temperature: float) -> Any:
        """How far outputs are from those of the original (a TensorFlow scalar; see `Head.distance`)."""
        return self._total(
            {
                n: head.distance(mine, theirs, temperature)
                for n, head, mine, theirs in self._by_head(outputs, wanted)
            }
        )

    def _by_head(self, first: Rows, second: Rows) -> list[tuple[str, Head, Any, Any]]:
        if isinstance(self.head, str):
            return [("", self.heads[""], first, second)]
        return [(name, head, first[name], second[name]) for name, head in self.heads.items()]

    def _total(self, parts: Mapping[str, Any]) -> Any:
        weights = self.data.loss_weights or {}
        values = [part * weights[name] if name in weights else part for name, part in parts.items()]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


def task_of(model: Any, data: Data) -> Task:
    """Find out what a model's outputs are, and check that rows and labels fit it."""
    names = output_names(model)
    _check_names(names, data)
    shapes = dict(zip(names, (tuple(tensor.shape) for tensor in model.outputs), strict=True))
    data = check_fits(
        data,
        {name: tuple(t.shape)[1:] for name, t in zip(input_names(model), model.inputs, strict=True)},
        {name: shape[-1] if data.classifies(name) else None for name, shape in shapes.items()},
    )
    classified = [name for name in names if data.classifies(name)]
    for name in classified:
        if len(shapes[name]) != 2:
            which = f"Model {model.name!r}" if len(names) == 1 else f"Output {name!r} of model {model.name!r}"
            raise DataError(
                f"{which} gives outputs of shape {list(shapes[name][1:])} per row, not one number per "
                "class: give a Python data file that defines `loss` and `metric`."
            )
    kinds = dict.fromkeys(names, "values")
    if classified:
        outputs = each(run(model, take(data.x, slice(_LOOKED_AT))), np.asarray)
        found = outputs if len(names) > 1 else {names[0]: outputs}
        if not all(np.isfinite(part).all() for part in found.values()):
            raise DataError(f"Model {model.name!r} gives NaN or infinity on the first rows of {data.source}.")
        kinds.update({name: kind_of_head(found[name]) for name in classified})
    return Task(kinds if len(names) > 1 else kinds[names[0]], data)


def _check_names(names: list[str], data: Data) -> None:
    """Loss, metric and weights are of the outputs that the network has."""
    for what in ("loss", "metric", "loss_weights"):
        value = getattr(data, what)
        if isinstance(value, Mapping):
            unknown = [name for name in value if name not in names]
            if unknown or len(names) == 1:
                raise DataError(
                    f"{data.source}: {what} is by output and names {', '.join(value)}, but the network has "
                    f"{'one output' if len(names) == 1 else 'the outputs ' + ', '.join(names)}: "
                    f"{'define it as it is for one' if len(names) == 1 else 'name these'}."
                )
        elif what == "loss" and value is not None and len(names) > 1:
            raise DataError(
                f"{data.source}: loss is one function, but the network has the outputs {', '.join(names)}: "
                "define it as a dictionary by output."
            )


class Answered:
    """Outputs that are at hand, for a metric that wants to call ``predict``."""

    def __init__(self, outputs: Rows) -> None:
        self._outputs = outputs

    def predict(self, x: Any, *args: Any, **options: Any) -> Rows:
        """The outputs, whatever is asked."""
        return self._outputs
