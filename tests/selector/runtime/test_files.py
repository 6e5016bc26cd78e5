"""Policies survive being written, moved and read, and notice when anything they name has changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import EdgetimeError, ModelFileError, UsageError
from selector.runtime import PolicyNetwork, Specification, Stage, find_policy, read_policy, save_policy
from selector.runtime.files import check

NETWORKS = (PolicyNetwork("", "a", 1.0), PolicyNetwork("", "b", 4.0, form="logits"))
CASCADE = Specification(
    "cascade",
    "board",
    NETWORKS,
    (Stage(0, (1.0,), threshold=(0.5, 0.6, 1.5)), Stage(1, (0.5, 0.5))),
    classes=3,
    single=1,
    expected={"stop_shares": [0.6, 0.4], "rows": 100},
    settings={"one": [1, None]},
    arrays={"tree": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bc"])},
    candidates=({"network": "nets/a.tflite", "predicted_ms": 1.0},),
)


@pytest.fixture
def nets(tmp_path):
    folder = tmp_path / "nets"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.tflite").write_bytes(name.encode())
    return [folder / "a.tflite", folder / "b.tflite"]


@pytest.fixture
def policy(nets, tmp_path):
    return save_policy(CASCADE, nets, tmp_path / "out" / "policy.json")


def test_reads_back_what_was_written_after_the_folder_was_moved(policy, tmp_path):
    moved = shutil.move(policy.parent, tmp_path / "there")
    found, contents = read_policy(f"{moved}/policy.json")
    assert contents == {"a.tflite": b"a", "b.tflite": b"b"}
    assert found.stages == CASCADE.stages
    assert found.networks == tuple(
        replace(old, file=new.file, sha256=new.sha256)
        for old, new in zip(NETWORKS, found.networks, strict=True)
    )
    assert np.array_equal(found.arrays["tree"], CASCADE.arrays["tree"])
    assert found.arrays["names"].tolist() == ["a", "bc"]
    assert (found.settings, found.expected, found.single) == (CASCADE.settings, CASCADE.expected, 1)


def test_copies_networks_from_outside_under_names_of_their_own(nets, tmp_path):
    other = tmp_path / "other" / "a.tflite"
    other.parent.mkdir()
    other.write_bytes(b"another")
    path = save_policy(CASCADE, [nets[0], other], tmp_path / "out")
    assert [network.file for network in read_policy(path)[0].networks] == ["a.tflite", "a-2.tflite"]
    assert (tmp_path / "out" / "a-2.tflite").read_bytes() == b"another"
    again = save_policy(CASCADE, [nets[0], other], tmp_path / "out")
    assert sorted(file.name for file in again.parent.glob("*.tflite")) == ["a-2.tflite", "a.tflite"]


def test_names_networks_inside_its_folder_where_they_are(nets, tmp_path):
    path = save_policy(CASCADE, nets, tmp_path / "policy.json")
    value = json.loads(path.read_text())
    assert [network["file"] for network in value["networks"]] == ["nets/a.tflite", "nets/b.tflite"]
    assert not list(tmp_path.glob("*.tflite"))


def test_segments_of_one_file_are_copied_once(nets, tmp_path):
    path = save_policy(CASCADE, [nets[0], nets[0]], tmp_path / "out" / "policy.json")
    assert [file.name for file in path.parent.glob("*.tflite")] == ["a.tflite"]


def test_a_policy_that_is_written_again_leaves_no_old_arrays(nets, policy):
    save_policy(replace(CASCADE, arrays={"tree": np.zeros(2)}), nets, policy)
    assert len(list(policy.parent.glob("*.npz"))) == 1
    save_policy(replace(CASCADE, arrays={}), nets, policy)
    assert not list(policy.parent.glob("*.npz"))
    assert not read_policy(policy)[0].arrays


def test_a_network_that_changed_since_it_was_chosen_is_not_packed(nets, tmp_path):
    chosen = replace(CASCADE, networks=(replace(NETWORKS[0], sha256="0" * 64), NETWORKS[1]))
    with pytest.raises(EdgetimeError, match=r"a\.tflite changed since it was chosen"):
        save_policy(chosen, nets, tmp_path / "out")


@pytest.mark.parametrize("member", ["a.tflite", "arrays"])
def test_a_changed_or_missing_member_is_refused(policy, member):
    file = next(policy.parent.glob("*.npz")) if member == "arrays" else policy.parent / member
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(EdgetimeError, match=r"is not the file that .* was made with"):
        read_policy(policy)
    file.unlink()
    with pytest.raises(ModelFileError, match=file.name):
        read_policy(policy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 1}, "version 1, and this edgetime reads 2"),
        ({"version": 3}, "version 3"),
        ({"format": "other"}, "is no policy of edgetime"),
        ({"single": 2}, "single network is number 2 of 2"),
        ({"stages": [{"network": 0}]}, "damaged"),
        ({"networks": []}, "no networks"),
        ({"surprise": 1}, "surprise"),
        ({"networks": None}, "damaged"),
        ({"expected": {"stop_shares": [1.0], "rows": 5}}, "1 stop shares for 2 stages"),
        ({"expected": {"stop_shares": [0.5, 0.5]}}, "rows that it was fitted on"),
    ],
)
def test_refuses_what_does_not_fit_and_says_why(policy, change, words):
    policy.write_text(json.dumps({**json.loads(policy.read_text()), **change}))
    with pytest.raises(EdgetimeError, match=words) as caught:
        read_policy(policy)
    assert str(policy) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.6", "NaN", "NaN"),
        ("0.6", '"much"', "a threshold of stage 1 is 'much', which is no number"),
        ("0.6", "null", "a threshold of stage 1 is None"),
        ('"margin"', '"luck"', "confidence 'luck'"),
        ('"a.tflite"', '"../a.tflite"', "not in its folder"),
        ('"logits"', '"feelings"', "feelings"),
        ("{", "", "is no policy"),
    ],
)
def test_refuses_damaged_json(policy, old, new, words):
    policy.write_text(policy.read_text().replace(old, new, 1))
    with pytest.raises(EdgetimeError, match=words):
        read_policy(policy)


def test_a_threshold_that_is_no_number_is_never_written(nets, tmp_path):
    broken = replace(CASCADE, stages=(replace(CASCADE.stages[0], threshold=float("nan")), CASCADE.stages[1]))
    with pytest.raises(UsageError, match="a threshold of stage 1"):
        save_policy(broken, nets, tmp_path / "out")
    with pytest.raises(UsageError, match="array tree"):
        save_policy(replace(CASCADE, arrays={"tree": np.array([np.nan])}), nets, tmp_path / "out")


def test_missing_policy_says_how_to_write_one(tmp_path):
    with pytest.raises(EdgetimeError, match="edgetime select") as caught:
        read_policy(tmp_path / "none.json")
    assert caught.value.exit_code == 2


def test_a_folder_stands_for_its_policy(policy, tmp_path):
    assert find_policy(policy.parent) == policy
    renamed = policy.rename(policy.with_name("mine.json"))
    assert find_policy(policy.parent) == renamed
    with pytest.raises(EdgetimeError, match="holds no policy"):
        find_policy(tmp_path)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 1), st.booleans())
def test_whatever_fits_together_is_accepted(thresholds, single, agree):
    stages = (Stage(0, (1.0,), threshold=tuple(thresholds), agree=agree), Stage(1, (0.0, 1.0)))
    check(replace(CASCADE, stages=stages, single=single))
