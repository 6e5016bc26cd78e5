"""A task of the benchmark: its data with subjects or speakers held out, and its network at any width."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError
from profiler.files import replacing


@dataclass(frozen=True)
class Rows:
    """Rows with labels, and where they come from.

    Attributes
    ----------
    x, y
        Inputs [rows, ...] and class numbers [rows]; in a regression values [rows, values] float32.
    cluster
        Subject, speaker or image of each row [rows]: what is drawn first when chance is judged.
    unit
        Execution, recording or image of each row [rows]: what is drawn within a cluster.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    cluster: NDArray[Any]
    unit: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def at(self, chosen: NDArray[Any]) -> Rows:
        """Some of the rows, by mask or numbers."""
        return Rows(self.x[chosen], self.y[chosen], self.cluster[chosen], self.unit[chosen])


@dataclass(frozen=True)
class Split:
    """What a seed trains on, chooses by and is tested on; no subject or speaker is in two of them."""

    train: Rows
    validation: Rows
    test: Rows

    def check(self, by_cluster: bool) -> None:
        """Make sure that nothing straddles the parts.

        Raises
        ------
        DataError
            A unit (or with `by_cluster` a cluster) is in two parts, or a part is empty.
        """
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        for name, rows in parts.items():
            if not len(rows):
                raise DataError(f"The {name} part has no rows: the data set is not whole.")
        names = list(parts)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                for what in ("unit", "cluster") if by_cluster else ("unit",):
                    shared = np.intersect1d(getattr(parts[one], what), getattr(parts[other], what))
                    if shared.size:
                        raise DataError(f"{what} {shared[0]} is in the {one} part and in the {other} part.")


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name
        As in ``--only``.
    files
        What must be in the folder of tasks.
    outputs
        Number of classes, or of values in a regression.
    by_cluster
        Whether whole clusters are held out (subjects, speakers).
    load
        ``(folder, work, seed) -> Split``; what takes long to read is kept in `work`.
    network
        ``(width) -> keras.Model``: the network with all widths multiplied.
    augment
        On a batch while training.
    about
        One sentence for the report.
    regression
        Whether the outputs are values: scored by the share of their variance that is explained.
    """

    name: str
    files: tuple[str, ...]
    outputs: int
    by_cluster: bool
    load: Callable[[Path, Path, int], Split]
    network: Callable[[float], Any]
    augment: Callable[[NDArray[Any]], NDArray[Any]]
    about: str
    regression: bool = False

    def split(self, folder: Path, work: Path, seed: int) -> Split:
        """The rows of a seed, checked.

        Raises
        ------
        DataError
            The data is missing, or rows straddle the parts.
        """
        for file in self.files:
            if not (folder / file).exists():
                raise DataError(
                    f"{folder / file} does not exist: name the folder of tasks (see its README.md) with --data."
                )
        split = self.load(folder, work, seed)
        split.check(self.by_cluster)
        return split


def decoded_once(path: Path, decode: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays in a file, made and kept there the first time."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = decode()
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def get_task(name: str) -> Task:
    """A task by its name; its module is imported when asked for."""
    module = importlib.import_module(f"benchmarks.compression.tasks_{name.split('-')[0]}")
    made: Task = module.TASKS[name]
    return made


def channels(width: float, base: int, step: int = 4) -> int:
    """`base` channels times `width`, at least `step` and a multiple of it."""
    return max(step, step * round(base * width / step))
