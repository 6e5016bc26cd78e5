"""Tables of errors: by hand, within 120 columns, and as CSV."""

import csv

import numpy as np
import pytest

from benchmarks.csv_files import write_csv
from benchmarks.time_model.__main__ import CASES, minutes_spent, parse, target_spec
from benchmarks.time_model.report import (
    FLOOR,
    OURS,
    Row,
    network_records,
    score_records,
    scores,
    show_networks,
    show_scores,
    warnings,
)
from profiler.devices import open_target
from profiler.measurement import Timing


def a_row(network="net", measured_ms=2.0, ours=2.0, flops=4.0, noise=0.01, **more):
    values = {
        "layers": 5,
        "rounds": 4,
        "low_ms": 1.9,
        "high_ms": 2.1,
        "coverage": 1.0,
        "uncovered": (),
    }
    predicted = {OURS: ours, "FLOPs": flops}
    return Row(network=network, measured_ms=measured_ms, noise=noise, predicted=predicted, **(values | more))


ROWS = [a_row("a"), a_row("b", ours=2.14, flops=2.0), a_row("c", ours=1.0, measured_ms=0.8, noise=0.03)]


def test_scores_by_hand():
    ours, flops, floor = scores("one", ROWS, probes=100, minutes=2.5)
    # Errors of ours: 0, 7%, 25%; of FLOPs: 100%, 0, 400%.
    assert ours.predictor == OURS
    assert ours.mean_error == pytest.approx((0 + 0.07 + 0.25) / 3)
    assert ours.median_error == pytest.approx(0.07)
    assert ours.worst_error == pytest.approx(0.25)
    assert (ours.within_5, ours.within_10) == pytest.approx((1 / 3, 2 / 3))
    # The third was measured at 0.8 ms, outside 1.9 to 2.1.
    assert ours.inside_90 == pytest.approx(2 / 3)
    assert flops.inside_90 is None
    assert flops.worst_error == pytest.approx(4.0)
    assert floor.predictor == FLOOR
    assert floor.mean_error == pytest.approx(0.05 / 3)
    assert {(row.setting, row.probes, row.minutes) for row in (ours, flops, floor)} == {("one", 100, 2.5)}


def test_one_round_gives_no_noise_floor_and_says_so():
    rows = [a_row(noise=float("nan"))]
    table = scores("one", rows, 10, 1.0)
    assert [row.predictor for row in table] == [OURS, "FLOPs"]
    assert "fewer than two rounds" in warnings("one", rows, table)[0]
    assert scores("one", [], 10, 1.0) == []


def test_warning_where_the_machine_was_too_busy():
    rows = [a_row("calm"), a_row("wild", noise=0.3, rounds=0)]
    found = warnings("one", rows, scores("one", rows, 10, 1.0))
    assert len(found) == 3
    assert "noise floor is 15.5%" in found[0]
    assert "wild" in found[1]
    assert "calm" not in found[1]
    assert found[2].startswith("one: disturbed whenever")
    assert found[2].endswith("counts: wild.")
    assert warnings("one", ROWS, scores("one", ROWS, 10, 1.0)) == []


def test_tables_fit_120_columns_and_mark_what_is_outside():
    long = a_row(
        "a_network_with_a_very_long_name_indeed", 12345.678, 1e6, 1e-3, low_ms=123.456, high_ms=1e5, coverage=0.9,
        uncovered=("one_operator", "another_operator") * 5,
    )  # fmt: skip
    every = {name: 1.0 for name in ("FLOPs+bytes", "nn-Meter", "nn-Meter + our terms", "random forest")}
    every |= {"boosted trees": 99.0, "neural network": 1e9}
    rows = [
        Row(**{**row.__dict__, "predicted": {**row.predicted, **every}}) for row in [*ROWS, long]
    ]  # fmt: skip
    text = show_networks(rows)
    assert max(map(len, text.splitlines())) <= 120
    lines = text.splitlines()
    assert "[1.9, 2.1] " in lines[1]
    assert "[1.9, 2.1]!" in lines[3]
    assert ">10x" in lines[4]
    assert "not covered: a_network" in lines[5]
    table = scores("tflite-runtime", rows, 12345, 3.0)
    assert max(map(len, show_scores(table).splitlines())) <= 120
    assert show_scores(table).count("tflite-runtime") == 1


def test_csv_has_one_line_per_network_and_per_score(tmp_path):
    write_csv(tmp_path / "n.csv", network_records("one", ROWS))
    write_csv(tmp_path / "s.csv", score_records(scores("one", ROWS, 10, 1.0)))
    networks = list(csv.DictReader((tmp_path / "n.csv").open()))
    assert [row["network"] for row in networks] == ["a", "b", "c"]
    assert float(networks[1][f"{OURS} ms"]) == 2.14
    table = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert [row["predictor"] for row in table] == [OURS, "FLOPs", FLOOR]
    assert table[1]["inside_90"] == ""


def a_timing(at):
    return Timing("one", "{}", "layer", 0, 0, at, 1.0, 1.0, 1.0, 0.0, 9, 1.0, 1.0, 0.0, False, None)


def test_minutes_of_profiling_leave_pauses_out():
    # 60 s of measuring, an hour's pause, 30 s more; the rows come in any order.
    at = [*np.arange(0.0, 61.0, 1.0), *np.arange(3660.0, 3691.0, 1.0)]
    assert minutes_spent([a_timing(t) for t in reversed(at)]) == pytest.approx(1.5)
    assert minutes_spent([]) == 0.0


@pytest.mark.parametrize(
    ("base", "options", "spec"),
    [
        ("local", "", "local"),
        ("local", "threads=2", "local:threads=2"),
        ("local:python=/x", "kernels=builtin", "local:python=/x,kernels=builtin"),
        ("ssh://pi@board", "threads=2", "ssh://pi@board?threads=2"),
        ("ssh://pi@board?python=/x", "threads=2", "ssh://pi@board?python=/x&threads=2"),
    ],
)
def test_a_case_on_any_target(base, options, spec):
    assert target_spec(base, options) == spec
    if "python" not in base:
        open_target(spec)


def test_command_line(capsys):
    options = parse(["--work", "x", "--settings", "xnnpack1,int8", "--only", "a,b"])
    assert options.settings == ["xnnpack1", "int8"]
    assert options.only == ["a", "b"]
    assert CASES["xnnpack1"].profile == CASES["int8"].profile
    for wrong in (
        ["--settings", "gpu"],
        ["--predictors", "oracle"],
        ["--profile", "gpu=x.db"],
        ["--only-measure", "--only-report"],
    ):
        with pytest.raises(SystemExit) as stop:
            parse(["--work", "x", *wrong])
        assert stop.value.code == 2
    assert "no such setting: gpu" in capsys.readouterr().err
