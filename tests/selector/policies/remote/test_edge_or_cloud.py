"""Edge or cloud per input: what is sent, what that costs, and what happens where nobody answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import BudgetError, EdgetimeWarning, UsageError
from profiler.operators import fully_connected
from profiler.probes import Probe
from selector.candidates import Answers, Link
from selector.policies import PolicyGoal
from selector.policies.base import log_probabilities_of
from selector.policies.remote.edge_or_cloud import EdgeOrCloudPolicy, row_bytes, with_remote
from selector.policies.replay import replay
from selector.runtime import Block, PolicyNetwork
from selector.runtime.edge_or_cloud import EdgeOrCloudRunner
from selector.runtime.network import Run
from selector.runtime.runner import Trace
from timemodel.model import NetworkPrediction

LINK = Link(latency_ms=2.0, mbps=8.0, energy_mj_per_kb=3.0, cloud_ms=0.5)  # a kB takes 1 ms


def answers_with_doubt(rows=400, times_ms=(0.1, 20.0), seed=0):
    """The small network is right where it is sure; the large one nearly always."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, rows)
    sure = random.random(rows) < 0.7
    right = np.stack([sure | (random.random(rows) < 0.4), random.random(rows) < 0.98])
    named = np.where(right, y, (y + 1) % 3)
    top = np.where(np.stack([sure, np.ones(rows, bool)]), 0.9, 0.45)
    p = np.repeat(((1 - top) / 2)[..., None], 3, axis=2)
    np.put_along_axis(p, named[..., None], top[..., None], axis=2)
    known = tuple(PolicyNetwork(f"n{i}.tflite", f"n{i}", ms) for i, ms in enumerate(times_ms))
    paths = tuple(Path(one.file) for one in known)
    return Answers(known, paths, np.log(p).astype(np.float32), y, source="d.npz")


def test_a_link_by_hand():
    link = Link.parse("latency_ms=40, mbps=8,energy_mj_per_kb=2.5")
    assert link.send_ms(1000) == pytest.approx(41.0)
    assert link.send_mj(2000) == pytest.approx(5.0)
    assert Link.parse("latency_ms=1,mbps=2").send_mj(9) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latency_ms=40", "needs mbps"),
        ("mbps=1,speed=3", "'speed=3' is nothing"),
        ("latency_ms=x,mbps=1", "'latency_ms=x' is nothing"),
        ("latency_ms=1,mbps=0", "mbps=0"),
        ("latency_ms=-1,mbps=1", "latency_ms=-1"),
    ],
)
def test_what_is_no_link_is_said_in_one_sentence(text, words):
    with pytest.raises(UsageError, match=words):
        Link.parse(text)


def test_what_is_slower_here_than_sending_is_left_out_and_the_one_there_comes_last():
    answers = answers_with_doubt(times_ms=(0.1, 20.0))
    both, notes = with_remote(answers, 1, 3.5)
    assert [one.name for one in both.networks] == ["n0", "n1 (there)"]
    assert [one.predicted_ms for one in both.networks] == [0.1, 3.5]
    assert [one.remote for one in both.networks] == [False, True]
    assert notes == ()
    both, notes = with_remote(answers, 1, 30.0)  # then it may run here too
    assert [one.name for one in both.networks] == ["n0", "n1", "n1 (there)"]


def fitted(link=LINK, answers=None, inputs=None, **goal):
    answers = answers or answers_with_doubt()
    inputs = np.zeros((len(answers.y), 1000), np.uint8) if inputs is None else inputs
    goal = PolicyGoal(**{"prefer": "time", "max_accuracy_drop": 2.0, **goal})
    return EdgeOrCloudPolicy(link).fit(answers, goal, inputs=inputs, device="d")


def test_rows_of_doubt_are_sent_and_only_these():
    found = fitted()
    specification = found.specification
    assert [one.name for one in specification.networks] == ["n0", "n1 (there)"]
    # 2 ms latency, 1 ms for 1 kB, 0.5 ms there; three in ten rows are in doubt
    assert specification.networks[1].predicted_ms == pytest.approx(3.5)
    assert 0.2 < specification.expected["sent_share"] < 0.4
    assert specification.expected["mean_ms"] == pytest.approx(
        0.1 + specification.expected["sent_share"] * 3.5
    )
    assert specification.expected["sending_mj"] == pytest.approx(3.0 * specification.expected["sent_share"])
    assert specification.networks[specification.single].name == "n0"  # what answers where the link is down
    assert specification.settings["sent_bytes"] == 1000


def test_over_a_slow_link_nothing_is_sent():
    answers = answers_with_doubt(times_ms=(0.1, 3.0))
    found = fitted(replace(LINK, latency_ms=500.0), answers)
    assert not any(
        one.remote for one in [found.specification.networks[s.network] for s in found.specification.stages]
    )
    assert found.specification.expected["sent_share"] == 0
    assert any("none is sent" in note for note in found.notes)


def test_longest_time_forbids_sending():
    with pytest.raises(BudgetError):
        fitted(longest_ms=1.0)


