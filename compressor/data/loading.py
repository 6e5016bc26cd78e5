"""Data to train, calibrate and judge with, checked before any work starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data.checks import (
    as_float32,
    as_input,
    as_labels,
    check_finite,
    format_shape,
)
from compressor.data.files import (
    EXAMPLE,
    read_arrays,
    read_python,
)
from compressor.data.split import split_rows
from profiler.errors import DataError, missing

_KEYS = ("x", "y", "x_val", "y_val", "x_test", "y_test", "groups")


@dataclass(frozen=True)
class Data:
    """Rows with labels: for training, and where there are any for validation and for the test at the end.

    Parameters
    ----------
    x
        Inputs [rows, ...]: float32, or the integers that were stored (images as uint8, token numbers).
    y
        Labels: int64 [rows] in classification, else whatever `loss` takes [rows, ...].
    x_val, y_val, x_test, y_test
        The same for validation and test; None where not given (see `with_validation`, `with_test`).
    groups
        Subject, speaker or recording of each row of `x` [rows], which splitting never tears apart.
    loss
        Loss function for Keras; None means classification with sparse cross-entropy.
    metric
        ``metric(model, (x, y)) -> float``, higher is better, for any `model` with ``predict(x)``;
        None means accuracy.
    augment
        ``augment(x) -> x`` on a batch while training.
    source
        The file that it came from, for messages.
    """

    x: npt.NDArray
    y: npt.NDArray
    x_val: npt.NDArray | None = None
    y_val: npt.NDArray | None = None
    x_test: npt.NDArray | None = None
    y_test: npt.NDArray | None = None
    groups: npt.NDArray | None = None
    loss: Any = None
    metric: Callable[[Any, tuple[npt.NDArray, npt.NDArray]], float] | None = None
    augment: Callable[[Any], Any] | None = None
    source: str = "data"

    @property
    def is_classification(self) -> bool:
        """Whether `y` holds class numbers, so that cross-entropy is the loss."""
        return self.loss is None

    @property
    def classes(self) -> int:
        """Number of classes (the largest label plus one); 0 where the task is not classification."""
        if not self.is_classification:
            return 0
        labels = [y for y in (self.y, self.y_val, self.y_test) if y is not None and y.size]
        return 1 + max(int(y.max()) for y in labels)

    def held_out(self) -> tuple[str, npt.NDArray, npt.NDArray]:
        """Rows to judge a finished network on, with what they are called.

        The validation rows where there are any, else the test rows, else the training rows: ``(name, x, y)``.
        """
        for name, x, y in (("validation", self.x_val, self.y_val), ("test", self.x_test, self.y_test)):
            if x is not None and y is not None:
                return name, x, y
        return "training", self.x, self.y

    def with_validation(self, share: float = 0.2, seed: int = 0) -> Data:
        """Split validation rows off the training rows; where there are some already, nothing changes.

        By whole `groups` where given, else the same share of each class. The same seed gives the same split.
        """
        if self.x_val is not None:
            return self
        stay, held = self._split(share, seed)
        return replace(self._only(stay), x_val=self.x[held], y_val=self.y[held])

    def with_test(self, share: float = 0.2, seed: int = 0) -> Data:
        """Split test rows off the training rows; where there are some already, nothing changes."""
        if self.x_test is not None:
            return self
        stay, held = self._split(share, seed)
        return replace(self._only(stay), x_test=self.x[held], y_test=self.y[held])

    def _split(self, share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        labels = self.y if self.is_classification else None
        try:
            return split_rows(len(self.x), share, labels=labels, groups=self.groups, seed=seed)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from error

    def _only(self, rows: npt.NDArray[np.int64]) -> Data:
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], groups=groups)


def load_data(path: str | os.PathLike[str]) -> Data:
    """Read and check a data file.

    Parameters
    ----------
    path
        ``.npz`` with ``x`` [rows, ...] and ``y`` [rows] and perhaps ``x_val``, ``y_val``, ``x_test``,
        ``y_test`` and ``groups``; or a Python file, *which is run*, that defines
        ``load() -> (train, validation[, test])``, each ``(x, y)`` or a batched ``tf.data.Dataset`` of such
        pairs or (but for train) None, and perhaps ``loss``, ``metric(model, (x, y))`` and ``augment(x)``.
        Datasets are read into memory once.

    Raises
    ------
    DataError
        The file is missing or damaged, lengths differ, a value is NaN or infinite, labels are no class
        numbers.
    """
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{file} is a folder: name a .npz file with x and y, or a Python file with load().")
    if not file.exists():
        raise missing(
            DataError(f"{file} does not exist: name a .npz file with x and y, or a Python file with load().")
        )
    data = _from_fields(read_python(file), file) if file.suffix == ".py" else _from_arrays(file)
    return check_data(data)


def load_inputs(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, npt.NDArray]:
    """Read only inputs, as calibration needs them.

    A ``.npz`` with an array for each of `names` (networks of several inputs), or what `load_data` reads, of
    which the training rows are taken; labels may be missing.

    Returns
    -------
    dict
        Input name -> rows [rows, ...], all of the same length.
    """
    file = Path(path)
    if file.suffix == ".py" or not file.is_file():
        inputs = {names[0]: load_data(file).x}
    else:
        arrays = read_arrays(file)
        if all(name in arrays for name in names):
            inputs = {name: arrays[name] for name in names}
        elif "x" in arrays:
            inputs = {names[0]: arrays["x"]}
        else:
            wanted = "x" if len(names) == 1 else " and ".join(names)
            raise DataError(f"{file} holds {_listed(arrays)}, not {wanted}: save the inputs under that name.")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise DataError(
            f"{file} has one array `x`, but the network has the inputs {', '.join(names)}: "
            "save one array for each, named so."
        )
    inputs = {name: as_input(array, name, str(file)) for name, array in inputs.items()}
    lengths = {name: len(array) for name, array in inputs.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{file}: arrays differ in length ({lengths}): give the same rows of each input.")
    return inputs


def check_data(data: Data) -> Data:
    """Check lengths, values and labels; return the data with plain types (float32, int64 labels).

    Raises
    ------
    DataError
        One sentence that names the array, the first bad place and the mend.
    """
    changes: dict[str, Any] = {}
    for part in ("", "_val", "_test"):
        x, y = getattr(data, f"x{part}"), getattr(data, f"y{part}")
        if x is None and y is None:
            continue
        if x is None or y is None:
            have, lack = (f"x{part}", f"y{part}") if y is None else (f"y{part}", f"x{part}")
            raise DataError(f"{data.source} has {have} but no {lack}: give both or neither.")
        x = as_input(x, f"x{part}", data.source)
        y = np.asarray(y)
        if y.ndim == 0 or len(x) != len(y):
            rows = 1 if y.ndim == 0 else len(y)
            raise DataError(
                f"{data.source}: x{part} has {len(x)} rows and y{part} has {rows}: give one label per row."
            )
        if part and x.shape[1:] != np.shape(data.x)[1:]:
            raise DataError(
                f"{data.source}: rows of x{part} have shape {format_shape(x.shape[1:])}, "
                f"those of x {format_shape(np.shape(data.x)[1:])}: "
                "prepare both in the same way."
            )
        check_finite(y, f"y{part}", data.source)
        changes[f"x{part}"] = x
        changes[f"y{part}"] = (
            as_labels(y, f"y{part}", data.source) if data.is_classification else as_float32(y)
        )
    if data.groups is not None:
        groups = np.asarray(data.groups)
        if groups.ndim != 1 or len(groups) != len(changes["x"]):
            raise DataError(
                f"{data.source}: groups has shape {format_shape(groups.shape)} "
                f"but x has {len(changes['x'])} rows: give one group per row."
            )
        check_finite(groups, "groups", data.source)
    return replace(data, **changes)


def check_fits(data: Data, input_shape: Sequence[int | None], output_units: int | None = None) -> None:
    """Check that rows and labels fit a network.

    Parameters
    ----------
    input_shape
        Shape of one row, without the batch; None where any length will do.
    output_units
        Values that the network gives per row (classes; 1 means a single sigmoid), None where unknown.

    Raises
    ------
    DataError
        Rows have another shape, or a label lies beyond the outputs.
    """
    row = data.x.shape[1:]
    wanted = tuple(input_shape)
    if len(row) != len(wanted) or any(w is not None and w != r for w, r in zip(wanted, row, strict=True)):
        raise DataError(
            f"{data.source}: rows of x have shape {format_shape(row)}, "
            f"but the network takes {format_shape(wanted)}: "
            "reshape x, or name the network that belongs to this data."
        )
    if output_units is None or not data.is_classification:
        return
    most = 2 if output_units == 1 else output_units
    for name in ("y", "y_val", "y_test"):
        y = getattr(data, name)
        if y is not None and y.max() >= most:
            where = int(np.argmax(y >= most))
            raise DataError(
                f"{data.source}: {name}[{where}] is class {y[where]}, but the network tells {most} classes "
                f"apart (0 to {most - 1}): number the classes from 0, or name the network of this data."
            )


def _from_fields(fields: Mapping[str, Any], file: Path) -> Data:
    return Data(**fields, source=str(file))


def _from_arrays(file: Path) -> Data:
    arrays = read_arrays(file)
    for name in ("x", "y"):
        if name not in arrays:
            raise DataError(
                f"{file} has no array `{name}` (it holds {_listed(arrays)}): save it with {EXAMPLE}."
            )
    return _from_fields({key: arrays[key] for key in _KEYS if key in arrays}, file)


def _listed(arrays: Mapping[str, Any]) -> str:
    return ", ".join(arrays) if arrays else "nothing"
