"""Reading data files: ``.npz``, or a Python file that is run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import traceback
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data.dataset import Data, check_data
from compressor.data.grouping import looks_like_groups, named_groups
from compressor.data.rows import Rows, arranged, as_array, as_input, each, joined, row_count
from compressor.data.stored import read_arrays_stored, read_folder
from profiler.archives import TooLargeError, open_zip, read_arrays_of
from profiler.errors import DataError, missing

_PARTS = ("x", "y", "x_val", "y_val", "x_test", "y_test")


def load_data(path: str | os.PathLike[str], groups: str | None = None) -> Data:
    """Read and check a data file.

    Parameters
    ----------
    path
        ``.npz`` with ``x`` [rows, ...] and ``y`` [rows] and perhaps ``x_val``, ``y_val``, ``x_test``,
        ``y_test``, ``groups``, ``groups_val`` and ``groups_test``; for several inputs or outputs with ``x.NAME`` and
        ``y.NAME`` by their names in the network. Or a folder with each of these arrays in a file of its own (``x.npy``,
        ``y.npy``). Arrays of more than 256 MB that are not packed (`numpy.savez`, ``.npy``) stay in their file and are read as
        they are needed. Or a Python file, *which is run*, that defines
        ``load() -> (train, validation[, test])``, each
        ``(x, y)`` (arrays, or dictionaries of them by name) or a batched ``tf.data.Dataset`` of such pairs or (but for
        train) None, and perhaps ``loss``, ``metric``, ``augment(x)``, ``loss_weights``, ``groups``, ``groups_val`` and
        ``groups_test`` (see `Data`). Datasets are read into memory once.
    groups
        The name of the array (and with ``_val`` and ``_test`` behind it of those for the other rows) that says what
        belongs together; default: ``groups``.

    Raises
    ------
    DataError
        The file is missing or damaged, lengths differ, a value is NaN or infinite, labels are no class
        numbers.
    """
    file = Path(path)
    if not file.exists():
        raise missing(
            DataError(f"{file} does not exist: name a .npz file with x and y, or a Python file with load().")
        )
    if file.is_dir() and not any(file.glob("*.npy")):
        raise DataError(
            f"{file} is a folder without x.npy and y.npy: name a .npz file with x and y, or a Python file with load()."
        )
    python = file.suffix == ".py"
    fields = read_python(file, groups) if python else _fields(read_arrays(file, stored=True), file, groups)
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


_GROUPS = ("groups", "groups_val", "groups_test")


def _grouping(
    arrays: Mapping[str, Any], groups: str | None, found: Mapping[str, Any], file: Path
) -> dict[str, Any]:
    """Fields of `Data` on what belongs together: as it is named, else what looks as if it said so."""
    if groups is not None:
        return dict(named_groups(arrays, groups, str(file)))
    given = {name: arrays[name] for name in _GROUPS if arrays.get(name) is not None}
    if given:
        return given
    y = found["y"]
    labels = next(iter(y.values())) if isinstance(y, Mapping) else y
    return {"maybe_groups": looks_like_groups(arrays, labels, row_count(found["x"]))}


def _fields(arrays: Mapping[str, npt.NDArray], file: Path, groups: str | None = None) -> dict[str, Any]:
    """The arrays of a file as fields of `Data`."""
    found = {name: _part(arrays, name, file) for name in _PARTS}
    for name in ("x", "y"):
        if found[name] is None:
            raise DataError(
                f"{file} has no array `{name}` (it holds {_listed(arrays)}): save it with {EXAMPLE}."
            )
    others = {key: array for key, array in arrays.items() if key.partition(".")[0] not in _PARTS}
    return {**found, **_grouping(others, groups, found, file)}


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


EXAMPLE = "np.savez('data.npz', x=x, y=y)"


def read_arrays(path: str | os.PathLike[str], stored: bool = False) -> dict[str, Any]:
    """Read every array of a ``.npz`` or a folder; never unpickles. DataError where it is missing, damaged, or something else.

    With `stored` large ones may stay in the file (`StoredRows`).
    """
    file = Path(path)
    try:
        if _starts_with(file, b"\x93NUMPY"):
            raise DataError(f"{file} is a single array (.npy): save it with {EXAMPLE}.")
        if file.is_dir():
            return read_folder(file)
        if not stored:
            return read_arrays_of(file)
        with open_zip(file) as archive:
            return read_arrays_stored(file, archive)
    except FileNotFoundError as error:
        raise missing(DataError(f"{file} does not exist: name a .npz file with x and y.")) from error
    except DataError:
        raise
    except TooLargeError as error:
        raise DataError(
            f"{file} has {error}, more than is taken from a packed file: if you trust it, save it unpacked, with np.savez."
        ) from error
    except (Exception, MemoryError) as error:  # numpy, zipfile and zlib raise what they like on damaged files
        if "Object arrays cannot be loaded" in str(error):
            raise DataError(
                f"{file} holds Python objects, which are not read: "
                "store plain arrays of numbers, all rows of one shape."
            ) from error
        if file.is_dir():
            raise DataError(f"{file} holds a damaged .npy file: write it again with np.save.") from error
        kind = (
            "a damaged .npz file"
            if zipfile.is_zipfile(file) or _starts_with(file, b"PK")
            else "not a .npz file"
        )
        raise DataError(f"{file} is {kind}: write it again with {EXAMPLE}.") from error


def read_python(file: Path, groups: str | None = None) -> dict[str, Any]:
    """Run a user's data file and call its ``load()``: the fields of `Data`, of which nothing is checked yet but functions.

    Raises DataError where the file fails (the message names the line), or ``load()`` returns something else.
    """
    module = _run_file(file)
    load = getattr(module, "load", None)
    if not callable(load):
        raise DataError(f"{file} defines no load(): write one that returns (train, validation).")
    try:
        parts = load()
    except Exception as error:
        raise _raised(file, "load()", error) from error
    if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
        raise DataError(
            f"{file}: load() must return (train, validation), each (x, y) or a batched tf.data.Dataset."
        )
    named: dict[str, Any] = {}
    for suffix, name, part in zip(
        ("", "_val", "_test"), ("train", "validation", "test"), parts, strict=False
    ):
        if part is None and suffix:
            continue
        try:
            named[f"x{suffix}"], named[f"y{suffix}"] = _as_pair(part, name, file)
        except DataError:
            raise
        except Exception as error:
            raise _raised(file, f"the {name} data of load()", error) from error
    extras: dict[str, Any] = {
        key: getattr(module, key, None) for key in ("loss", "metric", "augment", "loss_weights")
    }
    for key in ("metric", "augment"):
        value = extras[key]
        functions = value.values() if key == "metric" and isinstance(value, dict) else [value]
        if value is not None and not all(map(callable, functions)):
            raise DataError(f"{file}: `{key}` is not a function: define it with def, or leave it out.")
    arrays = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, (np.ndarray, list)) and key not in _PARTS
    }
    return named | extras | _grouping(arrays, groups, named, file)


def _run_file(file: Path) -> ModuleType:
    """Run a user's Python file as a module of its own, able to import its neighbours."""
    name = f"_edgetime_data_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _raised(file, "it", error) from error
    finally:
        sys.path.pop(0)
    return module


