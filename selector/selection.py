"""Selecting between networks by what they cost on a device; for their times nothing is run."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import BudgetError, EdgetimeError, UsageError
from profiler.network import Network
from profiler.progress import ProgressCallback, silent
from profiler.tflite import read_network
from selector.candidates import (
    DeviceLimits,
    InputShape,
    KnownAccuracies,
    NetworkOption,
    front,
    network_accuracy,
    network_option,
    unknown_option,
)
from selector.runtime import PolicyNetwork, Specification, save_policy
from timemodel.model import NetworkPredictor, TimeModel

if TYPE_CHECKING:
    from compressor.data import Data

PathLike = str | os.PathLike[str]

NO_NETWORK = "There is no network to choose from: name at least one .tflite file."


@dataclass(frozen=True)
class Selection:
    """Candidates on one device, fastest first, and the one to run.

    `on_front` says for each whether no other one is both faster and more accurate; `judged_on` which rows accuracy was found on,
    empty where nothing was run; `failed` names each file that was left out, with the reason. `chosen` is None where no
    network is within the limits.
    """

    device: str
    candidates: tuple[NetworkOption, ...]
    on_front: tuple[bool, ...]
    chosen: NetworkOption | None
    limits: DeviceLimits = field(default_factory=DeviceLimits)
    judged_on: str = ""
    failed: tuple[tuple[Path, str], ...] = ()

    @property
    def recommended(self) -> NetworkOption:
        """The network to run; BudgetError, which names the nearest, where none is within the limits."""
        if self.chosen is None:
            raise BudgetError(self.limits.miss(self.candidates))
        return self.chosen

    @property
    def budget_ms(self) -> float | None:
        """Longest predicted time that was accepted."""
        return self.limits.budget_ms

    @property
    def policy(self) -> Specification:
        """The choice as a policy that always runs one network."""
        chosen = self.recommended
        network = PolicyNetwork(
            chosen.path.name,
            chosen.path.stem,
            chosen.predicted_ms,
            dtype=chosen.dtype,
            predicted_mj=chosen.energy_mj,
        )
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
            "max_memory_kb": self.limits.max_memory_kb,
            "max_energy_mj": self.limits.max_energy_mj,
            "recommended": None if self.chosen is None else str(self.chosen.path),
            "judged_on": self.judged_on,
            "candidates": [
                {
                    **candidate.to_dict(),
                    "on_front": on_front,
                    "within_budget": candidate.fits(self.budget_ms),
                    "crosses_budget": candidate.crosses(self.budget_ms),
                    "over": list(self.limits.over(candidate)),
                }
                for candidate, on_front in zip(self.candidates, self.on_front, strict=True)
            ],
            "failed": [{"network": str(path), "reason": reason} for path, reason in self.failed],
        }


def select(
    time_model: NetworkPredictor | PathLike,
    networks: Sequence[PathLike],
    data: Data | PathLike | None = None,
    budget_ms: float | None = None,
    *,
    max_memory_kb: float | None = None,
    max_energy_mj: float | None = None,
    input_shape: InputShape | None = None,
    turns: int | None = None,
    progress: ProgressCallback = silent,
) -> Selection:
    """Rank networks by their predicted time on a device and recommend one.

    A file of several that cannot be read or run is left out and named in `Selection.failed`.

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
    max_memory_kb
        Most memory of the activations at their peak, in 1,000 bytes.
    max_energy_mj
        Most predicted energy of an inference, in mJ; needs a device whose profile has energy.
    input_shape
        For files that leave more than the batch open.
    turns
        How often loops turn whose number no file tells; None: once.

    Raises
    ------
    UsageError
        A limit is not positive, no network is named, or energy is limited and not known.
    ModelFileError
        No network can be read or run.
    DataError
        Data and every network do not fit.
    BudgetError
        No network is within the limits.
    """
    limits = DeviceLimits(budget_ms, max_memory_kb, max_energy_mj)
    (found,) = select_per_device([time_model], networks, data, limits, input_shape, progress, turns=turns)
    if found.chosen is None:
        raise BudgetError(limits.miss(found.candidates))
    return found


def select_per_device(
    time_models: Sequence[NetworkPredictor | PathLike],
    networks: Sequence[PathLike],
    data: Data | PathLike | None = None,
    limits: DeviceLimits | None = None,
    input_shape: InputShape | None = None,
    progress: ProgressCallback = silent,
    *,
    accuracies: KnownAccuracies | None = None,
    turns: int | None = None,
) -> tuple[Selection, ...]:
    """What `select` gives for each of several devices; each file is read, and run, once.

    Without data `accuracies` are those that are known already, such as `selector.candidates.compressed_accuracies` finds them.

    Returns
    -------
    tuple of Selection
        In the order of the time models; `Selection.chosen` is None for a device on which no network is within the limits.
    """
    from compressor.data import load_data, row_count

    limits = limits or DeviceLimits()
    limits.check()
    paths = list(dict.fromkeys(map(Path, networks)))
    if not paths:
        raise UsageError(NO_NETWORK)
    models = [TimeModel.load(one) if isinstance(one, (str, os.PathLike)) else one for one in time_models]
    rows = load_data(data) if isinstance(data, (str, os.PathLike)) else data
    options: list[list[NetworkOption]] = [[] for _ in models]
    failed: list[tuple[Path, str]] = []
    for done, path in enumerate(paths):
        progress(done / len(paths), path.name)
        try:
            found = _options(models, path, read_network(path, input_shape, turns=turns), rows)
        except (
            Exception
        ) as error:  # even a bug in edgetime that one file brings out is no reason to leave the others
            if len(paths) == 1 or (done + 1 == len(paths) and not options[0]):
                raise
            known = isinstance(error, EdgetimeError)
            failed.append(
                (path, str(error) if known else f"edgetime fails on it ({type(error).__name__}: {error})")
            )
            continue
        for row, option in zip(options, found, strict=True):
            row.append(option)
    progress(1.0, "done")
    judged_on = ""
    if rows is None and accuracies is not None and accuracies.by_path:
        options = [
            [replace(one, accuracy=accuracies.by_path[one.path]) for one in known] for known in options
        ]
        judged_on = accuracies.judged_on
    if rows is not None:
        name, x, _ = rows.held_out()
        judged_on = f"{row_count(x)} {name} rows of {rows.source}"
    return tuple(
        _selection(model.device, known, limits, judged_on, failed)
        for model, known in zip(models, options, strict=True)
    )


def _options(
    models: Sequence[NetworkPredictor], path: Path, network: Network, rows: Data | None
) -> list[NetworkOption]:
    """One network on every device; UsageError where none knows anything of its time."""
    found: list[NetworkOption] = []
    errors: list[UsageError] = []
    for model in models:
        try:
            found.append(network_option(model, path, network))
        except UsageError as error:
            errors.append(error)
            found.append(unknown_option(path, network, str(error)))
    if len(errors) == len(models):
        raise errors[0]
    accuracy = None if rows is None else network_accuracy(path, rows)
    return [replace(option, accuracy=accuracy) for option in found]


def _selection(
    device: str,
    candidates: list[NetworkOption],
    limits: DeviceLimits,
    judged_on: str,
    failed: Sequence[tuple[Path, str]],
) -> Selection:
    limits.check_known(device, candidates)
    candidates = sorted(candidates, key=lambda candidate: candidate.predicted_ms)
    return Selection(
        device=device,
        candidates=tuple(candidates),
        on_front=tuple(front(candidates)),
        chosen=_best(candidates, limits),
        limits=limits,
        judged_on=judged_on,
        failed=tuple(failed),
    )


def recommend(
    candidates: Sequence[NetworkOption],
    budget_ms: float | None = None,
    *,
    max_memory_kb: float | None = None,
    max_energy_mj: float | None = None,
) -> NetworkOption:
    """The most accurate network whose *predicted* costs are within the limits, else (accuracy not known, or equal) the fastest.

    One whose time is not whole (`NetworkOption.at_least`) is never recommended.

    The prediction decides, not the upper end of its interval, which bounds 90% of networks and would throw away most that fit;
    measuring settles those that `NetworkOption.crosses` marks. Raises BudgetError, which names the nearest, where none fits.
    """
    limits = DeviceLimits(budget_ms, max_memory_kb, max_energy_mj)
    limits.check()
    if not candidates:
        raise UsageError(NO_NETWORK)
    best = _best(candidates, limits)
    if best is None:
        raise BudgetError(limits.miss(candidates))
    return best


def _best(candidates: Sequence[NetworkOption], limits: DeviceLimits) -> NetworkOption | None:
    return max(
        filter(limits.fit, candidates),
        key=lambda one: (-math.inf if one.accuracy is None else one.accuracy, -one.predicted_ms),
        default=None,
    )
