"""Errors of every predictor on every network, as tables and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.time_model.rounds import (
    ESTIMATES,
    MEASURED,
    Round,
    calm,
    canary_level_us,
    noise_errors,
    usable,
)
from profiler.network import Network
from timemodel.model import SettingModel

OURS = "edgetime"
FLOOR = "noise floor"
TOO_NOISY = 0.05

SHORT = {
    OURS: "ours", "FLOPs": "FLOPs", "FLOPs+bytes": "+byte", "nn-Meter": "nnM", "nn-Meter + our terms": "nnM+",
    "random forest": "RF", "boosted trees": "GBT", "neural network": "MLP",
}  # fmt: skip
"""Heads of the columns of errors in the table of networks."""


@dataclass(frozen=True)
class Row:
    """One network under one setting.

    `noise` is the mean error of predicting one half of its calm rounds by the other half, `rounds` their number;
    `predicted` has the times by predictor, `low_ms` and `high_ms` are ours.
    """

    network: str
    layers: int
    measured_ms: float
    noise: float
    rounds: int
    low_ms: float
    high_ms: float
    coverage: float
    uncovered: tuple[str, ...]
    predicted: Mapping[str, float]

    @property
    def inside(self) -> bool:
        """Whether the measured time is in our 90% interval."""
        return self.low_ms <= self.measured_ms <= self.high_ms

    def error(self, predictor: str) -> float:
        """Relative error, signed: 0.05 is 5% too long."""
        return self.predicted[predictor] / self.measured_ms - 1


@dataclass(frozen=True)
class Score:
    """One predictor under one setting; errors and shares are fractions, `inside_90` is None where it gives no interval."""

    setting: str
    predictor: str
    networks: int
    mean_error: float
    median_error: float
    worst_error: float
    within_5: float
    within_10: float
    inside_90: float | None
    probes: int
    minutes: float


def network_rows(
    models: Mapping[str, SettingModel],
    networks: Mapping[str, Network],
    rounds: Mapping[str, Sequence[Round]],
) -> list[Row]:
    """What every predictor says of every network that was measured."""
    level = canary_level_us(row for rows in rounds.values() for row in rows)
    estimate = ESTIMATES[MEASURED]
    table = []
    for name, network in networks.items():
        known = usable(rounds.get(name, ()))
        if not known:
            continue
        noise = noise_errors(known, level, estimate)
        ours = models[OURS].predict(network, "")
        table.append(
            Row(
                network=name,
                layers=len(network.layers),
                measured_ms=estimate(known, level),
                noise=float(np.mean(noise)) if noise else float("nan"),
                rounds=len(calm(known, level)),
                low_ms=ours.low_ms,
                high_ms=ours.high_ms,
                coverage=ours.coverage,
                uncovered=tuple(ours.uncovered),
                predicted={key: model.predict_total_ms(network) for key, model in models.items()},
            )
        )
    return table


def scores(setting: str, rows: Sequence[Row], probes: int, minutes: float) -> list[Score]:
    """Every predictor's errors over the networks of one setting, and the noise floor as the last."""

    def score(predictor: str, errors: np.ndarray, inside: float | None) -> Score:
        return Score(
            setting, predictor, len(errors), float(errors.mean()), float(np.median(errors)), float(errors.max()),
            float(np.mean(errors <= 0.05)), float(np.mean(errors <= 0.1)), inside, probes, minutes,
        )  # fmt: skip

    if not rows:
        return []
    table = []
    for predictor in rows[0].predicted:
        inside = float(np.mean([row.inside for row in rows])) if predictor == OURS else None
        table.append(score(predictor, np.array([abs(row.error(predictor)) for row in rows]), inside))
    noise = np.array([row.noise for row in rows if np.isfinite(row.noise)])
    return [*table, score(FLOOR, noise, None)] if noise.size else table


# --- Text -----------------------------------------------------------------------------------------------------


def _percent(value: float, width: int) -> str:
    text = f"{value:+.1%}" if abs(value) < 0.1 else f"{value:+.0%}"
    return f"{text if abs(value) < 10 else '>10x':>{width}s}"


