"""Running a policy on rows, here or on a board, and comparing it with its best single network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.devices import Target, agent, device_name, open_target
from profiler.errors import DataError, EdgetimeWarning, TargetError, UsageError
from profiler.progress import ProgressCallback, silent
from selector.one_file import OneFile, write_one_file
from selector.runtime import LoadedPolicy, arrays_of, load_policy, pack, run_in_turns, unpack

if TYPE_CHECKING:
    from compressor.data import Rows

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class PolicyRun:
    """What came of running a policy on rows.

    Parameters
    ----------
    summary
        Plain values: rows, times of the policy, its stages and the single network, predicted and measured; drift.
    arrays
        Of each row: ``outputs``, ``single_outputs``, ``stage``, ``network``, ``predicted_ms``, ``measured_ms``,
        ``single_measured_ms``.
    device
        Where it ran.
    policy_device
        What its predicted times are of.
    rows
        Which rows these were, such as ``5000 test rows of d.npz``.
    accuracy, single_accuracy
        Share of rows on which it, and the single network, are right; None without labels.
    one_file
        The policy as one file, where that was asked for.
    """

    summary: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    device: str
    policy_device: str
    rows: str
    accuracy: float | None = None
    single_accuracy: float | None = None
    one_file: OneFile | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, without the arrays."""
        single = {**self.summary["single"], "accuracy": self.single_accuracy}
        where = {"device": self.device, "policy_device": self.policy_device, "judged_on": self.rows}
        found = {**where, "accuracy": self.accuracy, **self.summary, "single": single}
        return found if self.one_file is None else {**found, "one_file": self.one_file.to_dict()}


def run_policy(
    policy: PathLike,
    data: PathLike,
    target: str | Target | None = None,
    *,
    seconds: float = 2.0,
    on_drift: str = "warn",
    one_file: PathLike | None = None,
    progress: ProgressCallback = silent,
) -> PolicyRun:
    """Run a policy on the rows of a file, and its best single network in turns with it.

    Parameters
    ----------
    policy
        Its JSON file, or the folder of that.
    data
        A file of rows, with labels or without: those for the test count, else those for validation, else all.
    target
        Where to run, such as ``"ssh://pi@board"``: what runs it is sent there with the rows. None is this process.
    seconds
        About how long to measure, after all rows were answered once.
    on_drift
        See `selector.runtime.load_policy`.
    one_file
        A `.tflite` file to write the policy to as one network that decides by itself: see `selector.one_file.write_one_file`.

    Warns
    -----
    EdgetimeWarning
        The device is not the policy's, or rows stop at other stages than when it was fitted.

    Raises
    ------
    EdgetimeError
        The policy is damaged, rows do not fit it, or the target fails.
    """
    if not seconds > 0:
        raise UsageError(f"seconds must be above 0, not {seconds:g}.")
    loaded = load_policy(policy, on_drift=on_drift)
    part, x, y = rows_of(data, loaded)
    progress(0.0, "running")
    if target is None:
        device = device_name({"cpu": agent.cpu_model(), "cores": os.cpu_count() or 1})
        _compare_devices(loaded, device)
        found = run_in_turns(loaded, x, seconds, progress)
        summary, arrays = found.summary(loaded), arrays_of(found)
    else:
        with open_target(target) if isinstance(target, str) else target as place:
            device = device_name(place.hello())
            _compare_devices(loaded, device)
            inputs = x if isinstance(x, Mapping) else {"": np.asarray(x)}
            answer = place.run_policy(pack(loaded.file, inputs), loaded.file.name, seconds, on_drift)
            if "error" in answer:
                raise TargetError(f"{place.name} does not run {loaded.file}: {answer['error']}")
        for sentence in answer["warnings"]:
            warnings.warn(sentence, EdgetimeWarning, stacklevel=2)
        summary, arrays = answer["result"], unpack(answer)
    written = None if one_file is None else write_one_file(loaded.file, one_file, x)
    progress(1.0, "done")
    count = int(summary["rows"])
    return PolicyRun(
        summary,
        arrays,
        device,
        loaded.specification.device,
        f"{count:,} {part} rows of {data}" if part else f"{count:,} rows of {data}",
        _accuracy(arrays.get("outputs"), y),
        _accuracy(arrays.get("single_outputs"), y),
        written,
    )


def rows_of(path: PathLike, policy: LoadedPolicy) -> tuple[str, Rows, Any]:
    """Which rows of a file count, the rows, and their labels: ``(name, x, y)``; no name and no labels where it has only inputs."""
    from compressor.data import load_data, load_inputs, read_arrays

    file = Path(path)
    if file.suffix != ".py" and file.is_file() and not any(name[:1] == "y" for name in read_arrays(file)):
        chain = policy.runner.chain(policy.specification.single)
        names = list(policy.runner.networks[chain[0]].inputs)
        inputs = load_inputs(file, names)
        return "", inputs if len(names) > 1 else inputs[names[0]], None
    data = load_data(file)
    y = None
    for part, x, labels in (
        ("test", data.x_test, data.y_test),
        ("validation", data.x_val, data.y_val),
        ("", data.x, data.y),
    ):
        if x is not None:
            y = labels if data.is_classification and not isinstance(labels, Mapping) else None
            return part, x, y
    raise DataError(f"{file} has no rows: name a .npz file with x.")


def _accuracy(outputs: NDArray[Any] | None, y: Any) -> float | None:
    if y is None or outputs is None or outputs.ndim != 2:
        return None
    named = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(int)
    return float((named == np.asarray(y).reshape(-1)).mean())


def _compare_devices(policy: LoadedPolicy, here: str) -> None:
    device = policy.specification.device
    if device != here:
        warnings.warn(
            f"{policy.file} was made for {device}, and this is {here}: predicted times are of the former, and what is quickest "
            "there need not be so here.",
            EdgetimeWarning,
            stacklevel=3,
        )
