"""Rows with labels, checked: what networks are trained, calibrated and judged with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data.rows import (
    Rows,
    arranged,
    as_array,
    as_float32,
    as_input,
    as_labels,
    check_finite,
    each,
    format_shape,
    named,
    row_count,
    take,
)
from profiler.errors import DataError, UsageError

_PARTS = ("", "_val", "_test")


@dataclass(frozen=True)
class Data:
    """Rows with labels: for training, and where there are any for validation and for the test at the end.

    For a network of several inputs, `x` (and `x_val`, `x_test`) is a mapping from the names of its inputs to arrays of
    the same rows; for several outputs, `y` likewise, and `loss` and `metric` are by output.

    Parameters
    ----------
    x
        Inputs [rows, ...]: float32, or the integers that were stored (images as uint8, token numbers).
    y
        Labels: int64 [rows] in classification, else whatever `loss` takes [rows, ...].
    x_val, y_val, x_test, y_test
        The same for validation and test; None where not given (see `with_validation`, `with_test`).
    groups, groups_val, groups_test
        Subject, speaker or recording of each row of `x`, `x_val` and `x_test` [rows], which splitting never tears apart.
    loss
        Loss function for Keras; None means classification with sparse cross-entropy. Of several outputs: a mapping
        from their names; those that it leaves out are classified.
    metric
        ``metric(model, (x, y)) -> float``, higher is better, for any `model` with ``predict(x)`` (which gives a mapping
        where there are several outputs); None means accuracy. Or a mapping from the names of outputs to
        ``metric(y, outputs) -> float``: the score is the mean over all outputs.
    augment
        ``augment(x) -> x`` on a batch while training.
    loss_weights
        What each output's loss is multiplied by before they are added up; 1 where not given.
    source
        The file that it came from, for messages.
    maybe_groups
        An array of that file that looks like groups where none were given; empty for none.
    """

    x: Rows
    y: Rows
    x_val: Rows | None = None
    y_val: Rows | None = None
    x_test: Rows | None = None
    y_test: Rows | None = None
    groups: npt.NDArray | None = None
    groups_val: npt.NDArray | None = None
    groups_test: npt.NDArray | None = None
    loss: Any = None
    metric: Callable[[Any, tuple[Rows, Rows]], float] | Mapping[str, Callable[[Any, Any], float]] | None = (
        None
    )
    augment: Callable[[Any], Any] | None = None
    loss_weights: Mapping[str, float] | None = None
    source: str = "data"
    maybe_groups: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether all of `y` holds class numbers, so that cross-entropy is the loss."""
        return all(self.classifies(name) for name in (self.y if isinstance(self.y, Mapping) else [""]))

    def classifies(self, output: str) -> bool:
        """Whether the labels of one output are class numbers."""
        return self.loss is None or (isinstance(self.loss, Mapping) and output not in self.loss)

    def held_out(self) -> tuple[str, Rows, Rows]:
        """Rows to judge a finished network on, ``(name, x, y)``: those for validation, else for the test, else for training."""
        for name, x, y in (("validation", self.x_val, self.y_val), ("test", self.x_test, self.y_test)):
            if x is not None and y is not None:
                return name, x, y
        return "training", self.x, self.y

    def groups_of(self, part: str) -> npt.NDArray | None:
        """Groups of the rows that `held_out` calls so; None where they are not known."""
        return {"validation": self.groups_val, "test": self.groups_test}.get(part, self.groups)

    def augmented(self, rows: Rows) -> Rows:
        """A batch as `augment` changes it, in the types that it had."""
        if self.augment is None:
            return rows
        changed = self.augment(rows)
        if isinstance(rows, Mapping):
            return {name: np.asarray(changed[name]).astype(rows[name].dtype, copy=False) for name in rows}
        return np.asarray(changed).astype(rows.dtype, copy=False)

    def with_validation(self, share: float = 0.2, seed: int = 0) -> Data:
        """Split validation rows off the training rows; where there are some already, nothing changes.

        By whole `groups` where given, else the same share of each class. The same seed gives the same split.
        """
        return self._held_out("val", share, seed)

    def with_test(self, share: float = 0.2, seed: int = 0) -> Data:
        """Split test rows off the training rows; where there are some already, nothing changes."""
        return self._held_out("test", share, seed)

    def _held_out(self, part: str, share: float, seed: int) -> Data:
        if getattr(self, f"x_{part}") is not None:
            return self
        classes = self.y if isinstance(self.y, Mapping) else {"": self.y}
        labels = next((y for name, y in classes.items() if self.classifies(name)), None)
        try:
            stay, held = split_rows(row_count(self.x), share, labels=labels, groups=self.groups, seed=seed)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from error
        return replace(
            self,
            x=take(self.x, stay),
            y=take(self.y, stay),
            groups=None if self.groups is None else self.groups[stay],
            **{
                f"x_{part}": take(self.x, held),
                f"y_{part}": take(self.y, held),
                f"groups_{part}": None if self.groups is None else self.groups[held],
            },
        )


