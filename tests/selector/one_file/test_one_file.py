"""A policy as one `.tflite` file stops each row where the policy does, and answers the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_policies import dense, network, picks, saved, two_stages

from profiler.errors import EdgetimeError, UsageError
from profiler.operators import fully_connected
from profiler.probes import Probe
from profiler.tflite import read_network
from selector.one_file import one_file, write_one_file
from selector.runtime import PolicyNetwork, Specification, Stage, load_policy, save_policy

pytest.importorskip("ai_edge_litert.schema_py_generated")

KINDS = st.sampled_from(["margin", "top", "entropy"])
FORMS = st.sampled_from(["probabilities", "logits"])
THRESHOLDS = st.floats(0, 1.1) | st.tuples(*[st.floats(0, 1.1)] * 3)


def rows(seed, count=40, form="probabilities"):
    x = np.random.default_rng(seed).dirichlet([0.5] * 3, (count, 2)).reshape(count, 6).astype(np.float32)
    return np.log(x + 1e-3) if form == "logits" else x


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), KINDS, THRESHOLDS, THRESHOLDS, st.floats(-1, 2), FORMS, st.booleans())
def test_it_answers_as_the_policy_does(tmp_path_factory, seed, kind, first, second, weight, form, agree):
    folder = tmp_path_factory.mktemp("p")
    stages = (
        Stage(0, (1.5,), kind, first),
        Stage(1, (weight, 1.0), kind, second, agree),
        Stage(2, (weight, 0.0, 0.5), kind),
    )
    nets = (network("quick", 1.0, form), network("middle", 2.0, form), network("slow", 4.0, form))
    plan = replace(two_stages(), networks=nets, stages=stages, single=2, expected={})
    policy = saved(folder, plan, quick=picks([0, 1, 2]), middle=picks([3, 4, 5]), slow=picks([3, 4, 1]))
    x = rows(seed, form=form)
    found = write_one_file(policy, folder / "one.tflite", x, seconds=0)
    assert found.rows == len(x)
    assert found.largest_difference < 1e-4
    assert found.different <= 1


def test_members_are_stored_once_and_later_ones_are_graphs_that_are_called(tmp_path):
    policy = saved(tmp_path, two_stages(), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))
    ops = [layer.op for layer in read_network(write(policy, tmp_path)).layers]
    assert ops.count("fully_connected") == 3  # two networks, and the margin between the two likeliest classes


def write(policy, folder):
    (folder / "one.tflite").write_bytes(one_file(policy))
    return folder / "one.tflite"


def test_a_detector_answers_some_classes_and_wakes_the_rest(tmp_path):
    stages = (Stage(0, (1.0,), threshold=0.2, answers=(2, None)), Stage(1, (0.7, 1.0)))
    plan = replace(two_stages(), kind="hierarchical", stages=stages)
    policy = saved(tmp_path, plan, quick=picks([0, 1]), slow=picks([3, 4, 5]))
    found = write_one_file(policy, tmp_path / "one.tflite", rows(1), seconds=0)
    assert (found.different, found.largest_difference < 1e-4) == (0, True)


def test_segments_of_a_network_hand_on_what_they_computed(tmp_path):
    head = dense(np.eye(3, 6), np.zeros(3), names=("x", "features"))
    tail = dense(np.eye(3)[::-1], np.zeros(3), names=("features", "y"))
    nets = (
        PolicyNetwork("", "head", 1.0, answer="features"),
        PolicyNetwork("", "tail", 2.0, feeds=("features",)),
    )
    stages = (Stage(0, (1.0,), threshold=0.5), Stage(1, (0.0, 1.0)))
    plan = Specification("early_exit", "board", nets, stages, classes=3, single=1)
    policy = saved(tmp_path, plan, head=head, tail=tail)
    found = write_one_file(policy, tmp_path / "one.tflite", rows(2), seconds=0)
    assert (found.different, found.largest_difference < 1e-5) == (0, True)


def test_members_of_integers_take_the_same_rows_of_real_numbers(tmp_path):
    folder = tmp_path / "nets"
    folder.mkdir()
    files = []
    for seed, name in enumerate(("quick", "slow")):
        files.append(folder / f"{name}.tflite")
        files[-1].write_bytes(Probe("layer", (fully_connected(6, 3, dtype="int8"),)).build(seed=seed))
    nets = tuple(replace(one, form="logits", dtype="int8") for one in two_stages().networks)
    policy = save_policy(replace(two_stages(0.1), networks=nets, expected={}), files, tmp_path / "policy")
    x = np.random.default_rng(0).normal(0, 0.3, (60, 6)).astype(np.float32)
    assert set(np.unique(staged(policy, x))) == {0, 1}
    found = write_one_file(policy, tmp_path / "one.tflite", x, seconds=0)
    assert (found.different, found.largest_difference < 1e-4) == (0, True)


def staged(policy, x):
    loaded = load_policy(policy)
    loaded(x, watch=False)
    return loaded.trace.stage


def test_rows_that_a_stage_answers_with_nan_are_not_compared(tmp_path):
    doubling = dense(2 * np.eye(3, 6), np.zeros(3))
    policy = saved(tmp_path, two_stages(), quick=doubling, slow=picks([3, 4, 5]))
    x = rows(3)
    x[0, 0] = 3e38
    assert write_one_file(policy, tmp_path / "one.tflite", x, seconds=0).different == 0


def test_what_cannot_become_one_file_is_said(tmp_path):
    only = replace(two_stages(), kind="static", stages=(), classes=0, expected={})
    nets = {"quick": picks([0, 1, 2]), "slow": picks([3, 4, 5])}
    with pytest.raises(UsageError, match="kind 'static': only stages that follow each other"):
        write_one_file(saved(tmp_path / "a", only, **nets), tmp_path / "one.tflite", rows(0))
    away = replace(two_stages(), networks=(network("quick", 1.0), network("slow", 4.0, remote=True)))
    with pytest.raises(UsageError, match="asks another machine"):
        write_one_file(saved(tmp_path / "b", away, **nets), tmp_path / "one.tflite", rows(0))
    with pytest.raises(UsageError, match=r"is to be a \.tflite file"):
        write_one_file(saved(tmp_path / "c", two_stages(), **nets), tmp_path / "one.bin", rows(0))
    assert not list(tmp_path.glob("one.*"))


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    policy = saved(tmp_path, two_stages(), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))
    other = saved(tmp_path / "o", two_stages(2.0), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))
    content = one_file(other)
    monkeypatch.setattr("selector.one_file.checking.one_file", lambda _: content)
    with pytest.raises(EdgetimeError, match="would stop at another stage than"):
        write_one_file(policy, tmp_path / "one.tflite", rows(0))
    assert not (tmp_path / "one.tflite").exists()
