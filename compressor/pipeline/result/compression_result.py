"""What a compression came to: before and after, side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compressor.export import faster_in_words
from compressor.pipeline.result.given_back import LayerChange
from profiler.errors import DataError, missing
from profiler.files import write_json
from profiler.values import read_json, typed

RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class FileCosts:
    """What the file of a network takes.

    Attributes
    ----------
    predicted_ms, low_ms, high_ms
        Predicted time and its 90% interval.
    measured_ms, measured_p90_ms
        Medians over rounds in which the networks took turns; None where nothing was measured.
    parameters, macs
        Weights, and multiply-accumulates of one inference.
    peak_memory_bytes
        The activations at their peak, as the runtime plans them.
    energy_mj
        Of one inference; None where the device's model has none.
    """

    predicted_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float | None
    measured_p90_ms: float | None
    parameters: int
    macs: int
    peak_memory_bytes: int = 0
    energy_mj: float | None = None

    @property
    def time_ms(self) -> float:
        """Measured, else predicted."""
        return self.predicted_ms if self.measured_ms is None else self.measured_ms


@dataclass(frozen=True, kw_only=True)
class NetworkFacts(FileCosts):
    """One network: what it takes and how good it is.

    Attributes
    ----------
    tflite, keras
        Its files; `keras` is None where there is none (a quantised original).
    quantize
        Arithmetic of the file.
    score
        Of this file on the test rows: accuracy from 0 to 1, or the data file's own metric.
    scores
        Of every seed's file on the test rows; one where there are no seeds.
    validation_score
        On the validation rows, of the Keras network; mean over seeds.
    """

    tflite: str
    keras: str | None
    quantize: str
    score: float
    scores: tuple[float, ...]
    validation_score: float | None
    file_bytes: int

    @property
    def mean_score(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.scores))

    @property
    def score_spread(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**_plain(self), "mean_score": self.mean_score, "score_spread": self.score_spread}


@dataclass(frozen=True)
class LayerWidth:
    """The width of one layer before and after (0 where the layer is gone); `group` is empty where it is fixed.

    `layer` is its address (``backbone/conv1``); for what can be chosen inside a layer with what it is behind it, as in
    `compressor.graph.Group` (``attention.heads``).
    """

    layer: str
    group: str
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class FrontPoint(FileCosts):
    """One network of the front: accuracy against time.

    Attributes
    ----------
    keras, tflite
        Its files.
    chosen
        Whether it is the one that the result is about (`CompressionResult.after`).
    changes
        What was done to the network, in words.
    widths
        What can be chosen, by the names of `LayerWidth`; 0 for a layer that is gone.
    precision
        What the file is in: as `CompressionResult.quantize`, with ``auto`` the one that was found.
    bits
        Bits of the arithmetic of each operator of the file that multiplies.
    validation_score
        Of the file on the validation rows, mean over seeds: by this and the time points are compared.
    score
        Of the file on the test rows, mean over seeds.
    seeds
        Trainings that these are the mean of.
    steps, epochs, seconds
        Of training in full the network that is handed over; epochs are how often all rows were seen.
    on_front
        Whether no other point, nor the original, is as fast and as good and in one of both better.
    """

    keras: str
    tflite: str
    chosen: bool
    changes: str = ""
    widths: dict[str, int]
    precision: str = "none"
    bits: dict[str, int] = field(default_factory=dict)
    validation_score: float
    score: float
    seeds: int
    size_bytes: int
    on_front: bool
    lost: float | None = None
    lost_low: float | None = None
    lost_high: float | None = None
    lost_at_most: float | None = None
    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class CompressionResult:
    """What `compress` returns and writes as ``result.json``.

    Attributes
    ----------
    folder
        Where all files are; the files named in `before`, `after` and `quantized` are relative to it.
    method, device, setting, quantize, seed, seeds
        How it was done.
    budget_ms, max_accuracy_drop
        What was asked for; one of them is None.
    met
        Whether it was reached (by predicted time or what stood for it in the search, by validation score, by what the
        file takes, and where the goal is of time by being faster than the original).
    missed
        Why it was not, in words; empty where it was.
    score_name
        ``accuracy``, or ``score`` where the data file has a metric of its own.
    before
        The original in float32.
    quantized
        The original quantised and not cut; None without ``--quantize``.
    after
        The compressed network: the seed that did best on validation.
    speedup_measured, speedup_low, speedup_high
        Ratio of the medians of before and after, and its range over rounds; None where nothing was measured.
    widths
        Every layer that has a width.
    frozen
        Layers that were left alone, and why.
    refused
        What else than channels was considered by methods that take such things out, by ``dimension`` (``kernel``, ``rank``, …) and
        ``layer``, and the ``reason`` why it was not offered to the search.
    trials
        Candidates that were tried.
    notes
        What the reader should know.
    points
        The networks along the front, fastest first.
    layers
        What each layer of the file gave back, and why; the last row belongs to no layer. Their `saved_ms` sum up to
        the difference of predicted times of the original (as quantised as the result) and the compressed network.
    minutes, overrun_minutes
        The time limit, None where there was none; and how much longer it took.
    effort
        What time was spent on (`compressor.pipeline.prepare.effort_of`); ``summary`` is one line.
    limits
        All that was asked for, by the names of `compressor.pipeline.prepare.limits.Limits`.
    test_rows, validation_rows
        How many rows scores are of.
    promise
        What is shown of the loss on new data (`compressor.pipeline.result.promise.Promise`) by test rows, else by validation rows
        that were kept aside; None where there are neither, since the original has seen what is split off the training rows.
    confirmed
        What validation rows that were kept aside came to (`compressor.pipeline.result.confirming.Confirmed`); None where there
        were too few, or no accuracy had to be kept.
    losses_on
        The rows that the points' losses are of: ``test`` or ``validation``.
    """

    folder: str
    method: str
    device: str
    setting: str
    quantize: str
    seed: int
    seeds: int
    budget_ms: float | None
    max_accuracy_drop: float | None
    met: bool
    score_name: str
    test_rows: int
    before: NetworkFacts
    quantized: NetworkFacts | None
    after: NetworkFacts
    speedup_measured: float | None
    speedup_low: float | None
    speedup_high: float | None
    widths: tuple[LayerWidth, ...]
    frozen: tuple[dict[str, str], ...]
    trials: tuple[dict[str, Any], ...]
    seconds: float
    notes: tuple[str, ...] = field(default_factory=tuple)
    points: tuple[FrontPoint, ...] = ()
    refused: tuple[dict[str, str], ...] = ()
    layers: tuple[LayerChange, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    promise: dict[str, Any] | None = None
    confirmed: dict[str, Any] | None = None
    losses_on: str = ""
    validation_rows: int = 0
    missed: str = ""
    minutes: float | None = None
    effort: dict[str, Any] = field(default_factory=dict)
    overrun_minutes: float = 0.0

    @property
    def speedup_predicted(self) -> float:
        """Predicted time before over after."""
        return self.before.predicted_ms / self.after.predicted_ms if self.after.predicted_ms > 0 else math.inf

    @property
    def drop_points(self) -> float:
        """Score lost on the test rows, mean over seeds, in hundredths (points of accuracy)."""
        return 100 * (self.before.score - self.after.mean_score)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **_plain(self),
            "before": self.before.to_dict(),
            "quantized": self.quantized.to_dict() if self.quantized else None,
            "after": self.after.to_dict(),
            "speedup_predicted": self.speedup_predicted,
            "drop_points": self.drop_points,
        }

    def save(self) -> Path:
        """Write ``result.json`` into the folder."""
        path = Path(self.folder) / RESULT_FILE
        write_json(path, self.to_dict())
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> CompressionResult:
        """Read the ``result.json`` of a folder; a missing or damaged one is a `DataError`."""
        path = Path(folder) / RESULT_FILE
        try:
            value = dict(typed(read_json(path), dict[str, Any]))
            for name in ("speedup_predicted", "drop_points"):
                value.pop(name)
            for name in ("before", "quantized", "after"):
                value[name] = _own_facts(value[name])
            return typed({**value, "folder": str(Path(folder))}, cls)
        except FileNotFoundError as error:
            raise missing(
                DataError(f"{path} does not exist: name the folder that 'edgetime compress' wrote.")
            ) from error
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} is damaged ({_reason(error)}): run 'edgetime compress' with --resume to write it anew."
            ) from error

    def networks(self) -> list[Path]:
        """The `.tflite` files of all points, then of the original as it was and as quantised: each network once."""
        originals = [facts.tflite for facts in (self.before, self.quantized) if facts is not None]
        return [Path(self.folder) / name for name in (*(point.tflite for point in self.points), *originals)]

    def rows(self) -> list[dict[str, str]]:
        """A table of before and after in text: ``what``, ``before``, [``quantized``,] ``after``, ``change``."""
        networks = {
            "before": self.before,
            **({self.quantized.quantize: self.quantized} if self.quantized else {}),
            "after": self.after,
        }
        after, before, ratio = self.after, self.before, self.speedup_measured

        def row(what: str, text: Callable[[NetworkFacts], str], change: str) -> dict[str, str]:
            return {"what": what, **{name: text(facts) for name, facts in networks.items()}, "change": change}

        def counted(what: str, name: str, text: Callable[[Any], str]) -> dict[str, str]:
            change = _percent(getattr(after, name), getattr(before, name))
            return row(what, lambda facts: text(getattr(facts, name)), change)

        rows = [
            row(f"{self.score_name} (test)", self._score_text, f"{-self.drop_points:+.2f} points"),
            row(
                "measured", lambda f: _ms(f.measured_ms), faster_in_words(ratio) if ratio else "not measured"
            ),
            row("predicted", lambda f: _ms(f.predicted_ms), faster_in_words(self.speedup_predicted)),
            counted("parameters", "parameters", "{:,}".format),
            counted("multiplications", "macs", "{:,}".format),
            counted("file", "file_bytes", _kilobytes),
        ]
        if before.peak_memory_bytes and after.peak_memory_bytes:
            rows.append(counted("peak memory", "peak_memory_bytes", _kilobytes))
        if before.energy_mj and after.energy_mj:
            rows.append(counted("energy", "energy_mj", lambda mj: "-" if mj is None else f"{mj:.4g} mJ"))
        return rows

    def _score_text(self, facts: NetworkFacts) -> str:
        share = self.score_name == "accuracy"
        text = f"{facts.mean_score:.2%}" if share else f"{facts.mean_score:.4g}"
        spread = facts.score_spread
        if spread is None:
            return text
        return f"{text} ± {100 * spread:.2f}" if share else f"{text} ± {spread:.2g}"


def _own_facts(value: Any) -> Any:
    """What `NetworkFacts.to_dict` wrote without what it worked out."""
    worked_out = ("mean_score", "score_spread")
    return {k: v for k, v in value.items() if k not in worked_out} if isinstance(value, dict) else value


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(value).items()}


def _kilobytes(count: int) -> str:
    return f"{count / 1e3:,.1f} kB"


def _ms(time_ms: float | None) -> str:
    return "-" if time_ms is None else f"{time_ms:.4g} ms"


def _percent(after: float, before: float) -> str:
    return f"{100 * (after / before - 1):+.0f}%" if before else "-"