class OneAndAHalf:
    """The other machine's time model: 1.5 ms for whatever there is."""

    device = "cloud"

    def predict(self, network):
        return NetworkPrediction(network.name, "cloud", "float32", 1, 1.5, 1.5, 1.5, 1.0, (), 0, ())


def test_the_time_there_must_be_known_once(tmp_path):
    with pytest.raises(UsageError, match="cloud_ms"):
        EdgeOrCloudPolicy(replace(LINK, cloud_ms=None))
    with pytest.raises(UsageError, match="cloud_ms"):
        EdgeOrCloudPolicy(LINK, OneAndAHalf())
    (tmp_path / "n1.tflite").write_bytes(Probe("layer", (fully_connected(4, 3),)).build())
    answers = replace(answers_with_doubt(), paths=(tmp_path / "n0.tflite", tmp_path / "n1.tflite"))
    policy, goal = (
        EdgeOrCloudPolicy(replace(LINK, cloud_ms=None), OneAndAHalf()),
        PolicyGoal("time", max_accuracy_drop=2.0),
    )
    found = policy.fit(answers, goal, inputs=np.zeros((400, 1000), np.uint8))
    assert found.specification.networks[1].predicted_ms == pytest.approx(4.5)
    with pytest.raises(UsageError, match="choose from n0, n1"):
        EdgeOrCloudPolicy(LINK, network="n9").fit(answers, goal, inputs=np.zeros((400, 4)))


def test_bytes_of_a_row():
    assert row_bytes(np.zeros((5, 32, 32, 3), np.uint8)) == 3072
    assert row_bytes({"a": np.zeros((5, 2), np.float32), "b": np.zeros((5, 1), np.int64)}) == 16
    with pytest.raises(UsageError, match="how large"):
        row_bytes(None)


class Tabled:
    """A network that answers the row whose number is its last input."""

    def __init__(self, known, table):
        self.known, self.table = known, table
        self.outputs, self.answers = {"y": table[:1]}, "y"

    def run(self, block, rows, fed=None, keep=(), timed=False):
        return Run(self.table[next(iter(block.inputs.values()))[rows, -1].astype(int)], {}, None)


@pytest.fixture
def policy():
    """A fitted policy's runner on its own rows, their answers, and what the other machine gives."""
    answers = answers_with_doubt()
    rows = len(answers.y)
    inputs = np.column_stack([np.zeros((rows, 249)), np.arange(rows)]).astype(np.float32)
    specification = fitted(inputs=inputs, answers=answers).specification
    tables = {"n0": np.exp(answers.log_probabilities[0]), "n1 (there)": np.exp(answers.log_probabilities[1])}
    runner = EdgeOrCloudRunner(
        specification, [Tabled(one, tables[one.name]) for one in specification.networks]
    )
    both, _ = with_remote(answers, 1, 3.5)
    seen = replay(specification, log_probabilities_of(specification, both))

    def there(x):
        there.rows += len(x)
        return tables["n1 (there)"][x[:, -1].astype(int)]

    there.rows = 0
    return runner, Block({"": inputs}), seen, there


def test_running_sends_what_replaying_sends(policy):
    runner, block, seen, there = policy
    runner.remote = there
    trace = Trace.of(block.rows, 2)
    outputs = runner.answer(block, trace)
    assert np.array_equal(outputs.argmax(axis=1), seen.named)
    assert np.array_equal(trace.stage, seen.stopped)
    assert there.rows == (seen.stopped == 1).sum() > 0
    assert trace.predicted_ms == pytest.approx(seen.ms)


def test_without_a_remote_the_network_here_answers_and_one_warning_says_so(policy, recwarn):
    runner, block, seen, _ = policy
    for _ in range(2):
        trace = Trace.of(block.rows, 2)
        outputs = runner.answer(block, trace)
    assert [str(one.message) for one in recwarn if one.category is EdgetimeWarning] == [
        "No remote was given to load_policy: what would be sent is answered by the networks here."
    ]
    small = runner.networks[0].table
    assert np.array_equal(outputs.argmax(axis=1), small.argmax(axis=1))
    assert np.array_equal(trace.stage, seen.stopped)  # so that drift is not seen where there is none
    assert (trace.network == 0).all()
    assert trace.predicted_ms == pytest.approx(0.1)


def test_a_broken_connection_is_said_and_asked_again_with_the_next_rows(policy):
    runner, block, seen, there = policy

    def broken(x):
        raise ConnectionError("no route")

    runner.remote = broken
    with pytest.warns(EdgetimeWarning, match="no route"):
        runner.answer(block, Trace.of(block.rows, 2))
    runner.remote = there
    assert np.array_equal(runner.answer(block, Trace.of(block.rows, 2)).argmax(axis=1), seen.named)


def test_a_remote_that_answers_something_else_is_refused(policy):
    runner, block, _, _ = policy
    runner.remote = lambda x: np.zeros((1, 3))
    with pytest.raises(Exception, match=r"The remote gave float64 of shape \(1, 3\)"):
        runner.answer(block, Trace.of(block.rows, 2))
    runner.remote = lambda x: np.zeros((len(x), 7))
    with pytest.raises(Exception, match="answers 3 classes"):
        runner.answer(block, Trace.of(block.rows, 2))
