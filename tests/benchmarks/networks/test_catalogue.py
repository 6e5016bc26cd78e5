"""The list of networks, where their files are, and what is said of those that are missing."""

import pytest

from benchmarks.networks import catalogue as networks
from benchmarks.networks.catalogue import (
    APPLICATIONS,
    FLOAT_ONLY,
    PUBLIC,
    complete,
    convert,
    convert_one,
    failure_file,
    names,
    network_file,
    network_files,
    public_files,
)
from benchmarks.networks.own import OWN
from profiler.network import Network
from profiler.tflite import read_network


def test_there_are_enough_networks_of_all_kinds():
    every = names()
    assert len(every) == len(set(every)) >= 40
    assert {"vit_96", "text_encoder_64", "lstm_loop", "gru_unrolled", "u_net_128", "deep_lab_160"} <= set(OWN)
    assert len({row[1] for row in APPLICATIONS.values()}) >= 4
    assert set(FLOAT_ONLY) <= set(every)


def test_public_files_are_there(shared_data):
    for dtype in PUBLIC:
        assert public_files(dtype)
        for path in public_files(dtype):
            assert isinstance(read_network(path), Network)


def test_what_is_missing_is_named_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "shared_data", lambda: None)
    network_file("ds_cnn", tmp_path).write_bytes(b"x")
    network_file("ds_cnn", tmp_path, "int8").write_bytes(b"x")
    failure_file(network_file("vit_96", tmp_path, "int8")).write_text("no such kernel\n")
    files, missing = network_files(tmp_path, "int8", ["ds_cnn", "vit_96_int8", "u_net_128"])
    assert [path.name for path in files] == ["ds_cnn_int8.tflite"]
    assert missing == {"vit_96_int8": "no such kernel", "u_net_128_int8": "it was not converted"}
    files, missing = network_files(tmp_path, "float32")
    assert [path.name for path in files] == ["ds_cnn.tflite"]
    assert set(missing) == set(names()) - {"ds_cnn"}
    assert complete("ds_cnn", tmp_path)
    assert not complete("vit_96", tmp_path)


def test_converter_that_dies_leaves_a_reason_and_is_not_started_again(tmp_path, monkeypatch):
    started = []

    class Died:
        returncode, stderr = -9, "some words\nlast words\n"

    monkeypatch.setattr(networks.subprocess, "run", lambda command, **_: started.append(command) or Died())
    lines = []
    convert(tmp_path, ["ds_cnn"], lines.append)
    convert(tmp_path, ["ds_cnn"], lines.append)
    assert len(started) == 1
    assert lines[0].startswith(
        "ds_cnn: the converter ended with status -9 (killed, perhaps for want of memory)"
    )
    Died.returncode = 1
    convert(tmp_path, ["u_net_128"], lines.append)
    assert "last words" in lines[2]


@pytest.mark.slow
def test_one_network_in_both_dtypes(tmp_path):
    pytest.importorskip("tensorflow")
    convert_one("dense_autoencoder", tmp_path)
    floats, ints = (read_network(network_file("dense_autoencoder", tmp_path, d)) for d in ("float32", "int8"))
    assert [floats.dtype, ints.dtype] == ["float32", "int8"]
    assert sum(layer.op == "fully_connected" for layer in floats.layers) == 8
