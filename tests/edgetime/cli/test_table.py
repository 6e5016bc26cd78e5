"""``fit --table`` and ``predict --table``: what they write and say, and how they fail."""

import csv
import json

import numpy as np
import pytest

from tests.edgetime.cli.test_verbs import fails, run

HEADER = "op,dtype,batch,in_channels,out_channels,activation,time_ms"


def dense_rows(count=60, seed=0, factor=1.0):
    rng = np.random.default_rng(seed)
    sizes = zip(
        rng.integers(1, 9, count), rng.integers(8, 900, count), rng.integers(8, 900, count), strict=True
    )
    return [
        f"fully_connected,float32,{b},{i},{o},none,{factor * (0.002 + b * i * o * 4e-8 + i * o * 2e-7):.6g}"
        for b, i, o in sizes
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("tables")
    (place / "board.csv").write_text("\n".join([HEADER, *dense_rows()]) + "\n")
    (place / "others.csv").write_text("\n".join([HEADER, *dense_rows(30, seed=5)]) + "\n")
    run("fit", "--table", place / "board.csv", "-o", place / "board.timemodel.json")
    return place


def test_fit_prints_errors_and_writes_a_model_that_explain_and_predict_read(folder, networks_folder):
    shown = run(
        "fit", "--table", folder / "board.csv", "--device", "my board", "-o", folder / "b.json", "--json"
    )
    result = json.loads(shown.stdout)
    assert result["device"] == "my board"
    assert result["errors"][0]["op"] == "fully_connected"
    assert result["errors"][0]["mean_error"] < 0.2
    assert "fully_connected float32" in run("explain", folder / "b.json", "--op", "fully_connected").output
    network = json.loads(run("predict", folder / "b.json", networks_folder / "dense.tflite", "--json").stdout)
    assert network["predicted_ms"] > 0
    assert network["uncovered"] == ["tanh"]


def test_predict_adds_three_columns(folder):
    out = folder / "p.csv"
    shown = run(
        "predict", folder / "board.timemodel.json", "--table", folder / "others.csv", "-o", out, "--json"
    )
    result = json.loads(shown.stdout)
    assert result["rows"] == 30
    assert result["mean_error"] < 0.2
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [*HEADER.split(","), "predicted_ms", "low_ms", "high_ms"]
    for row in rows:
        assert 0 < float(row["low_ms"]) <= float(row["predicted_ms"]) <= float(row["high_ms"])
    off = [abs(float(row["predicted_ms"]) / float(row["time_ms"]) - 1) for row in rows]
    assert np.mean(off) == pytest.approx(result["mean_error"], rel=1e-3, abs=1e-5)


def test_predict_needs_no_times_and_names_what_it_does_not_know(folder):
    table = folder / "untimed.csv"
    table.write_text("op,in_channels,out_channels\nfully_connected,100,50\ntanh,100,\n")
    shown = run("predict", folder / "board.timemodel.json", "--table", table, "-o", folder / "u.csv")
    assert "1 of 2 rows are rough estimates" in " ".join(shown.stderr.split())
    assert "tanh" in shown.stderr


def test_the_splits_of_another_model_can_be_kept(folder):
    table = folder / "twin.csv"
    table.write_text("\n".join([HEADER, *dense_rows(16, seed=2, factor=3.0)]) + "\n")
    model = folder / "twin.timemodel.json"
    run("fit", "--table", table, "--like", folder / "board.timemodel.json", "-o", model)
    known = json.loads((folder / "board.timemodel.json").read_text())
    new = json.loads(model.read_text())

    def splits(value):
        [setting] = value["settings"].values()
        [row] = [row for row in setting["operators"] if row["op"] == "fully_connected"]
        return [(n.get("feature"), n.get("threshold")) for n in row["nodes"]]

    assert splits(new) == splits(known)


def test_doubtful_units_are_an_error_where_nobody_can_be_asked(folder):
    table = folder / "mixed.csv"
    rows = dense_rows()
    rows[7:20] = dense_rows(factor=1000.0)[7:20]
    table.write_text("\n".join([HEADER, *rows]) + "\n")
    said = fails(1, "fit", "--table", table, "-o", folder / "x.json")
    assert "--time-unit ms|us|s" in said
    assert "line" in said
    assert not (folder / "x.json").exists()
    run("fit", "--table", table, "--time-unit", "ms", "-o", folder / "x.json")
    assert (folder / "x.json").exists()


def test_on_a_terminal_the_unit_is_asked_for(folder, monkeypatch):
    from edgetime.cli import tables

    table = folder / "slow.csv"
    header = "op,in_height,in_width,in_channels,out_channels,kernel_height,kernel_width,time_ms"
    rng = np.random.default_rng(0)
    rows = [
        f"conv_2d,{h},{h},64,64,3,3,{(5 + h * h * 64 * 64 * 9 / 1e7) * 1e3}"
        for h in rng.integers(50, 150, 40)
    ]
    table.write_text("\n".join([header, *rows]) + "\n")
    said = fails(1, "fit", "--table", table, "-o", folder / "slow.json")
    assert "microseconds" in said

    asked = []

    def answer(text, default, err):
        asked.append((text, default, err))
        return "us"

    monkeypatch.setattr(tables, "_asks", lambda: True)
    monkeypatch.setattr(tables.typer, "prompt", answer)
    run("fit", "--table", table, "-o", folder / "slow.json")
    [(text, default, err)] = asked
    assert "ms/us/s" in text
    assert (default, err) == ("us", True)
    p = folder / "slow.csv.predicted.csv"
    run("predict", folder / "slow.json", "--table", table, "-o", p)
    with p.open() as stream:
        first = next(csv.DictReader(stream))
    assert float(first["predicted_ms"]) == pytest.approx(float(first["time_ms"]) / 1e3, rel=0.5)


def test_repeated_rows_are_reported(folder):
    table = folder / "twice.csv"
    rows = dense_rows()
    table.write_text("\n".join([HEADER, *rows, rows[3], rows[4]]) + "\n")
    shown = run("fit", "--table", table, "-o", folder / "twice.json")
    assert "2 lines repeat" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fit", "-o", "x.json"], "--table"),
        (["fit", "a.db", "--table", "t.csv", "-o", "x.json"], "either"),
        (["fit", "a.db", "--device", "d", "-o", "x.json"], "--table"),
        (["fit", "--table", "none.csv", "-o", "x.json"], "none.csv"),
        (["fit", "--table", "none.csv", "--table", "b.csv", "--networks", "l.jsonl", "-o", "x.json"], "one --table"),
        (["predict", "m.json"], "--table"),
        (["predict", "m.json", "--table", "t.csv"], "-o P.csv"),
        (["predict", "m.json", "net.tflite", "-o", "p.csv"], "--table"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_go_together(arguments, word, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert word in fails(2, *arguments)
    assert not (tmp_path / "x.json").exists()


# --- totals -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def totals(tmp_path_factory):
    place = tmp_path_factory.mktemp("totals")
    rng = np.random.default_rng(0)
    lines, table = [], ["network,fast,slow"]
    for name in range(24):
        layers, total, width = [], 0.0, 8
        for _ in range(int(rng.integers(3, 9))):
            out, side = int(rng.choice([8, 16, 24, 32])), int(rng.choice([7, 14, 28]))
            layers.append(
                {"op": "conv_2d", "in_hw": side, "out_hw": side, "in_channels": width, "out_channels": out,
                 "kernel": 3, "stride": 1}
            )  # fmt: skip
            total += side * side * (width * out * 9 + 20 * (width + out)) / 1e6
            width = out
        lines.append(json.dumps({"network": str(name), "layers": layers}))
        table.append(f"{name},{total},{9 * total}")
    (place / "layers.jsonl").write_text("\n".join(lines))
    (place / "totals.csv").write_text("\n".join(table))
    return place


def test_totals_of_one_device(totals, networks_folder):
    model = totals / "slow.timemodel.json"
    arguments = ["fit", "--table", totals / "totals.csv", "--networks", totals / "layers.jsonl"]
    result = json.loads(run(*arguments, "--device", "slow", "-o", model, "--json").stdout)
    assert result["device"] == "slow"
    assert result["networks"] == 24
    assert result["mean_error"] < 0.15
    assert "conv_2d float32" in run("explain", model, "--op", "conv_2d").output
    shown = json.loads(run("predict", model, networks_folder / "conv.tflite", "--json").stdout)
    assert shown["coverage"] == 1.0
    assert "choose one with --device" in fails(2, *arguments, "-o", totals / "all.json")
    assert "no device 'medium'" in fails(2, *arguments, "--device", "medium", "-o", totals / "m.json")


def test_totals_of_all_devices_go_to_a_folder(totals, tmp_path):
    arguments = ["fit", "--table", totals / "totals.csv", "--networks", totals / "layers.jsonl"]
    shown = run(*arguments, "-o", tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"fast.timemodel.json", "slow.timemodel.json"}
    assert "fast" in shown.stdout


@pytest.mark.parametrize("every", [1, 3])
def test_energies_of_all_layers_or_of_some_are_learned_and_predicted(folder, networks_folder, every):
    """The power is 3 W, whoever draws it."""
    rows = dense_rows()
    column = [3.0 * float(row.split(",")[-1]) if i % every == 0 else "" for i, row in enumerate(rows)]
    table, out = folder / f"energy{every}.csv", folder / f"p{every}.csv"
    table.write_text(
        "\n".join([HEADER + ",energy_mj", *(f"{r},{e}" for r, e in zip(rows, column, strict=True))])
    )
    fitted = run("fit", "--table", table, "-o", folder / "e.json")
    assert ("have an energy" in fitted.output) == (every > 1)
    told = json.loads(run("predict", folder / "e.json", "--table", table, "-o", out, "--json").stdout)
    assert told["mean_energy_error"] < 0.1
    found = next(csv.DictReader(out.open()))
    assert float(found["predicted_mj"]) == pytest.approx(3.0 * float(found["time_ms"]), rel=0.3)
    shown = run("predict", folder / "e.json", networks_folder / "dense.tflite")
    assert " mJ" in shown.output
    network = json.loads(run("predict", folder / "e.json", networks_folder / "dense.tflite", "--json").stdout)
    assert network["energy_mj"] == pytest.approx(3.0 * network["predicted_ms"], rel=0.3)
    assert "energy is" in run("explain", folder / "e.json").output


def test_rows_far_beyond_what_was_measured_stay_empty_and_are_in_no_error(folder):
    table, out = folder / "far.csv", folder / "far_p.csv"
    far = "fully_connected,float32,4096,65536,65536,none,5000"
    table.write_text("\n".join([HEADER, *dense_rows(10, seed=5), far]) + "\n")
    shown = run("predict", folder / "board.timemodel.json", "--table", table, "-o", out, "--json")
    result = json.loads(shown.stdout)
    assert result["unknown_rows"] == 1
    assert result["mean_error"] < 0.2
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [rows[-1][name] for name in ("predicted_ms", "low_ms", "high_ms")] == ["", "", ""]
    assert float(rows[0]["predicted_ms"]) > 0
    assert "1 of 11 rows are of unknown time" in shown.stderr
