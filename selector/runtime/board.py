"""A policy on another device: what is sent there, and what the agent runs there."""

from __future__ import annotations

import base64
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import profiler
import selector
from selector.runtime.files import packed, read_network_file, read_policy, unpacked
from selector.runtime.policy import load_policy
from selector.runtime.turns import run_in_turns

_CODE, _FOLDER, _ROWS = "code", "policy", "rows.npz"


def pack(policy: Path, rows: Mapping[str, NDArray[Any]]) -> bytes:
    """A zip of the few files that run a policy, its folder, and rows [rows, ...] of each of its inputs."""
    specification, contents = read_policy(policy)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        ours, theirs = Path(selector.__file__).parent, Path(profiler.__file__).parent
        for file in [ours / "__init__.py", *sorted((ours / "runtime").rglob("*.py"))]:
            archive.write(file, f"{_CODE}/selector/{file.relative_to(ours).as_posix()}")
        for name in ("__init__.py", "archives.py", "errors.py", "files.py", "values.py"):
            archive.write(theirs / name, f"{_CODE}/profiler/{name}")
        archive.write(policy, f"{_FOLDER}/{policy.name}")
        for file in policy.parent.glob(f"{policy.stem}.*.npz"):
            archive.write(file, f"{_FOLDER}/{file.name}")
        for network in specification.networks:
            if network.file not in contents:
                contents[network.file] = read_network_file(policy, network)
        for name, network_file in contents.items():
            archive.writestr(f"{_FOLDER}/{name}", network_file)
        archive.writestr(_ROWS, packed(rows))
    return content.getvalue()


def run(
    folder: str,
    policy: str,
    request: Mapping[str, Any],
    make: Callable[[bytes], Any],
    time_runs: Callable[[Callable[[], Any]], Mapping[str, Any]],
) -> dict[str, Any]:
    """Run on the board what `pack` packed; the agent calls this.

    Parameters
    ----------
    folder
        Where the zip was unpacked.
    policy
        Name of the policy's JSON file.
    request
        ``seconds`` to measure, ``on_drift``.
    make
        Makes an interpreter of a file's content under the agent's setting.
    time_runs
        The agent's own way to time a function: ``median_us`` and so on.

    Returns
    -------
    dict
        ``result``: plain values; ``arrays``: outputs and times of each row as a ``.npz`` in base 64; ``warnings``.
    """
    rows = unpacked(Path(folder, _ROWS).read_bytes())
    loaded = load_policy(
        os.path.join(folder, _FOLDER, policy), on_drift=str(request.get("on_drift", "warn")), make=make
    )
    x = rows[""] if list(rows) == [""] else rows
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run_in_turns(loaded, x, float(request.get("seconds", 2.0)))
    result = found.summary(loaded)
    order = [stage.network for stage in loaded.specification.stages]
    for stage, index in zip(result["stages"], order):  # noqa: B905 (Python 3.9)
        stage["agent_ms"] = float(time_runs(loaded.runner.networks[index].invoke)["median_us"]) / 1e3
    arrays = base64.b64encode(packed(arrays_of(found))).decode("ascii")
    said = [str(one.message).replace(folder + os.sep, "") for one in caught]
    return {"result": result, "arrays": arrays, "warnings": said}


def unpack(answer: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of an answer of `run`, by name."""
    return unpacked(base64.b64decode(answer["arrays"]))


def arrays_of(found: Any) -> dict[str, NDArray[Any]]:
    """Outputs and times of each row, by the names that they have in files."""
    arrays = {
        "stage": found.trace.stage,
        "network": found.trace.network,
        "predicted_ms": found.trace.predicted_ms,
        "measured_ms": found.policy_ms,
        "single_measured_ms": found.single_ms,
    }
    for name, outputs in (("outputs", found.outputs), ("single_outputs", found.single_outputs)):
        several = outputs if isinstance(outputs, Mapping) else None
        arrays.update(
            {name: outputs} if several is None else {f"{name}.{key}": one for key, one in several.items()}
        )
    return arrays
