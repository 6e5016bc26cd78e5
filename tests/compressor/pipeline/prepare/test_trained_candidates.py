from pathlib import Path

import numpy as np

from compressor.costs import Configuration, Costs
from compressor.pipeline.prepare import keep_trained, trained_network
from compressor.pipeline.prepare import trained_candidates as trained
from compressor.search import Trial
from compressor.testing.keras_task import bars_network


class Small:
    """A network that is quickly written."""

    def save(self, path):
        Path(path).write_text("network")


def kept(folder, trials):
    return [trial.widths["a"] for trial in trials if trained._path(folder, trial.candidate).exists()]


def test_a_network_is_read_as_it_was(tmp_path):
    network, trial = bars_network(), Trial(Configuration({"a": 1}), Costs(1.0), 0.9, 0.1)
    assert trained_network(tmp_path, trial.candidate) is None
    keep_trained(tmp_path, trial, network)
    for found, wanted in zip(
        trained_network(tmp_path, trial.candidate).get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_network_that_diverged_is_not_kept(tmp_path):
    trial = Trial(Configuration({"a": 1}), Costs(1.0), -float("inf"), float("inf"))
    keep_trained(tmp_path, trial, Small())
    assert kept(tmp_path, [trial]) == []


def test_of_many_those_go_that_others_beat_in_time_and_score(tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "MOST", 3)
    fast = Trial(Configuration({"a": 1}), Costs(1.0), 0.1, 0.1)
    trials = [fast, *(Trial(Configuration({"a": n}), Costs(2.0), 0.1 * n, 0.1) for n in (4, 3, 5, 6))]
    for position, trial in enumerate(trials):
        keep_trained(tmp_path, trial, Small(), trials[: position + 1])
    assert kept(tmp_path, trials) == [1, 5, 6]
