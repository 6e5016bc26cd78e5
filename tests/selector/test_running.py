"""Policies run on rows, here and on a target, beside their best single network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_policies import picks, saved, two_stages

from profiler.devices import LocalTarget, Target
from profiler.errors import DataError, EdgetimeWarning, TargetError, UsageError
from selector.running import run_policy
from selector.runtime import Specification, load_policy, pack, save_policy

ROWS = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A policy whose slow network is always right, and rows for the test and for validation."""
    folder = tmp_path_factory.mktemp("place")
    shares = {"stop_shares": [0.254, 0.746], "rows": 5000}
    path = saved(
        folder / "policy",
        replace(two_stages(), expected=shares),
        quick=picks([0, 1, 2]),
        slow=picks([3, 4, 5]),
    )
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (ROWS, 2)).reshape(ROWS, 6).astype(np.float32)
    y = x[:, 3:].argmax(axis=1)
    np.savez(folder / "all.npz", x=x[:10], y=y[:10], x_val=x[:20], y_val=y[:20], x_test=x, y_test=y)
    np.savez(folder / "x.npz", x=x)
    return path, folder, x, y


def test_runs_here_on_test_rows_and_says_how_right_it_and_the_single_network_are(place):
    policy, folder, x, y = place
    with pytest.warns(EdgetimeWarning, match="made for board, and this is"):
        found = run_policy(policy, folder / "all.npz", seconds=0.01)
    loaded = load_policy(policy)
    answers = loaded(x)
    assert np.allclose(found.arrays["outputs"], answers, atol=1e-6)
    assert np.array_equal(found.arrays["stage"], loaded.trace.stage)
    assert found.accuracy == (answers.argmax(axis=1) == y).mean()
    assert found.single_accuracy == 1.0
    assert found.rows.startswith("300 test rows of")
    first, second = found.to_dict()["stages"]
    assert first["answered"] + second["answered"] == pytest.approx(1)
    assert (first["ran"], second["ran"]) == (1.0, pytest.approx(second["answered"]))
    assert found.summary["predicted"]["mean_ms"] == pytest.approx(1 + 4 * second["ran"])
    assert found.summary["measured"]["mean_ms"] == pytest.approx(found.arrays["measured_ms"].mean())
    assert sum(found.summary["drift"]["stops"]) == ROWS  # however many rounds were measured


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_target_gives_the_same_answers_with_nothing_but_what_was_sent(place, tmp_path):
    policy, folder, _, _ = place
    here = run_policy(policy, folder / "x.npz", seconds=0.01)
    with LocalTarget(kernels="builtin") as target:
        there = run_policy(policy, folder / "x.npz", target, seconds=0.01)
    assert np.allclose(there.arrays["outputs"], here.arrays["outputs"], atol=1e-5)
    assert np.array_equal(there.arrays["stage"], here.arrays["stage"])
    assert there.accuracy is None
    assert all(stage["agent_ms"] > 0 for stage in there.summary["stages"])


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_what_goes_wrong_on_a_target_is_said(place, tmp_path):
    policy, _, _, _ = place
    np.savez(tmp_path / "wide.npz", x=np.zeros((4, 7), np.float32))
    with pytest.raises(TargetError, match=r"local does not run .*shape \(7,\)"):
        run_policy(policy, tmp_path / "wide.npz", "local")


def test_a_target_that_runs_no_policies_is_named(place):
    class Clock(Target):
        name = "clock"

        def hello(self):
            return {"cpu": "board", "cores": 0}

    policy, folder, _, _ = place
    with pytest.warns(EdgetimeWarning), pytest.raises(TargetError, match="clock runs no policies"):
        run_policy(policy, folder / "x.npz", Clock())


def test_what_is_sent_holds_the_policy_and_few_files(place):
    policy, _, x, _ = place
    assert len(pack(policy, {"": x[:1]})) < 60_000


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_policy_of_one_network_runs_too(place, tmp_path):
    _, folder, _, _ = place
    network = two_stages().networks[1]
    only = Specification("static", "board", (network,))
    path = save_policy(only, [folder / "policy" / "nets" / "slow.tflite"], tmp_path)
    found = run_policy(path, folder / "all.npz", seconds=0.01)
    assert found.accuracy == found.single_accuracy == 1.0
    assert [stage["answered"] for stage in found.summary["stages"]] == [1.0]
    assert found.summary["drift"] is None


def test_bad_arguments_are_refused_in_a_sentence(place, tmp_path):
    policy, folder, _, _ = place
    with pytest.raises(UsageError, match="seconds must be above 0"):
        run_policy(policy, folder / "x.npz", seconds=0)
    with pytest.raises(UsageError, match="on_drift is warn or single"):
        run_policy(policy, folder / "x.npz", on_drift="panic")
    with pytest.raises(DataError, match="does not exist"):
        run_policy(policy, tmp_path / "none.npz")
