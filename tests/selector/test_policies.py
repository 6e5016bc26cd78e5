"""Policies survive being written, moved and read, and notice when what they name has changed."""

from __future__ import annotations

import json
import shutil

import pytest

from profiler.errors import EdgetimeError, ModelFileError
from selector.policies import StaticPolicy, load_policy


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "here"
    (folder / "nets").mkdir(parents=True)
    network = folder / "nets" / "a.tflite"
    network.write_bytes(b"network")
    candidates = [{"network": str(network), "predicted_ms": 1.5}]
    StaticPolicy(network, "board", 2.0, candidates=candidates).save(folder / "policy.json")
    return folder


def test_names_networks_relative_to_itself(saved):
    value = json.loads((saved / "policy.json").read_text())
    assert value["network"] == "nets/a.tflite"
    assert value["candidates"][0]["network"] == "nets/a.tflite"
    assert (value["format"], value["version"], value["kind"]) == ("edgetime-policy", 1, "static")


def test_reads_back_after_the_folder_was_moved(saved, tmp_path):
    moved = shutil.move(saved, tmp_path / "there")
    policy = load_policy(f"{moved}/policy.json")
    assert policy.network.read_bytes() == b"network"
    assert policy.network.parent.parent.name == "there"
    assert (policy.device, policy.budget_ms) == ("board", 2.0)
    assert policy.candidates[0]["predicted_ms"] == 1.5


def test_notices_a_changed_or_missing_network(saved):
    (saved / "nets" / "a.tflite").write_bytes(b"another")
    with pytest.raises(EdgetimeError, match="is not the file that"):
        load_policy(saved / "policy.json")
    (saved / "nets" / "a.tflite").unlink()
    with pytest.raises(ModelFileError, match=r"a\.tflite"):
        load_policy(saved / "policy.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no policy"),
        ("[]", "is no policy of edgetime"),
        ('{"format": "edgetime-policy", "version": 2, "kind": "static"}', "version 2"),
        ('{"format": "edgetime-policy", "version": 1, "kind": "cascade"}', "'cascade'"),
        ('{"format": "edgetime-policy", "version": 1, "kind": "static"}', "is damaged"),
    ],
)
def test_refuses_what_is_no_policy(tmp_path, text, words):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(EdgetimeError, match=words) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)


def test_missing_policy_says_how_to_write_one(tmp_path):
    with pytest.raises(EdgetimeError, match="edgetime select"):
        load_policy(tmp_path / "none.json")
