"""Missing files are bad arguments in every verb; messages name no insides; nothing half-made is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgetime.cli import app
from edgetime.demo.stages import Stages
from edgetime.terminal import views
from profiler.devices import LocalTarget
from profiler.errors import EdgetimeError, TargetError
from profiler.files import check_writable
from profiler.measurement import profile
from selector.selection import NetworkOption, recommend


def run(status: int, *arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return " ".join(result.stderr.split())


def test_missing_files_are_bad_arguments_in_every_verb(
    time_model_file: Path, networks_folder: Path, tmp_path: Path
):
    gone, net, model = tmp_path / "gone", networks_folder / "conv.tflite", time_model_file
    out = tmp_path / "out"
    for arguments in (
        ("fit", gone, "-o", out),
        ("explain", gone),
        ("predict", gone, net),
        ("predict", model, gone),
        ("advise", gone, net),
        ("advise", model, gone),
        ("import", gone, "-o", out),
        ("select", "--time-model", gone, net),
        ("select", "--time-model", model, gone),
        ("select", "--time-model", model, net, "--data", gone.with_suffix(".npz")),
        ("report", gone, "-o", out),
        ("export", gone.with_suffix(".keras"), "-o", tmp_path / "out.tflite"),
    ):
        assert "gone" in run(2, *arguments), arguments
    assert not out.exists()


def test_a_place_that_cannot_be_written_to_is_found_before_the_work(
    profile_db: Path, tmp_path: Path, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("the fit has begun")

    monkeypatch.setattr("timemodel.fit_profile", never, raising=False)
    (tmp_path / "file").touch()
    assert "Cannot write" in run(1, "fit", profile_db, "-o", tmp_path / "file" / "m.timemodel.json")


def test_asking_whether_one_may_write_leaves_nothing(tmp_path: Path):
    check_writable(tmp_path / "new" / "m.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m.json").write_text("old")
    check_writable(tmp_path / "m.json")
    assert (tmp_path / "m.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(EdgetimeError, match="is a folder"):
        check_writable(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(
        EdgetimeError, match=r"Cannot make the folder .*file.demo .*choose a place that you may write to"
    ):
        Stages(tmp_path / "file" / "demo")


def test_a_device_that_is_not_there_leaves_no_profile(tmp_path: Path):
    class Gone(LocalTarget):
        def hello(self):
            raise TargetError("nobody answers")

    with pytest.raises(TargetError, match="nobody answers"):
        profile(Gone(), tmp_path / "d.db", minutes=0.1)
    assert list(tmp_path.iterdir()) == []


def test_what_is_measured_in_another_number_type_is_not_called_never_measured():
    result = {
        "network": "n.tflite", "dtype": "int8", "coverage": 0.75, "uncovered": ["gelu", "svdf", "conv_2d"],
        "measured_in": {"gelu": ["float32"], "svdf": [], "conv_2d": ["float32", "int8"]},
    }  # fmt: skip
    (line,) = views.estimated(result)
    assert line == (
        "n.tflite: only estimated (25.0% of the time), because measured in float32 only: gelu; "
        "never measured on this device: svdf; not measured in this form: conv_2d"
    )


def test_predict_says_in_which_number_types_an_operator_is_known(
    time_model_file: Path, networks_folder: Path
):
    import json

    result = CliRunner().invoke(
        app, ["predict", str(time_model_file), str(networks_folder / "dense.tflite"), "--json"]
    )
    assert json.loads(result.stdout)["measured_in"] == {"tanh": []}


def test_choices_that_do_not_exist_are_named_plainly(tmp_path: Path):
    shown = run(2, "export", tmp_path / "x.keras", "-o", tmp_path / "x.tflite", "--quantize", "banana")
    assert "'banana' is not one of 'none'" in shown
    assert "Value error" not in shown


@pytest.mark.parametrize(
    ("ms", "words"), [(1.5, "50.0% over"), (3.0, "3 times that"), (101_810, "101,810 times that")]
)
def test_how_far_beyond_a_budget(ms: float, words: str):
    candidate = NetworkOption(path=Path("n.tflite"), predicted_ms=ms, low_ms=ms, high_ms=ms)
    with pytest.raises(EdgetimeError, match=words):
        recommend([candidate], 1.0)


def test_the_agents_own_words_stay_inside(networks_folder: Path):
    from profiler.measurement import measure_network

    class Refusing(LocalTarget):
        def profile_layers(self, *arguments, **options):
            return {"error": "AgentError: LiteRT refuses this network"}

    with Refusing() as target:
        found = measure_network(networks_folder / "conv.tflite", target, seconds=0.1)
    assert found.layer_note.startswith("operators were timed one by one (LiteRT refuses this network)")
