"""Writing a policy as one file: checked against the policy's own answers, and measured in turns with it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError, UsageError
from profiler.files import write_bytes
from selector.one_file.merging import ANSWER, STAGE, one_file
from selector.runtime import Block, LoadedNetwork, LoadedPolicy, PolicyNetwork, load_policy, make_interpreter

_MOST_DIFFERENT = 1e-3
"""Share of the rows that may be as sure as a threshold but for rounding."""

_CLOSE = 1e-3
_TURN_ROWS = 64
_MOST_ROWS = 2048


@dataclass(frozen=True)
class OneFile:
    """A policy as one file, and how it compares with the policy on rows.

    Parameters
    ----------
    path
        The file.
    rows
        Rows that both answered.
    different
        Rows that stopped at another stage: as sure as its threshold but for rounding.
    largest_difference
        Of an output, where both stopped at the same stage.
    file_us, policy_us, blocks_us
        Mean time of an input, measured in turns: of the file, of the policy given one row at a time, and given many.
    """

    path: Path
    rows: int
    different: int
    largest_difference: float
    file_us: float
    policy_us: float
    blocks_us: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "path": str(self.path)}


def write_one_file(
    policy: str | os.PathLike[str], path: str | os.PathLike[str], x: Any, seconds: float = 1.0
) -> OneFile:
    """Write a policy as one `.tflite` file that decides by itself.

    It takes one row of the policy's inputs and gives ``answer`` [1, classes] and ``stage`` [1]. What the policy does beside
    deciding it does not: it has no other network to ask where one gives NaN, and does not watch for drift.

    Parameters
    ----------
    policy
        The policy's JSON file, or its folder.
    path
        The file to write.
    x
        Rows [rows, ...], or rows by name of each input, on which it must answer as the policy does.
    seconds
        About how long to measure both.

    Raises
    ------
    UsageError
        The policy is no cascade, or another machine runs a part of it.
    EdgetimeError
        The file answers otherwise than the policy, so it is not written.

    Examples
    --------
    >>> found = write_one_file("policy/", "policy.tflite", x)                  # doctest: +SKIP
    >>> found.file_us, found.policy_us                                         # doctest: +SKIP
    """
    target = Path(path)
    if target.suffix != ".tflite":
        raise UsageError(f"{target} is to be a .tflite file: give it that ending.")
    loaded = load_policy(policy)
    content = one_file(loaded.file)
    network = LoadedNetwork(
        make_interpreter(content), PolicyNetwork(target.name, target.stem, 0.0, answer=ANSWER), target
    )
    inputs = {
        name: np.asarray(rows)[:_MOST_ROWS]
        for name, rows in (x.items() if isinstance(x, Mapping) else [("", x)])
    }
    rows = len(next(iter(inputs.values())))
    given = inputs if isinstance(x, Mapping) else inputs[""]
    different, largest = _compare(loaded, network, given, Block(inputs), target)
    times_us = _times_us(loaded, network, inputs, isinstance(x, Mapping), seconds)
    write_bytes(target, content)
    return OneFile(target, rows, different, largest, *times_us)


def _compare(
    policy: LoadedPolicy, network: LoadedNetwork, given: Any, block: Block, target: Path
) -> tuple[int, float]:
    """Rows that stop elsewhere, and the largest difference of the others; EdgetimeError where these are no rounding."""
    wanted = policy(given, watch=False)
    trusted = policy.trace.stage >= 0
    found = network.run(block, np.arange(block.rows), keep=[STAGE])
    stage: NDArray[Any] = found.outputs[STAGE][0].reshape(-1)
    elsewhere = trusted & (stage != policy.trace.stage)
    same = trusted & ~elsewhere
    gap = np.abs(found.answer[same] - wanted[same]).max(axis=1) if same.any() else np.zeros(1)
    scale = max(1.0, float(np.abs(wanted[same]).max())) if same.any() else 1.0
    different, largest = int(elsewhere.sum()), float(gap.max())
    if different > max(1, _MOST_DIFFERENT * block.rows) or not largest <= _CLOSE * scale:
        raise EdgetimeError(
            f"{target} would stop at another stage than {policy.file} on {different} of {block.rows} rows and differ from it by "
            f"up to {largest:.2g}: it is not written. This is a bug of edgetime, please report it."
        )
    return different, largest


def _times_us(
    policy: LoadedPolicy,
    network: LoadedNetwork,
    inputs: Mapping[str, NDArray[Any]],
    named: bool,
    seconds: float,
) -> tuple[float, float, float]:
    """Medians over turns of the mean time of an input: of the file, of the policy row by row, and of the policy."""
    rows = len(next(iter(inputs.values())))
    times: list[tuple[float, float, float]] = []
    clock, begin = time.thread_time, time.perf_counter()  # the thread's own: not what others take of its core
    while not times or time.perf_counter() - begin < seconds:
        start = len(times) * _TURN_ROWS % max(1, rows - _TURN_ROWS + 1)
        part = {name: values[start : start + _TURN_ROWS] for name, values in inputs.items()}
        count = len(next(iter(part.values())))
        whole: Any = part if named else part[""]
        single: list[Any] = [
            {name: values[row : row + 1] for name, values in part.items()} if named else whole[row : row + 1]
            for row in range(count)
        ]
        marks = [clock()]
        network.run(Block(part), np.arange(count))
        marks.append(clock())
        for row in single:
            policy(row, watch=False)
        marks.append(clock())
        policy(whole, watch=False)
        marks.append(clock())
        first, second, third = np.diff(marks) * 1e6 / count
        times.append((first, second, third))
    file_us, policy_us, blocks_us = np.median(times, axis=0).tolist()
    return file_us, policy_us, blocks_us
