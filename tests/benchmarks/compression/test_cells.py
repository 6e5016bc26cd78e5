"""Cells, rounds, pooling and tables of the compression benchmark, without training anything."""

import csv
import json

import numpy as np
import pytest

from benchmarks.compression import __main__ as command
from benchmarks.compression import records, report, versions, where
from benchmarks.compression.answers import Answers
from benchmarks.compression.cells import ROWS, TIERS, Cell, Store, all_cells
from benchmarks.compression.measuring import Turn, Turns, digest
from benchmarks.compression.pooled import Table, ratio
from benchmarks.compression.running import Job, run, winner
from benchmarks.compression.schedules import PLANS, shortened


def test_every_row_is_in_one_tier_and_every_cell_comes_once():
    assert len(set(ROWS)) == sum(len(tier) for tier in TIERS)
    cells = all_cells(["motion", "sound"], ["float32", "int8"], 3)
    assert len(cells) == len(set(cells)) == 12 * len(ROWS)
    assert all_cells(["motion"], ["float32"], 1, ["scratch", "uniform"])[-1].name == "scratch"


def test_one_seed_of_every_task_comes_before_the_next_seed():
    first = [cell for cell in all_cells(["motion", "sound"], ["float32"], 2) if cell.name == "original"]
    assert [(cell.task, cell.seed) for cell in first] == [
        ("motion", 0),
        ("sound", 0),
        ("motion", 1),
        ("sound", 1),
    ]


def test_cells_know_what_they_steer_by_and_their_names():
    cell = Cell("motion", "int8", 1, "optuna:flops")
    assert (cell.method, cell.steer, cell.is_search) == ("optuna", "flops", True)
    assert Cell("motion", "int8", 1, "netadapt:measured").steer == "measured"
    assert cell.matches([])
    assert cell.matches(["sound", "int8/motion"])
    assert not cell.matches(["motion/float32"])
    assert not Cell("motion", "int8", 0, "int8").is_search
    assert not Cell("motion", "int8", 0, "nothing-of-this-name").available


def answers(wrong):
    label = np.arange(200) % 2
    said = label.copy()
    said[:wrong] = 1 - said[:wrong]
    return Answers(said, label, np.arange(200), np.arange(200))


def made(store, cell, time_ms=1.0, wrong=0, met=True):
    """A finished cell, as if it had been run."""
    folder = store.folder(cell)
    folder.mkdir(parents=True)
    (folder / "none.tflite").write_bytes(str(cell).encode())
    answers(wrong).save(folder / "none.npz")
    facts = {"predicted_ms": time_ms, "file": str((folder / "none.tflite").relative_to(store.work)), "met": met,
             "file_bytes": 1000, "macs": 5, "seconds": 7.0, "validation": 0.9}  # fmt: skip
    store.finish(cell, facts)


def measured(store, turns, cells, times, rounds=3, disturbed=()):
    """Rounds in which the cells took so long, each round slower than the one before."""
    for number in range(rounds):
        drift = 1 + number
        turns.add(
            [
                Turn(cell.task, cell.setting, cell.seed, cell.name, digest(store.file(cell)), number, drift * ms, drift * ms,
                     number in disturbed)
                for cell, ms in zip(cells, times, strict=True)
            ]
        )  # fmt: skip