def _raised(file: Path, what: str, error: BaseException) -> DataError:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    at = f" at line {lines[-1]}" if lines and lines[-1] else ""
    return DataError(f"{file}: {what} failed{at} with {type(error).__name__}: {error}. Mend that file.")


def _as_pair(part: Any, name: str, file: Path) -> tuple[Rows, Rows]:
    """(x, y) as arrays, from a pair or by reading a finite tf.data.Dataset to its end."""
    if hasattr(part, "as_numpy_iterator"):
        return _read_dataset(part, name, file)
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise DataError(
            f"{file}: the {name} data of load() is no (x, y) and no tf.data.Dataset: return one of them."
        )
    return each(part[0], as_array), each(part[1], as_array)


def _read_dataset(dataset: Any, name: str, file: Path) -> tuple[Rows, Rows]:
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise DataError(f"{file}: the {name} dataset never ends: take repeat() out of it.")
    xs: list[Rows] = []
    ys: list[Rows] = []
    for element in dataset.as_numpy_iterator():
        if not isinstance(element, tuple) or len(element) < 2 or isinstance(element[0], tuple):
            raise DataError(
                f"{file}: the {name} dataset must give pairs (x, y) of arrays, or of dictionaries of arrays by name."
            )
        # As `Model.fit` does, take what has a scalar label for a single row and everything else for a batch.
        label = next(iter(element[1].values())) if isinstance(element[1], dict) else element[1]
        single = np.ndim(label) == 0
        for found, rows in ((xs, element[0]), (ys, element[1])):
            found.append(each(rows, lambda a: np.asarray(a)[None]) if single else each(rows, np.asarray))
    if not xs:
        raise DataError(f"{file}: the {name} dataset is empty: give it rows.")
    return joined(xs), joined(ys)


def _starts_with(file: Path, magic: bytes) -> bool:
    with contextlib.suppress(OSError), open(file, "rb") as stream:
        return stream.read(len(magic)) == magic
    return False
