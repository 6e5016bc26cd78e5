"""Reading data files as they stand: ``.npz``, or a user's Python file; nothing is unpickled."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data.rows import Rows, each, joined
from profiler.errors import DataError, missing

EXAMPLE = "np.savez('data.npz', x=x, y=y)"


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray]:
    """Read every array of a ``.npz``; never unpickles. DataError where it is missing, damaged, or something else."""
    file = Path(path)
    try:
        stored = np.load(file, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise DataError(f"{file} is a single array (.npy): save it with {EXAMPLE}.")
        with stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise missing(DataError(f"{file} does not exist: name a .npz file with x and y.")) from error
    except DataError:
        raise
    except (Exception, MemoryError) as error:  # numpy, zipfile and zlib raise what they like on damaged files
        if "Object arrays cannot be loaded" in str(error):
            raise DataError(
                f"{file} holds Python objects, which are not read: "
                "store plain arrays of numbers, all rows of one shape."
            ) from error
        kind = (
            "a damaged .npz file" if zipfile.is_zipfile(file) or _starts_like_zip(file) else "not a .npz file"
        )
        raise DataError(f"{file} is {kind}: write it again with {EXAMPLE}.") from error


def read_python(file: Path) -> dict[str, Any]:
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
    return named | extras


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
    return each(part[0], np.asarray), each(part[1], np.asarray)


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


def _starts_like_zip(file: Path) -> bool:
    try:
        with open(file, "rb") as stream:
            return stream.read(2) == b"PK"
    except OSError:
        return False
