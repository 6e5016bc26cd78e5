"""Running a premodel: cheap features of each input, or of a first answer, say which network is to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.confidence import log_probabilities
from selector.runtime.network import Block
from selector.runtime.premodel.classifiers import classify
from selector.runtime.premodel.features import features_of
from selector.runtime.runner import PolicyRunner, Trace, finite_rows, runs
from selector.runtime.specification import Specification

STRUCTURES = ("levels", "single")
"""One classifier for each network, which says "this one" or passes the row on; or one for all networks together."""


@dataclass(frozen=True)
class Premodel:
    """What picks a network for each row.

    Parameters
    ----------
    features
        Kind of features, and the names of those that are looked at.
    shift, scale
        By which features are normalised: ``(value - shift) / scale`` [features].
    structure
        One of `STRUCTURES`.
    classifiers
        Kind and arrays of each; classes of a level are 1 (this network) and 0 (pass on), of a single one positions.
    choices
        Networks by position; the last one answers what no level claims, or what no network is thought to be right on.
    overhead_ms
        Time of features and of classifiers up to each position [choices].
    """

    features: tuple[str, tuple[str, ...]]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    structure: str
    classifiers: tuple[tuple[str, Mapping[str, NDArray[Any]]], ...]
    choices: tuple[int, ...]
    overhead_ms: tuple[float, ...]

    def positions(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Position in `choices` for each row [rows]; `x` are inputs, or logarithms of probabilities of the first answer."""
        kind, names = self.features
        values = (features_of(kind, x, names) - self.shift) / self.scale
        if self.structure == "single":
            return classify(*self.classifiers[0], values)
        return first_claim(self.classifiers, values)

    @classmethod
    def of(cls, specification: Specification) -> Premodel:
        """Read what `to_parts` stored in a specification."""
        settings, arrays = specification.settings, specification.arrays
        classifiers = []
        for number, kind in enumerate(settings["classifiers"]):
            start = f"classifier{number}."
            own = {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}
            if "classes" not in own:
                raise ValueError(f"classifier {number + 1} has no arrays")
            classifiers.append((str(kind), own))
        choices = tuple(int(choice) for choice in settings["choices"])
        if not choices or not all(0 <= choice < len(specification.networks) for choice in choices):
            raise ValueError("a choice of its premodel is no network")
        return cls(
            (str(settings["features"]), tuple(map(str, settings["feature_names"]))),
            arrays["shift"],
            arrays["scale"],
            str(settings["structure"]),
            tuple(classifiers),
            choices,
            tuple(float(ms) for ms in settings["overhead_ms"]),
        )

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Settings and arrays of a specification."""
        settings = {
            "features": self.features[0],
            "feature_names": list(self.features[1]),
            "structure": self.structure,
            "classifiers": [kind for kind, _ in self.classifiers],
            "choices": list(self.choices),
            "overhead_ms": list(self.overhead_ms),
        }
        arrays: dict[str, NDArray[Any]] = {"shift": self.shift, "scale": self.scale}
        for number, (_, own) in enumerate(self.classifiers):
            arrays.update({f"classifier{number}.{name}": array for name, array in own.items()})
        return settings, arrays


def first_claim(
    classifiers: Sequence[tuple[str, Mapping[str, NDArray[Any]]]], features: NDArray[Any]
) -> NDArray[np.int64]:
    """The first level that claims each row [rows]; the number of levels where all pass it on."""
    positions = np.full(len(features), len(classifiers), np.int64)
    rows = np.arange(len(features))
    for position, (kind, arrays) in enumerate(classifiers):
        if not len(rows):
            break
        claims = classify(kind, arrays, features[rows]) == 1
        positions[rows[claims]] = position
        rows = rows[~claims]
    return positions


@runs("premodel")
class PremodelRunner(PolicyRunner):
    """Every row is answered by the network that the premodel picks; features of answers need the first network's first."""

    def __init__(self, specification: Specification, networks: Any) -> None:
        super().__init__(specification, networks)
        self.premodel = Premodel.of(specification)

    def answer(self, block: Block, trace: Trace) -> NDArray[Any]:
        """Outputs of the chosen networks [rows, classes], as the best single network gives them."""
        rows = np.arange(block.rows)
        answers = np.empty((block.rows, self.specification.classes), np.float32)
        first: NDArray[Any] | None = None
        if self.premodel.features[0] == "answer":
            first = self.run(0, block, rows, trace).answer
            source = log_probabilities(np.nan_to_num(first), self.specification.networks[0].form)
        else:
            source = next(iter(block.inputs.values()))
        positions = self.premodel.positions(source)
        trace.predicted_ms += np.asarray(self.premodel.overhead_ms)[positions]
        trace.stage[:] = positions
        chosen = np.asarray(self.premodel.choices)[positions]
        for network in np.unique(chosen).tolist():
            own = rows[chosen == network]
            ran = None if network else first
            outputs = self.run(network, block, own, trace).answer if ran is None else ran[own]
            answers[own] = self._as_single(outputs, self.specification.networks[network].form)
        fine = finite_rows(answers)
        if not fine.all():
            again = rows[~fine]
            trace.untrusted[again], trace.stage[again] = True, -1
            answers[again] = self.single(block, again, trace)
        return answers

    def _as_single(self, outputs: NDArray[Any], form: str) -> NDArray[Any]:
        """Outputs in the form of the best single network's."""
        wanted = self.specification.networks[self.specification.single].form
        if form == wanted:
            return outputs
        log_p = log_probabilities(outputs, form)
        return log_p if wanted == "logits" else np.exp(log_p)
