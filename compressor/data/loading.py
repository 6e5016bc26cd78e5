"""Reading data files: ``.npz``, or a Python file that is run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from compressor.data.checks import as_input
from compressor.data.dataset import Data, check_data
from compressor.data.files import EXAMPLE, read_arrays, read_python
from compressor.data.rows import Rows, arranged
from profiler.errors import DataError, missing

_PARTS = ("x", "y", "x_val", "y_val", "x_test", "y_test")


def load_data(path: str | os.PathLike[str]) -> Data:
    """Read and check a data file.

    Parameters
    ----------
    path
        ``.npz`` with ``x`` [rows, ...] and ``y`` [rows] and perhaps ``x_val``, ``y_val``, ``x_test``,
        ``y_test`` and ``groups``; for several inputs or outputs with ``x.NAME`` and ``y.NAME`` by their names in the
        network. Or a Python file, *which is run*, that defines ``load() -> (train, validation[, test])``, each
        ``(x, y)`` (arrays, or dictionaries of them by name) or a batched ``tf.data.Dataset`` of such pairs or (but for
        train) None, and perhaps ``loss``, ``metric``, ``augment(x)`` and ``loss_weights`` (see `Data`). Datasets are
        read into memory once.

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
    fields = read_python(file) if file.suffix == ".py" else _fields(read_arrays(file), file)
    return check_data(Data(**fields, source=str(file)))


def load_inputs(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, npt.NDArray]:
    """Read only inputs, as calibration needs them: name -> rows [rows, ...], all of the same length.

    A ``.npz`` with an array for each of `names` (``x.NAME`` or ``NAME``), or the training rows of what `load_data` reads; labels
    may be missing.
    """
    file = Path(path)
    if file.suffix == ".py" or not file.is_file():
        rows = load_data(file).x
    else:
        arrays = read_arrays(file)
        rows = {name: arrays[name] for name in names if name in arrays}
        if len(rows) < len(names):
            rows = _part(arrays, "x", file)
        if rows is None:
            wanted = "x" if len(names) == 1 else " and ".join(names)
            raise DataError(f"{file} holds {_listed(arrays)}, not {wanted}: save the inputs under that name.")
    found = arranged(rows, names, "x", str(file))
    inputs = found if len(names) > 1 else {names[0]: found}
    inputs = {name: as_input(array, name, str(file)) for name, array in inputs.items()}
    lengths = {name: len(array) for name, array in inputs.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{file}: arrays differ in length ({lengths}): give the same rows of each input.")
    return inputs


def _fields(arrays: Mapping[str, npt.NDArray], file: Path) -> dict[str, Any]:
    """The arrays of a file as fields of `Data`."""
    found = {name: _part(arrays, name, file) for name in _PARTS}
    for name in ("x", "y"):
        if found[name] is None:
            raise DataError(
                f"{file} has no array `{name}` (it holds {_listed(arrays)}): save it with {EXAMPLE}."
            )
    return {**found, "groups": arrays.get("groups")}


def _part(arrays: Mapping[str, npt.NDArray], name: str, file: Path) -> Rows | None:
    """The array of this name, or those of ``name.…``; None where there are none."""
    several = {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}
    if name in arrays and several:
        raise DataError(
            f"{file} has {name} and {name}.{next(iter(several))}: give one array, or one for each name."
        )
    return several or arrays.get(name)


def _listed(arrays: Mapping[str, Any]) -> str:
    return ", ".join(arrays) if arrays else "nothing"