def check_data(data: Data) -> Data:
    """Check lengths, values and labels; return the data with plain types (float32, int64 labels).

    Raises DataError: one sentence that names the array, the first bad place and the mend.
    """
    changes: dict[str, Any] = {}
    for part in _PARTS:
        x, y = getattr(data, f"x{part}"), getattr(data, f"y{part}")
        if x is None and y is None:
            continue
        if x is None or y is None:
            have, lack = (f"x{part}", f"y{part}") if y is None else (f"y{part}", f"x{part}")
            raise DataError(f"{data.source} has {have} but no {lack}: give both or neither.")
        x = _renamed(x, named(x, f"x{part}"), lambda array, name: as_input(array, name, data.source))
        y = each(y, as_array)
        _check_lengths(data, part, x, y)
        if part:
            _check_shapes(data, part, x, changes["x"])
        changes[f"x{part}"] = x
        changes[f"y{part}"] = _renamed(y, named(y, f"y{part}"), partial(_checked_labels, data))
        groups = getattr(data, f"groups{part}")
        if groups is not None:
            changes[f"groups{part}"] = _checked_groups(data, part, np.asarray(groups), row_count(x))
    return replace(data, **changes)


def check_fits(
    data: Data,
    input_shape: Sequence[int | None] | Mapping[str, Sequence[int | None]],
    output_units: int | Mapping[str, int | None] | None = None,
) -> Data:
    """Check that rows and labels fit a network, and give them in the order of its inputs and outputs; DataError where not.

    `input_shape` is that of one row, None where any length will do; `output_units` are values per row (classes; 1 means a single
    sigmoid), None where unknown. Each is by name where the network's inputs or outputs have names.
    """
    changes = {}
    for kind, names in (("x", input_shape), ("y", output_units)):
        for part in _PARTS:
            rows = getattr(data, f"{kind}{part}")
            if isinstance(names, Mapping) and rows is not None:
                changes[f"{kind}{part}"] = arranged(rows, list(names), f"{kind}{part}", data.source)
    data = replace(data, **changes)
    shapes = list(input_shape.values()) if isinstance(input_shape, Mapping) else [input_shape]
    for (name, x), shape in zip(named(data.x, "x").items(), shapes, strict=True):
        row = x.shape[1:]
        if len(row) != len(shape) or any(w is not None and w != r for w, r in zip(shape, row, strict=True)):
            raise DataError(
                f"{data.source}: rows of {name} have shape {format_shape(row)}, "
                f"but the network takes {format_shape(shape)}: "
                "reshape x, or name the network that belongs to this data."
            )
    units = output_units if isinstance(output_units, Mapping) else {"": output_units}
    for part in _PARTS:
        y = getattr(data, f"y{part}")
        if y is not None and output_units is not None:
            for (name, labels), (output, count) in zip(
                named(y, f"y{part}").items(), units.items(), strict=True
            ):
                if count is not None and data.classifies(output):
                    _check_classes(labels, 2 if count == 1 else count, f"{data.source}: {name}")
    return data


def _renamed(rows: Rows, names: Mapping[str, Any], check: Callable[[Any, str], Any]) -> Rows:
    """What `check` makes of each array and its name in a file."""
    found = [check(array, name) for name, array in names.items()]
    return dict(zip(rows, found, strict=True)) if isinstance(rows, Mapping) else found[0]


def _check_lengths(data: Data, part: str, x: Rows, y: Rows) -> None:
    arrays = {**named(x, f"x{part}"), **named(y, f"y{part}")}
    (first, rows), *others = [(name, 1 if a.ndim == 0 else len(a)) for name, a in arrays.items()]
    for name, count in others:
        if count != rows or arrays[name].ndim == 0:
            what = "label" if name.startswith("y") else "value"
            raise DataError(
                f"{data.source}: {first} has {rows} rows and {name} has {count}: give one {what} per row."
            )


