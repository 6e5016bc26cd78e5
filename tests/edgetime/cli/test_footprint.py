"""``edgetime footprint``."""

from __future__ import annotations

import json

import pytest

from edgetime.cli import app
from profiler.operators import fully_connected
from profiler.probes import Probe


def run_verb(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, " ".join(captured.err.split())


@pytest.fixture
def network(tmp_path):
    (tmp_path / "net.tflite").write_bytes(Probe("layer", (fully_connected(256, 128, dtype="int8"),)).build())
    return tmp_path / "net.tflite"


def test_it_says_time_and_energy_by_footprint_and_from_where_on_decoding_pays(network, capsys):
    pytest.importorskip("ethosu", reason="needs the extra ethos-u")
    page = network.parent / "page.html"
    status, out, err = run_verb(capsys, "footprint", network, "sim:ethos-u55-128", "--html", page, "--json")
    assert status == 0, err
    (found,) = json.loads(out)
    assert [one["name"] for one in found["costs"]] == ["int8", "int4"]
    assert found["costs"][1]["time_ms"] < found["costs"][0]["time_ms"]
    assert found["energy_pays_from"] >= 4
    assert "LineCompress as published" in page.read_text()
    status, out, err = run_verb(capsys, "footprint", network, "sim:ethos-u55-128", "--decoder-pj", "1e6")
    assert status == 0, err
    assert "never in energy" in out


def test_a_device_that_is_no_simulator_is_refused_in_one_sentence(network, capsys):
    status, _, err = run_verb(capsys, "footprint", network, "local")
    assert (status, err.count("no simulated accelerator: 'edgetime targets' lists")) == (2, 1)


def test_a_float_network_is_refused_with_the_mend(network, capsys):
    network.write_bytes(Probe("layer", (fully_connected(256, 128),)).build())
    status, _, err = run_verb(capsys, "footprint", network, "sim:ethos-u55-128")
    assert status == 1
    assert "it is a float32 network and Ethos-U55-128 runs int8 only: convert it to int8 first" in err
