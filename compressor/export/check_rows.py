"""The rows that a converted network is compared with its original on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, Rows, check_fits, evenly, load_data, load_inputs, read_arrays, take
from compressor.export.conversion import Inputs, calibration_rows
from compressor.export.freezing import Specs
from compressor.training import output_names

CHECK_ROWS = 1000
"""Rows that a file is checked on, drawn evenly from all that are given."""

RANDOM_ROWS = 32
"""Random rows that a file is checked on where no data is given."""

Given = Data | npt.NDArray | Inputs | str | os.PathLike[str]
"""What data may be given as: rows of the only input, of each by name, with labels, or the file of these."""


@dataclass(frozen=True)
class CheckRows:
    """Rows by input name to compare two networks on.

    `labels` say what is right (by output where there are several; None where unknown), `data` how that is judged.
    """

    inputs: Inputs
    labels: Rows | None
    data: Data | None
    description: str
    real: bool


def load_known(given: Given, specs: Specs) -> Data | Inputs:
    """Data from a file where a file is named, by the names of a network's inputs; rows as they are."""
    if isinstance(given, (str, os.PathLike)):
        file = Path(given)
        names = list(specs)
        if file.suffix == ".py" or not file.is_file():
            return load_data(file)
        arrays = read_arrays(file)
        kinds = {name.partition(".")[0] for name in arrays}
        labelled = {"x", "y"} <= kinds and not all(name in arrays for name in names)
        return load_data(file) if labelled else load_inputs(file, names)
    if isinstance(given, (Data, Mapping)):
        return given
    return {next(iter(specs)): np.asarray(given)}


def check_rows(known: Data | Inputs | None, specs: Specs, model: Any, seed: int = 0) -> CheckRows:
    """The rows to check on: held-out ones where there are any, random ones where there is no data."""
    if known is None:
        rows = _random_rows(specs, seed)
        return CheckRows(rows, None, None, f"{RANDOM_ROWS} random inputs", real=False)
    if not isinstance(known, Data):
        rows = calibration_rows(known, specs, CHECK_ROWS)
        count = len(next(iter(rows.values())))
        return CheckRows(rows, None, None, f"{count} rows without labels", real=True)
    units = _units(model, known)
    known = check_fits(known, {name: shape[1:] for name, (shape, _) in specs.items()}, units)
    part, x, y = known.held_out()
    picked = evenly(x, CHECK_ROWS)
    rows = calibration_rows(take(x, picked), specs, CHECK_ROWS)
    judged = units is not None and (known.metric is not None or any(map(known.classifies, units)))
    return CheckRows(
        rows,
        take(y, picked) if judged else None,
        known if judged else None,
        f"{len(picked)} {part} rows of {known.source}",
        real=True,
    )


def _units(model: Any, known: Data) -> dict[str, int | None] | None:
    """Values per row of each output of a Keras model, None for those that do not choose between classes.

    None for all where the labels are of one output and the model has several: only its inputs count then.
    """
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1 and not isinstance(known.y, Mapping):
        return None
    shapes = [tuple(tensor.shape) for tensor in outputs]
    return {
        name: shape[-1] if len(shape) == 2 else None
        for name, shape in zip(output_names(model), shapes, strict=True)
    }


def _random_rows(specs: Specs, seed: int) -> Inputs:
    """Standard normal numbers; for whole numbers 0 and 1, which every table of embeddings has."""
    generator = np.random.default_rng(seed)
    rows = {}
    for name, (shape, dtype) in specs.items():
        size = (RANDOM_ROWS, *shape[1:])
        rows[name] = (
            generator.normal(size=size)
            if np.issubdtype(dtype, np.floating)
            else generator.integers(0, 2, size)
        ).astype(dtype)
    return rows
