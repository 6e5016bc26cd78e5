"""Which rows a converted network is checked on, and what is right for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import (
    Data,
    check_fits,
    load_data,
    load_inputs,
    read_arrays,
)
from compressor.export.conversion import Rows, calibration_rows
from compressor.export.freezing import Specs

CHECK_ROWS = 1000
"""Rows that a file is checked on, drawn evenly from all that are given."""

RANDOM_ROWS = 32
"""Random rows that a file is checked on where no data is given."""

Inputs = Data | npt.NDArray | Rows | str | os.PathLike[str]


@dataclass(frozen=True)
class CheckRows:
    """Rows to compare two networks on.

    Parameters
    ----------
    inputs
        Rows of each input by its name.
    labels
        What is right for each row [rows, ...]; None where unknown.
    metric
        `Data.metric`; None means accuracy.
    description
        What rows these are, for messages.
    typical
        Whether they are real data and not random numbers.
    """

    inputs: Rows
    labels: npt.NDArray | None
    metric: Callable[[Any, tuple[npt.NDArray, npt.NDArray]], float] | None
    description: str
    typical: bool


def load_known(given: Inputs, specs: Specs) -> Data | Rows:
    """Data from a file where a file is named, by the names of a network's inputs; rows as they are."""
    if isinstance(given, (str, os.PathLike)):
        file = Path(given)
        names = list(specs)
        if file.suffix == ".py" or not file.is_file():
            return load_data(file)
        labelled = (
            len(names) == 1 and names[0] not in (arrays := read_arrays(file)) and {"x", "y"} <= set(arrays)
        )
        return load_data(file) if labelled else load_inputs(file, names)
    if isinstance(given, (Data, Mapping)):
        return given
    return {next(iter(specs)): np.asarray(given)}


def check_rows(known: Data | Rows | None, specs: Specs, output_units: int | None, seed: int = 0) -> CheckRows:
    """The rows to check on: held-out ones where there are any, random ones where there is no data.

    Raises
    ------
    DataError
        Rows or labels do not fit the network.
    """
    if known is None:
        rows = _random_rows(specs, seed)
        return CheckRows(rows, None, None, f"{RANDOM_ROWS} random inputs", typical=False)
    if not isinstance(known, Data):
        rows = calibration_rows(known, specs, CHECK_ROWS)
        count = len(next(iter(rows.values())))
        return CheckRows(rows, None, None, f"{count} rows without labels", typical=True)
    check_fits(known, next(iter(specs.values()))[0][1:], output_units)
    part, x, y = known.held_out()
    picked = np.unique(np.linspace(0, len(x) - 1, min(CHECK_ROWS, len(x))).round().astype(int))
    rows = calibration_rows(x[picked], specs, CHECK_ROWS)
    judged = known.is_classification or known.metric is not None
    return CheckRows(
        rows,
        y[picked] if judged else None,
        known.metric,
        f"{len(picked)} {part} rows of {known.source}",
        typical=True,
    )


def _random_rows(specs: Specs, seed: int) -> Rows:
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