def _share(value: float, width: int, digits: int = 0) -> str:
    text = f"{value:.{digits}%}" if value < 10 else ">10x"
    return f"{text:>{width}s}"


def show_networks(rows: Sequence[Row]) -> str:
    """One line per network, at most 120 columns wide."""
    if not rows:
        return "no network was measured"
    heads = "".join(f"{SHORT.get(name, name[:5]):>6s}" for name in rows[0].predicted)
    lines = [f"{'network':26s}{'ms':>8s}{'noise':>6s}{'predicted and 90% interval':>28s} {heads}"]
    for row in rows:
        interval = (
            f"{row.predicted[OURS]:.3g} [{row.low_ms:.3g}, {row.high_ms:.3g}]{' ' if row.inside else '!'}"
        )
        noise = f"{row.noise:.1%}" if np.isfinite(row.noise) else "-"
        errors = "".join(_percent(row.error(name), 6) for name in row.predicted)
        name = row.network.removesuffix("_int8")[:26]
        lines.append(f"{name:26s}{row.measured_ms:8.4g}{noise:>6s}{interval:>28s} {errors}".rstrip())
    notes = [
        f"  not covered: {row.network}: {', '.join(row.uncovered)} ({1 - row.coverage:.1%} of the time)"[:118]
        for row in rows
        if row.uncovered
    ]
    return "\n".join([*lines, *notes])


def show_scores(table: Sequence[Score]) -> str:
    """The summary of one or several settings."""
    lines = [
        f"{'setting':15s}{'predictor':22s}{'nets':>5s}{'mean':>8s}{'median':>8s}{'worst':>8s}{'within 5%':>11s}"
        f"{'within 10%':>12s}{'in 90%':>8s}{'probes':>8s}{'minutes':>9s}"
    ]
    before = ""
    for row in table:
        if before and row.setting != before:
            lines.append("")
        inside = "" if row.inside_90 is None else f"{row.inside_90:.0%}"
        lines.append(
            f"{row.setting if row.setting != before else '':15s}{row.predictor:22s}{row.networks:5d}{_share(row.mean_error, 8, 1)}"
            f"{_share(row.median_error, 8, 1)}{_share(row.worst_error, 8)}{row.within_5:11.0%}{row.within_10:12.0%}{inside:>8s}"
            f"{row.probes:8,d}{row.minutes:9.1f}"
        )
        before = row.setting
    return "\n".join(lines)


def warnings(setting: str, rows: Sequence[Row], table: Sequence[Score]) -> list[str]:
    """What the reader should know before believing the tables."""
    found = []
    floor = next((row for row in table if row.predictor == FLOOR), None)
    if floor is None:
        found.append(f"{setting}: fewer than two rounds were measured, so there is no noise floor.")
    elif floor.mean_error > TOO_NOISY:
        found.append(
            f"{setting}: the noise floor is {floor.mean_error:.1%}: the machine was too busy to tell predictors "
            "apart; measure again when it is calm."
        )
    noisy = [row.network for row in rows if row.noise > TOO_NOISY]
    if noisy:
        found.append(
            f"{setting}: measured again, these differ by more than {TOO_NOISY:.0%}: {', '.join(noisy)}."
        )
    disturbed = [row.network for row in rows if row.rounds == 0]
    if disturbed:
        found.append(
            f"{setting}: disturbed whenever they were measured, so that the fastest fifth of runs counts: "
            f"{', '.join(disturbed)}."
        )
    return found


# --- CSV ------------------------------------------------------------------------------------------------------


def network_records(setting: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of the CSV of networks."""
    return [
        {
            "setting": setting, "network": row.network, "layers": row.layers, "measured_ms": row.measured_ms,
            "noise": row.noise, "rounds": row.rounds, "low_ms": row.low_ms, "high_ms": row.high_ms,
            "coverage": row.coverage, "uncovered": " ".join(row.uncovered),
            **{f"{name} ms": time_ms for name, time_ms in row.predicted.items()},
        }
        for row in rows
    ]  # fmt: skip


def score_records(table: Sequence[Score]) -> list[dict[str, Any]]:
    """Rows of the CSV of scores."""
    return [{k: "" if v is None else v for k, v in row.__dict__.items()} for row in table]
