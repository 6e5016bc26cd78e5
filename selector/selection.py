"""Selecting between networks by what they cost on a device; for their times nothing is run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import BudgetError, DataError, UsageError
from profiler.progress import ProgressCallback, silent
from profiler.tflite import read_network
from profiler.tradeoff import pareto_front
from selector.runtime import PolicyNetwork, Specification, save_policy
from timemodel.model import NetworkPredictor, TimeModel


@dataclass(frozen=True)
class NetworkOption:
    """One network to choose from: its file, its predicted time with the interval that bounds 90% of networks, its sizes.

    `coverage` is the share of `predicted_ms` from operators that the time model has measured, `uncovered` are the others;
    `accuracy` (or what `Data.metric` gives) is None where the network was not run.
    """

    path: Path
    predicted_ms: float
    low_ms: float
    high_ms: float
    coverage: float = 1.0
    uncovered: tuple[str, ...] = ()
    dtype: str = "float32"
    file_bytes: int = 0
    peak_memory_bytes: int = 0
    accuracy: float | None = None

    def fits(self, budget_ms: float | None) -> bool:
        """Whether its predicted time is within the budget."""
        return budget_ms is None or self.predicted_ms <= budget_ms

    def crosses(self, budget_ms: float | None) -> bool:
        """Whether the interval lies on both sides of the budget, so that only measuring tells if it fits."""
        return budget_ms is not None and self.low_ms <= budget_ms < self.high_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the path as it stands."""
        fields = {**asdict(self), "uncovered": list(self.uncovered)}
        return {"network": str(fields.pop("path")), **fields}


def front(candidates: list[NetworkOption]) -> list[bool]:
    """Mark the candidates that no other one beats in both predicted time and accuracy; where any is unknown, in time alone."""
    known = all(candidate.accuracy is not None for candidate in candidates)
    return pareto_front(
        [candidate.predicted_ms for candidate in candidates],
        [candidate.accuracy if known and candidate.accuracy is not None else 0.0 for candidate in candidates],
    )


if TYPE_CHECKING:
    from compressor.data import Data

PathLike = str | os.PathLike[str]

NO_NETWORK = "There is no network to choose from: name at least one .tflite file."


