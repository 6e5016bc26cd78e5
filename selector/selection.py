"""Selecting between networks by what they cost on a device; for their times nothing is run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from profiler.errors import DataError, UsageError
from profiler.network import Network
from profiler.progress import ProgressCallback, silent
from profiler.tflite import read_network
from selector.candidates import Candidate, front
from selector.choice import check_budget, recommend
from selector.policies import StaticPolicy
from timemodel.model import NetworkPrediction

if TYPE_CHECKING:
    from compressor.data import Data

PathLike = str | os.PathLike[str]


class Predictor(Protocol):
    """What of a `timemodel.TimeModel` is needed here."""

    @property
    def device(self) -> str:
        """The device's name."""

    def predict(self, network: Network) -> NetworkPrediction:
        """Predicted time of one network."""


@dataclass(frozen=True)
class Selection:
    """Candidates, fastest first, and the one to run.

    Parameters
    ----------
    device
        The device that times are predicted for.
    candidates
        In the order of their predicted time.
    on_front
        For each candidate, whether no other one is both faster and more accurate (Pareto front).
    recommended
        The network to run.
    budget_ms
        The budget, None where there was none.
    judged_on
        The rows that accuracy was found on, in words; empty where nothing was run.
    """

    device: str
    candidates: tuple[Candidate, ...]
    on_front: tuple[bool, ...]
    recommended: Candidate
    budget_ms: float | None = None
    judged_on: str = ""

    @property
    def policy(self) -> StaticPolicy:
        """The choice as a policy, to save."""
        return StaticPolicy(
            network=self.recommended.path,
            device=self.device,
            budget_ms=self.budget_ms,
            candidates=[candidate.to_dict() for candidate in self.candidates],
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "device": self.device,
            "budget_ms": self.budget_ms,
            "recommended": str(self.recommended.path),
            "judged_on": self.judged_on,
            "candidates": [
                {
                    **candidate.to_dict(),
                    "on_front": on_front,
                    "within_budget": candidate.fits(self.budget_ms),
                    "crosses_budget": candidate.crosses(self.budget_ms),
                }
                for candidate, on_front in zip(self.candidates, self.on_front, strict=True)
            ],
        }


def select(
    time_model: Predictor | PathLike,
    networks: Sequence[PathLike],
    data: Data | PathLike | None = None,
    budget_ms: float | None = None,
    *,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    progress: ProgressCallback = silent,
) -> Selection:
    """Rank networks by their predicted time on a device and recommend one.

    Parameters
    ----------
    time_model
        A time model or the file of one.
    networks
        ``.tflite`` files.
    data
        Rows with labels, or the file of them: each network is run on them for its accuracy (on the
        validation rows, else the test rows, else the training rows). Without data nothing is run. Times are
        always predicted.
    budget_ms
        Longest *predicted* time that is accepted; see `selector.choice.recommend`.
    input_shape
        For files that leave more than the batch open.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        The budget is not positive, or no network is named.
    ModelFileError
        A network cannot be read or run.
    DataError
        Data and a network do not fit.
    BudgetError
        No network meets the budget.
    """
    check_budget(budget_ms)
    paths = [Path(network) for network in networks]
    if not paths:
        raise UsageError("There is no network to choose from: name at least one .tflite file.")
    model = _loaded(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    rows = None if data is None else _data(data)
    candidates = []
    for done, path in enumerate(dict.fromkeys(paths)):
        progress(done / len(paths), path.name)
        candidate = _predicted(model, path, input_shape)
        if rows is not None:
            candidate = replace(candidate, accuracy=_accuracy(path, rows))
        candidates.append(candidate)
    progress(1.0, "done")
    candidates.sort(key=lambda candidate: candidate.predicted_ms)
    return Selection(
        device=model.device,
        candidates=tuple(candidates),
        on_front=tuple(front(candidates)),
        recommended=recommend(candidates, budget_ms),
        budget_ms=budget_ms,
        judged_on=""
        if rows is None
        else f"{len(rows.held_out()[1])} {rows.held_out()[0]} rows of {rows.source}",
    )


def _predicted(
    model: Predictor, path: Path, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None
) -> Candidate:
    network = read_network(path, input_shape)
    prediction = model.predict(network)
    return Candidate(
        path=path,
        predicted_ms=prediction.predicted_ms,
        low_ms=prediction.low_ms,
        high_ms=prediction.high_ms,
        coverage=prediction.coverage,
        uncovered=tuple(prediction.uncovered),
        dtype=prediction.dtype,
        file_bytes=network.file_bytes,
        peak_memory_bytes=prediction.peak_memory_bytes,
    )


def _accuracy(path: Path, data: Data) -> float:
    from compressor.data import check_fits
    from compressor.export import TfliteRunner, accuracy

    runner = TfliteRunner(path)
    _, x, y = data.held_out()
    if data.metric is not None:
        return float(data.metric(runner, (x, y)))
    if not data.is_classification:
        raise DataError(
            f"{data.source} defines a loss but no metric: define metric(model, (x, y)) to judge by."
        )
    outputs = runner.predict(x)
    if isinstance(outputs, list):
        raise DataError(f"{path} has {len(outputs)} outputs: give a Python file with metric(model, (x, y)).")
    check_fits(data, next(iter(runner.input_shapes.values()))[1:], outputs.shape[-1])
    return accuracy(outputs, y)


def _data(data: Data | PathLike) -> Data:
    from compressor.data import load_data

    return load_data(data) if isinstance(data, (str, os.PathLike)) else data


def _loaded(path: PathLike) -> Predictor:
    from timemodel.model import TimeModel

    return TimeModel.load(path)
