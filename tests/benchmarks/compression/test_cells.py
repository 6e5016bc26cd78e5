"""Cells, rounds and tables of the compression benchmark, without training anything."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.compression import __main__ as command
from benchmarks.compression import report
from benchmarks.compression.answers import Answers
from benchmarks.compression.cells import WAYS, Cell, Store, all_cells
from benchmarks.compression.measuring import Turn, Turns, digest
from benchmarks.compression.running import Job, run
from benchmarks.compression.sizes import FIRST, ROWS, SIZES, Size
from benchmarks.compression.table import read

PLAN = replace(
    SIZES["quick"].plans["sound"], settings={"float32": ("uniform-snapped", "structure", "deepiot")}
)
SIZE = Size({"sound": replace(PLAN, shares={"float32": (0.4, 0.1), "int8": (0.4, 0.1)})}, seeds=2)


def test_every_row_is_a_way_to_search_or_to_train():
    assert len(set(ROWS)) == len(ROWS)
    assert set(ROWS) == {*WAYS, "scratch", "uncut"}
    assert set(FIRST) < set(ROWS)


def test_all_seeds_of_the_rows_that_tell_most_come_before_the_others():
    cells = all_cells(SIZE, ["sound"], ROWS)
    assert len(cells) == len(set(cells)) == 2 * (1 + 3 * 2)
    assert [(c.seed, c.row) for c in cells[:5]] == [
        (0, "original"), (0, "uniform-snapped@0.4"), (0, "structure@0.4"), (0, "uniform-snapped@0.1"), (0, "structure@0.1"),
    ]  # fmt: skip
    assert [(c.seed, c.row) for c in cells[-4:]] == [
        (0, "deepiot@0.4"), (0, "deepiot@0.1"), (1, "deepiot@0.4"), (1, "deepiot@0.1"),
    ]  # fmt: skip


def test_cells_are_named_by_parts_in_any_order():
    cell = Cell("motion", "int8", 1, "optuna", 0.35)
    assert cell.matches([])
    assert cell.matches(["sound", "int8/motion/0.35"])
    assert not cell.matches(["motion/float32"])


def answers(wrong):
    label = np.arange(200) % 2
    said = label.copy()
    said[:wrong] = 1 - said[:wrong]
    return Answers(said, label, np.arange(200), np.arange(200))


def made(store, cell, time_ms=1.0, wrong=0):
    """A finished cell, as if it had been run."""
    folder = store.folder(cell)
    folder.mkdir(parents=True)
    (folder / "none.tflite").write_bytes(str(cell).encode())
    answers(wrong).save(folder / "none.npz")
    facts = {"predicted_ms": time_ms, "file": str((folder / "none.tflite").relative_to(store.work)), "file_bytes": 1000,
             "macs": 5, "seconds": 7.0, "validation": 0.9, "steps": 300, "trials": 2, "compress_s": 6.0, "code": "a"}  # fmt: skip
    store.finish(cell, facts)


def measured(store, turns, cells, times, rounds=3, disturbed=()):
    """Rounds in which the cells took so long, each round slower than the one before."""
    for number in range(rounds):
        drift = 1 + number
        turns.add(
            [
                Turn(cell.task, cell.setting, cell.seed, cell.row, digest(store.file(cell)), number, drift * ms, drift * ms,
                     number in disturbed)
                for cell, ms in zip(cells, times, strict=True)
            ]
        )  # fmt: skip


ROW_CELLS = (
    ("original", 1.0, 1.0, 10), ("uniform-snapped", 0.4, 0.4, 20), ("uniform-snapped", 0.1, 0.1, 40),
    ("structure", 0.4, 0.4, 12), ("structure", 0.1, 0.1, 28),
)  # fmt: skip
"""Row, budget, time, and how many of 200 rows are wrong: 5% of the original's, 10 and 20%, 6 and 14%."""


