"""``edgetime compress`` as it is typed, on a made-up device."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgetime.cli import app


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``net.keras`` and ``data.npz``: is the left or the right half brighter?"""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = rng.normal(scale=0.5, size=(160, 8, 8, 1)).astype("float32")
    x[y == 0, :, :4] += 1
    x[y == 1, :, 4:] += 1
    np.savez(folder / "data.npz", x=x, y=y)
    keras.utils.set_random_seed(0)
    source = keras.Input((8, 8, 1))
    h = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(40, 3, padding="same", name="conv")(source)))
    h = layers.Flatten()(layers.MaxPooling2D(4)(h))
    model = keras.Model(source, layers.Dense(2, activation="softmax", name="side")(h))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=8, batch_size=16, verbose=0)
    model.save(folder / "net.keras")
    return folder


def arguments(task: Path, time_model: Path, out: Path, *more: object) -> list[str]:
    common = [
        "compress",
        task / "net.keras",
        "--data",
        task / "data.npz",
        "--time-model",
        time_model,
        "-o",
        out,
    ]
    return [str(a) for a in (*common, "--method", "uniform", "--seeds", 1, "--points", 1, *more)]


def test_a_table_or_json_and_the_files(task: Path, time_model_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    asked = arguments(task, time_model_file, out, "--max-accuracy-drop", 20)
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    for words in (
        "accuracy (test)",
        "not measured",
        "conv",
        "gives back",
        "output channels 40",
        f"Written to {out}",
    ):
        assert words in shown.stdout
    page = (out / "report.html").read_text()
    assert "What the layers gave back, and why" in page
    assert "Nothing was measured: the time model is of A made-up processor, 4 cores" in " ".join(
        shown.stderr.split()
    )
    again = CliRunner().invoke(app, [*asked, "--resume", "--json"])
    assert again.exit_code == 0
    value = json.loads(again.stdout)
    assert value["met"] is True
    assert value["after"]["parameters"] < value["before"]["parameters"]
    assert {path.name for path in out.iterdir()} >= {
        "compressed.keras",
        "compressed.tflite",
        "original.tflite",
    }


def test_killed_at_any_moment_it_goes_on(task: Path, time_model_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    asked = arguments(task, time_model_file, out, "--max-accuracy-drop", 20, "--json")
    command = [sys.executable, "-c", "from edgetime.cli import main; main()", *asked]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    trials = out / "trials.jsonl"
    limit = time.monotonic() + 300
    while time.monotonic() < limit and process.poll() is None and not trials.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = trials.read_text().splitlines()
    assert kept
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    resumed = CliRunner().invoke(app, [*asked, "--resume"])
    assert resumed.exit_code == 0, resumed.stderr
    assert trials.read_text().splitlines()[: len(kept)] == kept


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ([], 2, "Give what the network may take (--budget-ms"),
        (
            ["--max-accuracy-drop", 1, "--minimize", "luck"],
            2,
            "--minimize is one of time, size, memory, energy",
        ),
        (["--max-energy-mj", 1], 2, "knows no energy"),
        (["--budget-ms", 0], 2, "--budget-ms must be above 0, not 0"),
        (["--budget-ms", 1, "--quantize", "int4"], 2, "choose none, int8 or auto"),
        (["--budget-ms", 1000], 2, "within the budget of 1000 ms: give a smaller limit"),
        (
            ["--budget-ms", 1e-6],
            1,
            "No network within 1e-06 ms can be made of net.keras by removing channels",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    task: Path, time_model_file: Path, tmp_path: Path, more: list[object], status: int, words: str
):
    result = CliRunner().invoke(app, arguments(task, time_model_file, tmp_path / "out", *more))
    assert result.exit_code == status, result.output
    reported = [line for line in result.stderr.splitlines() if line.startswith("edgetime: ")]
    assert len(reported) == 1
    assert words in reported[0]
    assert result.stdout == ""


def test_a_family_and_points_do_not_go_together(tmp_path: Path):
    asked = [
        "net.keras",
        "--data",
        "d.npz",
        "--time-model",
        "t",
        "-o",
        tmp_path,
        "--family",
        3,
        "--points",
        4,
    ]
    result = CliRunner().invoke(app, ["compress", *map(str, asked)])
    assert result.exit_code == 2
    assert "--family stands in place of --points: leave one of them out." in result.stderr


def test_every_method_is_named_in_the_help():
    from compressor.search import METHODS

    shown = CliRunner().invoke(app, ["compress", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    text = " ".join(shown.stdout.replace("│", " ").split())
    assert f"and by structure which blocks go: {', '.join(sorted(METHODS))}." in text


@pytest.mark.parametrize("verb", ["compress", "export"])
def test_help_says_how_several_inputs_and_outputs_are_named(verb: str):
    shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert "x.NAME" in shown.stdout
    assert "y.NAME" in shown.stdout


MINE = """
from compressor.costs import scaled
from compressor.search import SearchMethod


class MyMethod(SearchMethod):
    name = "mine"

    def search(self, problem):
        problem.try_configuration(scaled(problem.full, 0.5))
"""


def install(folder: Path, distribution: str, method: str, module: str, rule: str = "") -> None:
    """What an installer leaves of a package that brings a search method, and perhaps a rule for a layer."""
    metadata = folder / f"{distribution}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    rules = f"[edgetime.rules]\n{rule} = {distribution}_methods:rule\n" if rule else ""
    (metadata / "entry_points.txt").write_text(
        f"[edgetime.methods]\n{method} = {distribution}_methods:MyMethod\n{rules}"
    )
    (folder / f"{distribution}_methods.py").write_text(module)


def warnings_of(shown) -> list[str]:
    """Lines of stderr that speak of plug-ins."""
    return sorted(line for line in shown.stderr.splitlines() if "plug-in" in line)


def test_a_method_of_another_package_is_used_and_packages_that_fail_are_named(
    task: Path, time_model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from compressor.graph import load_rules
    from compressor.search import registry

    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages, "sound", "mine", MINE)
    install(packages, "broken", "other", "import no_such_module_at_all", rule="Gate")
    install(packages, "thief", "uniform", MINE)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(registry, "_registered", {})
    registry._load_plugins.cache_clear()
    load_rules.cache_clear()
    asked = arguments(task, time_model_file, tmp_path / "out", "--max-accuracy-drop", 50, "--method", "mine")
    shown = CliRunner().invoke(app, asked)
    registry._load_plugins.cache_clear()
    load_rules.cache_clear()
    exported = CliRunner().invoke(app, ["export", str(task / "net.keras"), "-o", str(tmp_path / "n.tflite")])
    load_rules.cache_clear()
    assert shown.exit_code == exported.exit_code == 0, shown.stderr
    assert json.loads((tmp_path / "out" / "result.json").read_text())["method"] == "mine"
    reason = "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    rule, method, taken = warnings_of(shown)
    assert rule == f"warning: The plug-in 'Gate' of broken 1.2 (edgetime.rules) is left out: {reason}."
    assert method == f"warning: The plug-in 'other' of broken 1.2 (edgetime.methods) is left out: {reason}."
    assert taken.startswith("warning: The plug-in 'uniform' of thief 1.2 (edgetime.methods) is left out: ")
    assert "sound" not in shown.stderr
    assert warnings_of(exported) == [rule]


def test_tables_fit_eighty_columns(task: Path, time_model_file: Path, tmp_path: Path):
    asked = arguments(task, time_model_file, tmp_path / "o", "--max-accuracy-drop", 20, "--points", 3)
    shown = CliRunner().invoke(app, asked, env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.stderr
    table, _, last = shown.stdout.rpartition("Written to")
    assert [line for line in table.splitlines() if len(line) > 80] == []
    assert "report.html" in last
    assert "Front of accuracy against time" in table
    for name in ("points/01.keras", "original", "chosen", "in all"):
        assert name in table
    value = json.loads((tmp_path / "o" / "result.json").read_text())
    assert len(value["points"]) > 1
    assert all((tmp_path / "o" / point["tflite"]).is_file() for point in value["points"])


def finished(seeds: Path) -> list[str]:
    """Names of the networks that were trained in full; a last line may be cut off."""
    lines = seeds.read_text().splitlines(keepends=True)
    return [json.loads(line)["seed"] for line in lines if line.endswith("\n")]


def test_killed_while_points_are_trained_it_goes_on(task: Path, time_model_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    asked = arguments(task, time_model_file, out, "--max-accuracy-drop", 20, "--points", 3, "--no-measure")
    command = [sys.executable, "-c", "from edgetime.cli import main; main()", *asked]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seeds, limit = out / "seeds.jsonl", time.monotonic() + 300
    while time.monotonic() < limit and process.poll() is None and not seeds.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists()
    done = finished(seeds)
    written = {name: (out / "seeds" / f"{name}.keras").stat().st_mtime_ns for name in done}
    trials = (out / "trials.jsonl").read_text()
    resumed = CliRunner().invoke(app, [*asked, "--resume"])
    assert resumed.exit_code == 0, resumed.stderr
    # What was trained was not trained again, neither in the search nor in full.
    assert (out / "trials.jsonl").read_text() == trials
    assert {name: (out / "seeds" / f"{name}.keras").stat().st_mtime_ns for name in done} == written
    assert len(finished(seeds)) > len(done)


def test_a_stopped_run_says_how_to_go_on(task: Path, time_model_file: Path, tmp_path: Path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("compressor.pipeline.compress", stopped)
    shown = CliRunner().invoke(app, arguments(task, time_model_file, tmp_path / "o", "--budget-ms", 1))
    assert shown.exit_code == 1
    assert f"Stopped; what was finished is kept in {tmp_path / 'o'}" in shown.stderr.replace("\n", " ")
    assert "--resume" in shown.stderr


def test_a_goal_that_was_missed_still_has_its_page(
    task: Path, time_model_file: Path, tmp_path: Path, monkeypatch
):
    from compressor.pipeline.result import CompressionResult
    from compressor.pipeline.result.compression_result import NetworkFacts
    from profiler.errors import BudgetError

    def missed(network, data, time_model, out, **options):
        facts = NetworkFacts(
            tflite="a.tflite", keras=None, quantize="none", score=0.9, scores=(0.9,), validation_score=0.9,
            file_bytes=700, predicted_ms=1.5, low_ms=1.4, high_ms=1.6, measured_ms=None, measured_p90_ms=None,
            parameters=7, macs=70,
        )  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        CompressionResult(
            folder=str(out), method="uniform", device="d", setting="", quantize="none", seed=0, seeds=1, budget_ms=1.0,
            max_accuracy_drop=None, met=False, score_name="accuracy", test_rows=5, before=facts, quantized=None, after=facts,
            speedup_measured=None, speedup_low=None, speedup_high=None, widths=(), frozen=(), trials=(), seconds=1.0,
            notes=("Missed by 50%.",),
        ).save()  # fmt: skip
        raise BudgetError("No network within 1 ms was found.")

    monkeypatch.setattr("compressor.pipeline.compress", missed)
    shown = CliRunner().invoke(app, arguments(task, time_model_file, tmp_path / "o", "--budget-ms", 1))
    assert shown.exit_code == 1
    assert "Missed by 50%." in (tmp_path / "o" / "report.html").read_text()


def test_a_machine_too_busy_for_the_time_limit_is_said_and_no_failure(
    task: Path, time_model_file: Path, tmp_path: Path
):
    out = tmp_path / "out"
    asked = arguments(
        task, time_model_file, out, "--max-accuracy-drop", 20, "--minutes", 1e-6, "--no-measure"
    )
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.stderr
    said = " ".join(shown.stderr.split())
    assert said.count("warning: --minutes 1e-06 is short") == 1
    assert "--minutes 1e-06 allows" in said
    value = json.loads((out / "result.json").read_text())
    assert value["met"] is True
    assert value["overrun_minutes"] > 0


def test_export_says_where_float32_is_faster(task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from compressor.testing.device import FormulaTimeModel

    class SlowIntegers(FormulaTimeModel):
        def predict_layers_ms(self, layers, setting=None):
            slow = [any(tensor.dtype == "int8" for tensor in layer.inputs) for layer in layers]
            return super().predict_layers_ms(layers) * np.where(slow, 3.0, 1.0)

    monkeypatch.setattr("timemodel.model.TimeModel.load", lambda path: SlowIntegers())
    (tmp_path / "d.timemodel.json").write_text("{}")
    asked = ["export", task / "net.keras", "-o", tmp_path / "n.tflite", "--quantize", "int8", "--allow-drop"]
    asked += ["--calibration", task / "data.npz", "--time-model", tmp_path / "d.timemodel.json"]
    shown = CliRunner().invoke(app, [str(a) for a in asked])
    assert shown.exit_code == 0, shown.stderr
    assert "warning: Keep float32 here: int8 takes " in shown.stderr
    assert "(predicted): no faster (" in shown.stdout
    as_json = CliRunner().invoke(app, [str(a) for a in [*asked, "--json"]])
    times = json.loads(as_json.stdout)["times"]
    assert times["quantized_ms"] > times["float32_ms"] > 0
    for more, words in ((["--target", "local"], "not both"), (["--quantize", "none"], "give --quantize too")):
        refused = CliRunner().invoke(app, [str(a) for a in [*asked, *more]])
        assert refused.exit_code == 2
        assert words in refused.stderr
