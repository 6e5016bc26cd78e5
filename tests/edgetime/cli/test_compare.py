"""``edgetime compare`` on a made-up device."""

from __future__ import annotations

import json

import pytest

from profiler.operators import conv_2d, fully_connected, unary
from profiler.probes import Probe
from tests.edgetime.cli.test_verbs import fails, run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of one network, of which the second has fewer channels, and one of another network."""
    folder = tmp_path_factory.mktemp("compare")
    for name, layers in {
        "wide": (conv_2d(16, 16, 8, 48), conv_2d(16, 16, 48, 32)),
        "narrow": (conv_2d(16, 16, 8, 16), conv_2d(16, 16, 16, 32)),
        "other": (fully_connected(64, 64), unary("softmax", (1, 64))),
    }.items():
        (folder / f"{name}.tflite").write_bytes(Probe("pair", layers).build())
    return folder


def test_verdict_and_reason_are_printed(files, time_model_file):
    shown = run(
        "compare", files / "wide.tflite", files / "narrow.tflite", "--time-model", time_model_file
    ).stdout
    assert "narrow.tflite takes" in shown
    assert "as long as" in shown
    assert "2 conv_2d: fewer" in shown
    assert "100% of the predicted difference" in " ".join(shown.split())


def test_json_holds_one_object_whose_differences_add_up(files, time_model_file):
    shown = run(
        "compare", files / "wide.tflite", files / "narrow.tflite", "--time-model", time_model_file, "--json"
    ).stdout
    value = json.loads(shown)
    assert value["first"]["network"] == "wide.tflite"
    assert value["second"]["network"] == "narrow.tflite"
    assert value["difference_ms"] == pytest.approx(
        value["second"]["predicted_ms"] - value["first"]["predicted_ms"]
    )
    assert sum(row["difference_ms"] for row in value["differences"]) == pytest.approx(value["difference_ms"])
    assert [row["first"] for row in value["layers"]] == [[0], [1]]
    assert value["sure"] is True
    assert value["measured"] is None


def test_a_file_against_itself_is_no_sure_difference(files, time_model_file):
    shown = run(
        "compare", files / "wide.tflite", files / "wide.tflite", "--time-model", time_model_file
    ).stdout
    assert "no sure difference" in shown


def test_a_page_is_written_with_every_layer(files, time_model_file, tmp_path):
    page = tmp_path / "compare.html"
    run(
        "compare",
        files / "wide.tflite",
        files / "narrow.tflite",
        "--time-model",
        time_model_file,
        "--html",
        page,
    )
    text = page.read_text("utf-8")
    assert "2 conv_2d: fewer" in text
    assert "Layer by layer" in text


def test_two_networks_are_refused_with_what_they_share(files, time_model_file):
    said = fails(1, "compare", files / "wide.tflite", files / "other.tflite", "--time-model", time_model_file)
    assert "wide.tflite and other.tflite are not of one network" in said
    assert "0 have the same sizes" in said


def test_bad_arguments_are_one_sentence(files, time_model_file, tmp_path):
    one = files / "wide.tflite"
    assert "does not exist" in fails(
        2, "compare", one, tmp_path / "no.tflite", "--time-model", time_model_file
    )
    assert "--measure" in fails(2, "compare", one, one, "--time-model", time_model_file, "--target", "local")