@pytest.fixture
def work(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    for seed in (0, 1):
        cells = [Cell("sound", "float32", seed, name, share) for name, share, _, _ in ROW_CELLS]
        for cell, (_, _, time_ms, wrong) in zip(cells, ROW_CELLS, strict=True):
            made(store, cell, time_ms, wrong + seed)
        measured(store, turns, cells, [time_ms for _, _, time_ms, _ in ROW_CELLS])
    return store, turns


@pytest.fixture
def part(work):
    (found,) = read(*work, SIZE, ["sound"])
    return found


def test_times_are_relative_to_the_original_of_the_same_round(part):
    entry = part.rows["structure"][0.4]
    assert entry.time([0, 1]) == pytest.approx(0.4)
    assert entry.made[0].measured_ms == pytest.approx(0.8), "0.4 of the original's median of 1, 2 and 3"
    assert entry.score([0, 1]) == pytest.approx(100 - 12.5 / 2)


def test_the_strongest_other_row_has_all_seeds_and_the_best_scores(part, work):
    assert part.strongest() == "uniform-snapped"
    made(work[0], Cell("sound", "float32", 0, "deepiot", 0.4), wrong=0)
    made(work[0], Cell("sound", "float32", 0, "deepiot", 0.1), wrong=0)
    (again,) = read(*work, SIZE, ["sound"])
    assert again.seeds("deepiot") == [0]
    assert again.strongest() == "uniform-snapped"


def test_two_rows_are_compared_at_equal_budget_and_at_equal_score(part):
    found = part.compare("structure", "uniform-snapped")
    assert found.seeds == 2
    high, low = found.budgets
    assert (high.points, low.points) == pytest.approx((4, 6))
    # 89.75 lies halfway from 85.75, which structure has in 0.1, to 93.75.
    assert high.time.ratio == pytest.approx(0.5)
    assert low.time.ratio == pytest.approx(1)
    assert low.time.least
    # From 85.75 to 94.75 the areas below log10(time) are 8 * 0.699 + 1 * 0.199 and 4 * 0.518 + 5 * 0.199.
    assert found.time.ratio == pytest.approx(10 ** ((2.0736 + 0.9949 - 5.5918 - 0.199) / 9), rel=1e-3)
    assert found.time.low < found.time.ratio < found.time.high
    assert part.compare("structure", "deepiot") is None


def test_a_cell_that_was_not_measured_counts_by_its_prediction_and_the_table_says_so(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    made(store, Cell("sound", "float32", 0, "original"), 2.0)
    made(store, Cell("sound", "float32", 0, "structure", 0.4), 0.5)
    (part,) = read(store, turns, SIZE, ["sound"])
    assert part.rows["structure"][0.4].time([0]) == 0.25
    assert "0.250 (p)" in "\n".join(report.table_lines(part))


def test_calm_rounds_count_where_there_are_any(tmp_path):
    store, turns = Store(tmp_path), Turns(tmp_path / "turns.jsonl")
    cells = [Cell("sound", "float32", 0, "original"), Cell("sound", "float32", 0, "deepiot", 0.4)]
    for cell in cells:
        made(store, cell)
    measured(store, turns, cells, (1.0, 0.5), disturbed=(1, 2))
    mark = digest(store.file(cells[1]))
    assert list(turns.relative("sound", "float32", 0, "deepiot@0.4", mark)) == [0]
    files = {cell.row: store.file(cell) for cell in cells}
    assert turns.open_files("sound", "float32", 0, files, 1) == {}
    assert list(turns.open_files("sound", "float32", 0, files, 2)) == ["original", "deepiot@0.4"]


def test_a_torn_line_of_measurements_is_left_out(work, tmp_path):
    path = tmp_path / "turns.jsonl"
    before = len(Turns(path).rows)
    path.write_text(path.read_text("utf-8") + '{"task": "so', "utf-8")
    assert len(Turns(path).rows) == before == 30


def options(tmp_path, *others):
    (tmp_path / "model.json").write_text("{}")
    return [
        "--work", str(tmp_path / "work"), "--time-model", str(tmp_path / "model.json"), "--data", str(tmp_path), *others
    ]  # fmt: skip


def test_the_report_prints_what_was_not_run_and_writes_the_tables(work, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SIZES, "quick", SIZE)
    arguments = options(tmp_path, "--only-report", "--results", str(tmp_path / "results"))
    arguments[1] = str(tmp_path)
    (tmp_path / "results").mkdir()
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    assert "| deepiot | not run" in out
    assert "| sound, float32 | structure against uniform-snapped | 2 | +4.00 ±" in out
    assert "less time than the strongest other row at equal score: 1 of 1 (sound (float32))." in out
    with (tmp_path / "results" / "compression.csv").open() as file:
        records = list(csv.DictReader(file))
    assert len(records) == 10
    assert records[0]["row"] == "original"
    assert (tmp_path / "results" / "compression_ratios.csv").exists()


def test_missing_data_and_another_plan_are_said(tmp_path, capsys):
    assert command.main(["--work", str(tmp_path), "--time-model", "no.json", "--data", str(tmp_path)]) == 1
    assert "no.json does not exist" in capsys.readouterr().err
    given = command.parse(options(tmp_path, "--tasks", "sound"))
    command.Benchmark(given).check()
    command.Benchmark(given).check()
    assert list(json.loads((tmp_path / "work" / "size.json").read_text())) == ["sound"]
    assert command.main(options(tmp_path, "--tasks", "sound", "--size", "full")) == 2
    assert "begun with another plan" in capsys.readouterr().err


def test_what_is_done_is_not_run_again_and_originals_of_what_is_wanted_are_made(tmp_path):
    given = command.parse(options(tmp_path, "--only", "sound/1/structure"))
    benchmark = command.Benchmark(given)
    cells = [
        Cell("sound", "float32", 1, "structure", share)
        for share in SIZES["quick"].plans["sound"].shares_of("float32")
    ]
    assert benchmark.todo() == [Cell("sound", "float32", 1, "original"), *cells]
    made(benchmark.store, cells[0])
    assert benchmark.todo() == [Cell("sound", "float32", 1, "original"), cells[1]]


def test_a_cell_waits_for_what_it_builds_on(tmp_path):
    benchmark = command.Benchmark(command.parse(options(tmp_path)))
    original, structure = (
        Cell("sound", "float32", 0, "original"),
        Cell("sound", "float32", 0, "structure", 0.35),
    )
    assert not benchmark.is_ready(structure, []), "its original is not there"
    made(benchmark.store, original)
    assert not benchmark.is_ready(structure, [original])
    assert benchmark.is_ready(structure, [replace(original, seed=1)])
    assert not benchmark.is_ready(replace(structure, setting="int8"), []), "the original as int8 is not there"
    assert not benchmark.is_ready(replace(original, setting="int8"), [structure])
    assert not benchmark.is_ready(replace(structure, name="scratch"), [structure])
    assert benchmark.is_ready(replace(structure, name="taylor"), [structure])


def test_a_cell_that_cannot_be_run_is_kept_as_its_error(tmp_path):
    cell = Cell("sound", "float32", 0, "scratch", 0.35)
    job = Job(cell, tmp_path, tmp_path, tmp_path / "model.json", PLAN)
    assert "no network of row 'structure'" in run(job)["error"]
    store = Store(tmp_path)
    assert store.facts(cell)["cell"] == "sound/float32/0/scratch@0.35"
    assert not store.done(cell)