@dataclass(frozen=True)
class Selection:
    """Candidates, fastest first, and the one to run.

    `on_front` says for each whether no other one is both faster and more accurate; `judged_on` which rows accuracy was found on,
    empty where nothing was run.
    """

    device: str
    candidates: tuple[NetworkOption, ...]
    on_front: tuple[bool, ...]
    recommended: NetworkOption
    budget_ms: float | None = None
    judged_on: str = ""

    @property
    def policy(self) -> Specification:
        """The choice as a policy that always runs one network."""
        chosen = self.recommended
        network = PolicyNetwork(chosen.path.name, chosen.path.stem, chosen.predicted_ms, dtype=chosen.dtype)
        expected = {
            "mean_ms": chosen.predicted_ms,
            "longest_ms": chosen.predicted_ms,
            "single_ms": chosen.predicted_ms,
        }
        if chosen.accuracy is not None:
            expected |= {"accuracy": chosen.accuracy, "single_accuracy": chosen.accuracy}
        return Specification(
            "static",
            self.device,
            (network,),
            expected=expected,
            settings={"budget_ms": self.budget_ms},
            candidates=tuple(candidate.to_dict() for candidate in self.candidates),
        )

    def save(self, path: PathLike) -> Path:
        """Write the choice as a policy, with a copy of its network beside it; see `selector.runtime.save_policy`."""
        return save_policy(self.policy, [self.recommended.path], path)

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
    time_model: NetworkPredictor | PathLike,
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
        Longest *predicted* time that is accepted; see `recommend`.
    input_shape
        For files that leave more than the batch open.

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
    from compressor.data import load_data, row_count

    check_budget(budget_ms)
    paths = list(dict.fromkeys(map(Path, networks)))
    if not paths:
        raise UsageError(NO_NETWORK)
    model = TimeModel.load(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    rows = load_data(data) if isinstance(data, (str, os.PathLike)) else data
    candidates = []
    for done, path in enumerate(paths):
        progress(done / len(paths), path.name)
        candidates.append(_candidate(model, path, input_shape, rows))
    progress(1.0, "done")
    judged_on = ""
    if rows is not None:
        name, x, _ = rows.held_out()
        judged_on = f"{row_count(x)} {name} rows of {rows.source}"
    candidates.sort(key=lambda candidate: candidate.predicted_ms)
    return Selection(
        device=model.device,
        candidates=tuple(candidates),
        on_front=tuple(front(candidates)),
        recommended=recommend(candidates, budget_ms),
        budget_ms=budget_ms,
        judged_on=judged_on,
    )


def check_budget(budget_ms: float | None) -> None:
    """Raise UsageError where the budget is not a positive number."""
    if budget_ms is not None and not (budget_ms > 0 and math.isfinite(budget_ms)):
        raise UsageError(f"A budget of {budget_ms:g} ms cannot be met: give a time above 0.")


def recommend(candidates: Sequence[NetworkOption], budget_ms: float | None = None) -> NetworkOption:
    """The most accurate network whose *predicted* time is within the budget, else (accuracy not known, or equal) the fastest.

    The prediction decides, not the upper end of its interval, which bounds 90% of networks and would throw away most that fit;
    measuring settles those that `NetworkOption.crosses` marks. Raises BudgetError, which names the nearest, where none fits.
    """
    check_budget(budget_ms)
    if not candidates:
        raise UsageError(NO_NETWORK)
    fitting = [candidate for candidate in candidates if candidate.fits(budget_ms)]
    if not fitting:
        nearest = min(candidates, key=lambda candidate: candidate.predicted_ms)
        assert budget_ms is not None
        raise BudgetError(
            f"No network is predicted to take at most {budget_ms:g} ms; nearest is {nearest.path} with "
            f"{nearest.predicted_ms:.3g} ms ({_excess(nearest.predicted_ms / budget_ms)}): raise the budget, "
            "or make it faster with 'edgetime compress'."
        )
    return max(
        fitting,
        key=lambda one: (-math.inf if one.accuracy is None else one.accuracy, -one.predicted_ms),
    )


def _excess(ratio: float) -> str:
    """How far a time is beyond its budget."""
    if ratio < 2:
        return f"{100 * (ratio - 1):.1f}% over"
    return f"{ratio:,.0f} times that" if ratio >= 100 else f"{ratio:.3g} times that"


def _candidate(
    model: NetworkPredictor,
    path: Path,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
    rows: Data | None,
) -> NetworkOption:
    network = read_network(path, input_shape)
    prediction = model.predict(network)
    return NetworkOption(
        path=path,
        predicted_ms=prediction.predicted_ms,
        low_ms=prediction.low_ms,
        high_ms=prediction.high_ms,
        coverage=prediction.coverage,
        uncovered=tuple(prediction.uncovered),
        dtype=prediction.dtype,
        file_bytes=network.file_bytes,
        peak_memory_bytes=prediction.peak_memory_bytes,
        accuracy=None if rows is None else _accuracy(path, rows),
    )


def _accuracy(path: Path, data: Data) -> float:
    from compressor.data import check_fits
    from compressor.export import TfliteRunner, accuracy

    runner = TfliteRunner(path)
    _, x, y = data.held_out()
    if callable(data.metric):
        return float(data.metric(runner, (x, y)))
    if not data.is_classification:
        raise DataError(
            f"{data.source} defines a loss but no metric: define metric(model, (x, y)) to judge by."
        )
    outputs = runner.predict(x)
    if isinstance(outputs, list):
        raise DataError(f"{path} has {len(outputs)} outputs: give a Python file with metric(model, (x, y)).")
    if not isinstance(x, Mapping):  # `predict` has checked the shapes of several inputs
        check_fits(data, next(iter(runner.input_shapes.values()))[1:], outputs.shape[-1])
    return accuracy(outputs, y)