@pytest.fixture
def table(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    names = ["original", "uniform", "deepiot", "fastdeepiot", "fastdeepiot:flops", "netadapt"]
    for seed in (0, 1):
        cells = [Cell("motion", "float32", seed, name) for name in names[:5]]
        for cell, ms, wrong in zip(cells, (1.0, 0.5, 0.8, 0.4, 0.6), (0, 100, 0, 0, 0), strict=True):
            made(store, cell, ms, wrong)
        measured(store, turns, cells, (1.0, 0.5, 0.8, 0.4, 0.6))
    return Table(store, turns, ["motion"], ["float32"], 2, names)


def test_times_are_relative_to_the_original_of_the_same_round(table):
    fast, slow = table.row("motion", "float32", "fastdeepiot"), table.row("motion", "float32", "deepiot")
    assert fast.measured_ms == pytest.approx(0.8), "0.4 of the original's median of 1, 2 and 3"
    found = ratio(fast, slow)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert ratio(fast, table.row("motion", "float32", "netadapt")) is None


def test_verdicts_and_the_strongest_baseline(table):
    assert table.row("motion", "float32", "uniform").verdict == "worse"
    assert table.row("motion", "float32", "fastdeepiot").verdict == "same"
    rival = report.strongest(table, "motion", "float32", ours=False)
    assert rival.name == "fastdeepiot:flops", "uniform is faster, but worse"
    (item,) = report.against_strongest(table)
    assert item.time.ratio == pytest.approx(0.4 / 0.6)
    assert item.verdict == "same"
    assert "1 of 1 tasks" in report.goal_line([item])
    unfair = report.comparison(table, "motion", "float32", "uniform", "deepiot")
    assert unfair.verdict == "worse"
    assert unfair.line().endswith("] worse")


def test_a_ratio_is_never_of_the_same_accuracy_where_chance_leaves_that_open(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    cells = [Cell("motion", "float32", 0, name) for name in ("original", "deepiot", "fastdeepiot")]
    for cell, wrong in zip(cells, (0, 0, 1), strict=True):
        made(store, cell, wrong=wrong)  # one of 200 rows: half a point, give or take as much
    measured(store, turns, cells, (1.0, 0.8, 0.4))
    table = Table(store, turns, ["motion"], ["float32"], 1, [cell.name for cell in cells])
    (item,) = report.against_deepiot(table)
    assert item.verdict == "undecided"
    (record,) = [
        r for r in records.comparison_records(table) if r["one"] == "fastdeepiot" and r["other"] == "deepiot"
    ][:1]
    assert record["accuracy"] == "undecided"


def test_the_report_shows_everything_and_what_was_not_run(table):
    text = "\n".join(report.report_lines(table))
    assert "netadapt           not run" in text
    assert "-50% [-50%, -50%]" in text
    assert "paper: -48% to -78%" in text
    (worth,) = report.worth_of_time(table)
    assert worth.time.ratio == pytest.approx(0.4 / 0.6)


def test_disturbed_rounds_count_only_where_there_are_no_others(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    cells = [Cell("sound", "int8", 0, "original"), Cell("sound", "int8", 0, "uniform")]
    for cell in cells:
        made(store, cell)
    files = {cell.name: store.file(cell) for cell in cells}
    measured(store, turns, cells, (1.0, 0.5), rounds=3, disturbed=(1,))
    mark = digest(files["uniform"])
    assert sorted(turns.relative("sound", "int8", 0, "uniform", mark)) == [0, 2]
    assert turns.open_files("sound", "int8", 0, files, 2) == {}
    assert turns.open_files("sound", "int8", 0, files, 3) == files
    files["uniform"].write_bytes(b"made anew")
    assert list(turns.open_files("sound", "int8", 0, files, 1)) == ["original", "uniform"]


def test_a_torn_line_of_rounds_costs_only_itself(tmp_path):
    turns = Turns(tmp_path / "turns.jsonl")
    row = Turn("sound", "int8", 0, "uniform", "ab", 0, 1.0, 1.1)
    turns.add([row])
    with turns.path.open("a") as file:
        file.write('{"task": "sou')
    Turns(turns.path).add([row])
    assert Turns(turns.path).rows == [row, row]


def test_the_winner_is_the_fastest_that_kept_the_accuracy_on_validation(tmp_path):
    store = Store(tmp_path)
    scratch = Cell("motion", "int8", 0, "scratch")
    assert winner(store, scratch) is None
    made(store, Cell("motion", "int8", 0, "original"), 0.1)
    made(store, Cell("motion", "int8", 0, "uniform"), 0.2, met=False)
    made(store, Cell("motion", "int8", 0, "knapsack"), 0.4)
    made(store, Cell("motion", "int8", 0, "optuna"), 0.3)
    assert winner(store, scratch).name == "optuna"


def test_a_cell_that_cannot_be_run_keeps_its_reason(tmp_path):
    cell = Cell("motion", "float32", 0, "original")
    facts = run(Job(cell, tmp_path / "nowhere", tmp_path, PLANS["motion"]))
    assert "--data" in facts["error"]
    assert not Store(tmp_path).done(cell)
    table = Table(Store(tmp_path), Turns(tmp_path / "t"), ["motion"], ["float32"], 1, ["original"])
    assert "failed: " in report.table_lines(table, "motion", "float32")[-1]


def test_shortened_schedules_keep_an_epoch():
    plan = shortened(PLANS["image"], 0.01)
    assert (plan.original.epochs, plan.search.epochs, plan.final.epochs) == (1, 1, 1)


def test_only_report_on_an_empty_folder_prints_not_run_and_writes_tables(tmp_path, capsys):
    assert (
        command.main(["--work", str(tmp_path), "--only-report", "--tasks", "sound", "--settings", "int8"])
        == 0
    )
    assert capsys.readouterr().out.count("not run") > len(ROWS)
    with (tmp_path / "compression.csv").open() as file:
        records = list(csv.DictReader(file))
    assert len(records) == 3 * len(ROWS)
    assert {record["state"] for record in records} == {"not run"}


def test_missing_data_and_other_schedules_are_said(tmp_path, capsys):
    assert command.main(["--work", str(tmp_path), "--data", str(tmp_path / "no")]) == 1
    assert "nothing was run" in capsys.readouterr().err
    options = command.parse(["--work", str(tmp_path), "--data", str(tmp_path), "--tasks", "sound"])
    command.Benchmark(options).check()
    command.Benchmark(options).check()
    assert list(json.loads((tmp_path / "schedules.json").read_text())) == ["sound"]
    assert (
        command.main(
            ["--work", str(tmp_path), "--data", str(tmp_path), "--tasks", "sound", "--schedule", "0.1"]
        )
        == 2
    )
    assert "begun with another" in capsys.readouterr().err


def test_a_cell_tells_which_versions_of_the_code_made_it(tmp_path, monkeypatch):
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
    (old / "run.json").write_text("{}")
    monkeypatch.setattr(versions, "mark", lambda: "first")
    assert versions.remember(new) == ["first"]
    assert versions.remember(old) == ["unknown", "first"]
    monkeypatch.setattr(versions, "mark", lambda: "second")
    assert versions.remember(new) == ["first", "second"]
    assert versions.remember(new) == ["first", "second"]
    (new / "code.json").write_text("[torn")
    assert versions.remember(new) == ["unknown", "second"]


def test_cells_of_different_versions_in_one_table_are_told(table):
    assert versions.lines(table) == []
    cell = Cell("motion", "float32", 0, "deepiot")
    table.store.finish(cell, {**table.store.facts(cell), "code": ["abc"]})
    again = Table(table.store, table.turns, table.tasks, table.settings, 2, table.names)
    (line,) = versions.lines(again)
    assert "unknown: 9, abc: 1" in line


class _Layer:
    def __init__(self, op, ms):
        self.op, self.predicted_ms = op, ms


class _Predicted:
    def __init__(self, whole, *layers):
        self.predicted_ms, self.layers = whole, [_Layer(*layer) for layer in layers]


def test_times_by_operator_add_up_to_the_whole_with_the_runtime_apart():
    one = _Predicted(1.0, ("conv_2d", 0.6), ("conv_2d", 0.2), ("add", 0.1))
    two = _Predicted(0.6, ("conv_2d", 0.5))
    found = where.by_operator([one, two])
    assert found["conv_2d"] == pytest.approx((1.5, 0.65))
    assert found["add"] == pytest.approx((0.5, 0.05))
    assert found[where.RUNTIME] == pytest.approx((0, 0.1))
    assert sum(ms for _, ms in found.values()) == pytest.approx(0.8)


def test_operators_that_take_little_in_every_network_are_shown_together():
    columns = {
        "original": {"conv_2d": (2, 0.9), "add": (3, 0.02), "mul": (1, 0.03), where.RUNTIME: (0, 0.001)},
        "narrow": {"conv_2d": (2, 0.1), "add": (3, 0.02), "mul": (1, 0.001), where.RUNTIME: (0, 0.001)},
    }
    found = where.gathered(columns)
    assert found["original"]["add"] == (3, 0.02), "much of the narrow one"
    assert found["original"][where.OTHERS] == (1, 0.03)
    assert where.OTHERS in found["narrow"]
    assert "mul" not in found["narrow"]