def _check_shapes(data: Data, part: str, x: Rows, like: Rows) -> None:
    """Rows for validation and test have the shapes of those for training."""
    first = {f"x{part}{name[1:]}": (name, array) for name, array in named(like, "x").items()}
    found = named(x, f"x{part}")
    if set(found) != set(first):
        raise DataError(
            f"{data.source} has {' and '.join(found)} beside {' and '.join(named(like, 'x'))}: give the same inputs in both."
        )
    for name, array in found.items():
        other, wanted = first[name]
        if array.shape[1:] != wanted.shape[1:]:
            raise DataError(
                f"{data.source}: rows of {name} have shape {format_shape(array.shape[1:])}, "
                f"those of {other} {format_shape(wanted.shape[1:])}: "
                "prepare both in the same way."
            )


def _checked_groups(data: Data, part: str, groups: npt.NDArray, rows: int) -> npt.NDArray:
    if groups.ndim != 1 or len(groups) != rows:
        raise DataError(
            f"{data.source}: groups{part} has shape {format_shape(groups.shape)} "
            f"but x{part} has {rows} rows: give one group per row."
        )
    check_finite(groups, f"groups{part}", data.source)
    return groups


def _checked_labels(data: Data, y: Any, name: str) -> Any:
    output = name.partition(".")[2]
    check_finite(y, name, data.source)
    return as_labels(y, name, data.source) if data.classifies(output) else as_float32(y)


def _check_classes(y: npt.NDArray, most: int, name: str) -> None:
    if y.max() >= most:
        where = int(np.argmax(y >= most))
        raise DataError(
            f"{name}[{where}] is class {y[where]}, but the network tells {most} classes "
            f"apart (0 to {most - 1}): number the classes from 0, or name the network of this data."
        )


_GROUP_TRIALS = 64
"""Random orders of the groups that are tried; the one whose held-out part is most like the whole is kept."""


def split_rows(
    rows: int,
    share: float,
    *,
    labels: npt.NDArray[np.integer] | None = None,
    groups: npt.NDArray | None = None,
    seed: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split ``range(rows)`` into sorted row numbers that stay and that are held out (`share` of them); neither is empty.

    No group (`groups` [rows]) is torn apart; without groups each class (`labels` [rows]) gives the same share. Raises UsageError
    for a share that is not between 0 and 1, DataError for fewer than two rows or groups.
    """
    if not 0 < share < 1:
        raise UsageError(f"The share to hold out is {share:g}: give one above 0 and below 1.")
    if rows < 2:
        raise DataError(f"There are {rows} rows, too few to hold any out: give at least 2.")
    generator = np.random.default_rng(seed)
    if groups is not None:
        held = _hold_out_groups(np.asarray(groups), share, labels, generator)
    elif labels is not None:
        held = _hold_out_stratified(np.asarray(labels), share, generator)
    else:
        held = np.zeros(rows, bool)
        held[generator.permutation(rows)[: min(max(round(rows * share), 1), rows - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _hold_out_stratified(
    labels: npt.NDArray, share: float, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Mark the same share of every class; a class of one row stays whole."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        held[generator.permutation(members)[:count]] = True
    if not held.any():  # Every class has a single row.
        held[generator.integers(len(labels))] = True
    return held


def _hold_out_groups(
    groups: npt.NDArray, share: float, labels: npt.NDArray | None, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Mark whole groups, about `share` of the rows, with a mix of classes like that of all rows."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"`groups` names a single group ({names[0]}): whole groups cannot be held out, "
            "so give x_val and y_val, or leave `groups` out."
        )
    classes = np.zeros(len(groups), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (member.ravel(), classes.ravel()), 1)
    total = counts.sum(axis=0)
    best: tuple[float, npt.NDArray] | None = None
    for _ in range(_GROUP_TRIALS):
        order = generator.permutation(len(names))
        # Held-out rows by class after each further group; the last one would leave nothing to train on.
        growing = np.cumsum(counts[order], axis=0)[:-1]
        distance = np.abs(growing / total - share).max(axis=1)
        taken = int(distance.argmin())
        if best is None or distance[taken] < best[0]:
            best = float(distance[taken]), order[: taken + 1]
    assert best is not None
    return np.isin(member.ravel(), best[1])
