"""Where a network is best cut between two machines, and both ends as files."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.export import TfliteRunner
from profiler.errors import EdgetimeWarning, UsageError
from profiler.operators import fully_connected
from profiler.probes import Probe
from profiler.tflite import find_cuts, read_network, split_file
from selector.candidates import Link
from selector.policies.remote.split_point import best_split, same_answers, save_split
from selector.runtime import load_policy, read_policy
from timemodel.model import LayerPrediction, NetworkPrediction


class PerThousandMacs:
    """1 ms per thousand multiply-accumulates, `factor` times as fast."""

    def __init__(self, factor=1.0, device="abacus"):
        self.factor, self.device = factor, device

    def predict(self, network):
        layers = tuple(
            LayerPrediction(layer.index, layer.op, layer.name, layer.macs, ms, ms, ms, True)
            for layer in network.layers
            for ms in [layer.macs / 1000 / self.factor]
        )
        total = sum(layer.predicted_ms for layer in layers)
        return NetworkPrediction(
            network.name, self.device, network.dtype, 1, total, total, total, 1.0, (), 0, layers
        )


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Narrow in the middle: 32 numbers become 4 (128 multiply-accumulates), then 4 become 200 and 200 become 10."""
    path = tmp_path_factory.mktemp("net") / "narrow.tflite"
    layers = (fully_connected(32, 4), fully_connected(4, 200), fully_connected(200, 10))
    path.write_bytes(Probe("pair", layers).build())
    return path


def test_the_best_cut_by_hand(network):
    # here 0.128, 0.8 and 2 ms; there a hundredth; a byte takes 0.01 ms, the way there 0.1 ms
    link = Link(latency_ms=0.1, mbps=0.8)
    found = best_split(network, PerThousandMacs(), link, PerThousandMacs(100))
    total = [pytest.approx(ms, rel=1e-6) for ms in (
        0.1 + 1.28 + 0.02928,  # all there: 128 bytes
        0.128 + 0.1 + 0.16 + 0.028,  # 16 bytes
        0.928 + 0.1 + 8.0 + 0.02,  # 800 bytes
        2.928,
    )]  # fmt: skip
    assert [one.total_ms for one in found.options] == total
    assert found.best.cut.after == 1
    assert (found.best.here_ms, found.best.nbytes) == (pytest.approx(0.128), 16)
    assert found.best.energy_mj is None


def test_over_a_slow_link_all_is_here_and_over_a_fast_one_all_is_there(network):
    here = best_split(network, PerThousandMacs(), Link(1000.0, 1.0, cloud_ms=0.1))
    assert here.best.name == "all here"
    assert here.best.total_ms == pytest.approx(2.928)
    there = best_split(network, PerThousandMacs(), Link(0.0, 1e6, cloud_ms=0.1))
    assert there.best.name == "all there"
    with pytest.raises(UsageError, match="cloud_ms"):
        best_split(network, PerThousandMacs(), Link(1.0, 1.0))


def test_without_a_time_model_there_a_tail_has_its_share_of_the_time(network):
    found = best_split(network, PerThousandMacs(), Link(0.1, 0.8, cloud_ms=1.0))
    assert found.options[1].there_ms == pytest.approx(2.8 / 2.928)


@pytest.fixture(scope="module")
def policy_file(network, tmp_path_factory):
    found = best_split(network, PerThousandMacs(), Link(0.1, 0.8), PerThousandMacs(100))
    return save_split(found, tmp_path_factory.mktemp("policy"))


def test_both_ends_are_files_that_together_are_the_network(network, policy_file):
    x = np.random.default_rng(0).normal(size=(5, 1, 32)).astype(np.float32).reshape(5, 32)
    tail = TfliteRunner(policy_file.with_name("narrow-tail.tflite"))
    asked = []

    def there(rows):
        asked.append(rows.shape)
        return tail.predict(rows)

    policy = load_policy(policy_file, remote=there)
    assert np.array_equal(policy(x), TfliteRunner(network).predict(x))
    assert asked == [(5, 4)]
    assert policy.trace.predicted_ms == pytest.approx(0.416)


def test_without_a_remote_both_ends_run_here_and_a_warning_says_so(network, policy_file):
    x = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    policy = load_policy(policy_file)
    with pytest.warns(EdgetimeWarning, match="No remote was given to load_policy: both parts"):
        assert np.array_equal(policy(x), TfliteRunner(network).predict(x))


def test_the_tail_need_not_lie_on_the_board(network, policy_file, tmp_path):
    import shutil

    for file in policy_file.parent.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "narrow-tail.tflite").unlink()
    tail = TfliteRunner(policy_file.with_name("narrow-tail.tflite"))
    policy = load_policy(tmp_path / policy_file.name, remote=tail.predict)
    x = np.zeros((2, 32), np.float32)
    assert policy(x).shape == (2, 10)
    specification, contents = read_policy(policy_file)
    assert list(contents) == ["narrow-head.tflite"]
    assert specification.networks[1].remote


def test_what_is_best_on_one_machine_is_written_as_that(network, tmp_path):
    here = best_split(network, PerThousandMacs(), Link(1000.0, 1.0, cloud_ms=0.1))
    specification, _ = read_policy(save_split(here, tmp_path / "p.json"))
    assert specification.kind == "static"
    there = best_split(network, PerThousandMacs(), Link(0.0, 1e6, cloud_ms=0.1))
    with pytest.raises(UsageError, match="nothing runs here"):
        save_split(there, tmp_path / "q.json")


def test_a_cut_whose_ends_answer_otherwise_is_left_out(network, monkeypatch):
    import selector.policies.remote.split_point as module

    monkeypatch.setattr(module, "same_answers", lambda *_: False)
    found = best_split(network, PerThousandMacs(), Link(0.1, 0.8), PerThousandMacs(100))
    assert found.best.name == "all there"
    assert any("do not answer as the whole" in note for note in found.notes)


def test_ends_of_another_network_are_seen(network):
    content = network.read_bytes()
    cut = find_cuts(read_network(content))[0]
    head, tail = split_file(content, cut)
    assert same_answers(content, (head, tail))
    place = tail.index(np.float32(read_weights(content)).tobytes())
    changed = tail[:place] + np.float32(9.0).tobytes() + tail[place + 4 :]
    assert not same_answers(content, (head, changed))


def read_weights(content):
    """The first stored weight of the last layer."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    weights = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) == (10, 200)]
    return interpreter.get_tensor(weights[0]["index"])[0, 0]
