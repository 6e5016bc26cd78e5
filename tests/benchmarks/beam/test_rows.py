from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.beam import fronts
from benchmarks.beam.rows import equal_fixed, keep, rows_of
from benchmarks.beam.stages import Chosen, Group
from benchmarks.beam.turns import MeasuredPolicy
from selector.sequence import FixedWidth, ThresholdPruning
from selector.sequence_tuning import Evaluated, Quality

POLICIES = {"fixed 1": FixedWidth(1), "fixed 3": FixedWidth(3), "threshold": ThresholdPruning(widest=3)}
CHOSEN = Chosen(
    "fixed 3",
    POLICIES,
    {"fixed 1": 60.0, "fixed 3": 80.0, "threshold": 75.0},
    {"fixed 1": 1.0, "fixed 3": 4.0, "threshold": 2.0},
    9,
)


def group(tmp_path: Path) -> Group:
    lines = ["a"] * 10, ["a"] * 10
    return Group("numbers-gru-float32", {}, "exact", lines, lines, tmp_path)


def judged(right: int, hypotheses: int) -> Evaluated:
    counts = np.array([[float(place < right), 1.0] for place in range(10)])
    zeros = np.zeros(10)
    return Evaluated(
        FixedWidth(1), Quality("exact", counts), (), zeros, zeros, hypotheses / 20, 20, hypotheses
    )


def timed(decoder_ms: float) -> MeasuredPolicy:
    return MeasuredPolicy(decoder_ms + 2.0, decoder_ms, 1.0, 0.25, 1.1 * (decoder_ms + 2.0), "1 3")


@pytest.fixture
def rows(tmp_path: Path):
    outputs = {
        1: {"fixed 1": judged(5, 20), "fixed 3": judged(8, 60), "threshold": judged(8, 30)},
        2: {"fixed 1": judged(6, 20), "fixed 3": judged(8, 60), "threshold": judged(7, 26)},
    }
    times = {
        1: {"fixed 1": timed(1.0), "fixed 3": timed(4.0), "threshold": timed(2.0)},
        2: {"fixed 1": timed(2.0), "fixed 3": timed(6.0), "threshold": timed(3.0)},
    }
    return rows_of(group(tmp_path), CHOSEN, outputs, times)


def test_seeds_count_together_and_savings_are_ratios_of_means(rows):
    found = {row["policy"]: row for row in rows}["threshold"]
    assert found["quality"] == pytest.approx(75.0)
    assert found["quality_by_seed"] == "80.00 70.00"
    assert found["difference"] == pytest.approx(-5.0)
    assert found["difference_low"] <= -5.0 <= found["difference_high"]
    assert found["mean_width"] == pytest.approx(56 / 40)
    assert found["width_saved"] == pytest.approx(1 - 56 / 120)
    assert found["decoder_saved"] == pytest.approx(1 - 2.5 / 5.0)
    assert found["whole_saved"] == pytest.approx(1 - 4.5 / 7.0)
    assert found["policy_share"] == pytest.approx(0.25 / 4.5)
    assert found["search_share"] == pytest.approx(0.75 / 4.5)
    assert found["predicted_error"] == pytest.approx(0.1)


def test_a_policy_is_held_against_the_cheapest_fixed_width_that_is_as_good_on_development_lines(rows):
    assert equal_fixed(CHOSEN, "threshold") == "fixed 3"
    assert equal_fixed(CHOSEN, "fixed 1") == "fixed 1"
    as_good = Chosen("fixed 3", POLICIES, {**CHOSEN.dev_quality, "fixed 1": 76.0}, CHOSEN.dev_decoder_ms, 9)
    assert equal_fixed(as_good, "threshold") == "fixed 1"
    better = Chosen("fixed 3", POLICIES, {**CHOSEN.dev_quality, "threshold": 81.0}, CHOSEN.dev_decoder_ms, 9)
    assert equal_fixed(better, "threshold") == "fixed 3"


def test_rows_of_a_network_are_replaced_and_others_stay_and_are_drawn(rows, tmp_path: Path):
    table, picture = tmp_path / "beam.csv", tmp_path / "beam.svg"
    keep([{**row, "network": "another"} for row in rows], table)
    keep(rows, table)
    keep(rows[:2], table)
    lines = table.read_text().splitlines()
    assert len(lines) == 1 + 3 + 2
    fronts.draw(table, picture)
    assert picture.read_text().count("<circle") == 5
    assert "another: exact of 10 lines" in picture.read_text()


def test_columns_that_only_rows_of_other_networks_have_stay(tmp_path: Path):
    table = tmp_path / "beam.csv"
    keep([{"network": "wide", "quality": 1.0, "difference_to_5": 0.5}], table)
    keep([{"network": "narrow", "quality": 2.0}], table)
    with open(table, newline="") as stream:
        found = list(csv.DictReader(stream))
    assert found == [
        {"network": "wide", "quality": "1.0", "difference_to_5": "0.5"},
        {"network": "narrow", "quality": "2.0", "difference_to_5": ""},
    ]
