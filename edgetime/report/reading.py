"""What a report reads: files that anybody may have edited, of which only what has the right types is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from edgetime.report import selection
from profiler.errors import DataError, EdgetimeError, UsageError
from profiler.records import Records
from profiler.values import OddValueError, parse_json, read_json, typed

if TYPE_CHECKING:
    from timemodel import TimeModel


class _LayerLine(TypedDict, total=False):
    op: str
    name: str
    predicted_ms: float | None
    measured_ms: float | None


class _Prediction(TypedDict):
    network: str
    dtype: str
    predicted_ms: float | None
    low_ms: float | None
    high_ms: float | None
    coverage: float | None
    layers: list[_LayerLine]


class PredictionLine(_Prediction, total=False):
    """A line of ``predict --json``, as far as the page shows it."""

    measured_ms: float | None
    measured_calm_share: float | None


class _Option(TypedDict):
    width: int
    saving_share: float


class _Group(TypedDict):
    name: str
    width: int
    wider: list[_Option]
    narrower: list[_Option]
    fixed: str


class _Advice(TypedDict):
    network: str
    predicted_ms: float
    groups: list[_Group]


class AdviceFile(_Advice, total=False):
    """What ``advise --json`` prints, as far as the page shows it."""

    at_least: bool


@dataclass
class Found:
    """What a folder holds that can be shown; what cannot be read; and what would be shown but for an odd value, in sentences."""

    models: list[TimeModel] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    advice: list[dict[str, Any]] = field(default_factory=list)
    selections: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """What was found, in a few words each."""
        counts = (
            (len(self.models), "time model", "time models"),
            (len(self.predictions), "predicted network", "predicted networks"),
            (len(self.results), "compression", "compressions"),
            (len(self.advice), "piece of advice", "pieces of advice"),
            (len(self.selections), "selection", "selections"),
        )
        return [f"{count} {one if count == 1 else several}" for count, one, several in counts if count]


def collect(folder: Path) -> Found:
    """Read everything in `folder` and below it that the page can show; what is damaged is named."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name one that holds results.")
    found = Found()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            _add(found, file)
        except OddValueError as error:
            found.odd.append(f"{file} ({error})")
        except EdgetimeError as error:
            found.unreadable.append(str(error))
        except (ValueError, OSError) as error:
            found.unreadable.append(f"{file} cannot be read ({error})")
    return found


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and set(keys) <= set(value)


def _add(found: Found, file: Path) -> None:
    from timemodel import TimeModel

    if file.name.endswith(".timemodel.json"):
        found.models.append(TimeModel.load(file))
    elif file.suffix == ".jsonl":
        found.predictions += _predictions(file, found)
    elif file.name == "advice.json":
        values = _documents(file)
        if not values or not all(_has(value, "network", "predicted_ms", "groups") for value in values):
            raise ValueError("it is not what 'edgetime advise --json' prints")
        found.advice += [typed(value, AdviceFile) for value in values]
    elif file.name == "selection.json":
        value = read_json(file)
        values = value if isinstance(value, list) else [value]
        if not values or not all(map(selection.is_selection, values)):
            raise ValueError("it is not what 'edgetime select --json' prints")
        found.selections += values
    elif file.name == "result.json":
        from compressor.pipeline.result import CompressionResult

        if not _has(read_json(file), "method", "before", "after", "score_name", "device", "widths"):
            raise ValueError("it is no result of 'edgetime compress'")
        try:
            found.results.append(CompressionResult.load(file.parent).to_dict())
        except DataError as error:
            found.odd.append(str(error))


def _documents(file: Path) -> list[Any]:
    """The JSON of a file: one value, or one a line, as of a network with several signatures."""
    try:
        return [read_json(file)]
    except json.JSONDecodeError:
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
        if len(lines) < 2:
            raise
    return [parse_json(line) for line in lines]


def _predictions(file: Path, found: Found) -> Iterator[dict[str, Any]]:
    """The lines of a file that are predictions; other JSON is passed over."""

    def torn(number: int, why: object) -> None:
        found.odd.append(f"{file}, line {number} ({why})")

    for number, value in Records(file).numbered(torn, foreign=True):
        if _has(value, "network", "predicted_ms", "layers"):
            try:
                yield typed(value, PredictionLine)
            except ValueError as error:
                torn(number, error)
