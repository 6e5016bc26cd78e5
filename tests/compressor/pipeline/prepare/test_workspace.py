import math
from pathlib import Path

import numpy as np
import pytest

from compressor.costs import Configuration, Costs
from compressor.data import Data
from compressor.pipeline.prepare import Workspace, data_digest, file_digest, keep_trained, trained_network
from compressor.pipeline.prepare import workspace as trained
from compressor.search import Trial
from compressor.testing.keras_task import bars_network
from profiler.errors import UsageError

TRIALS = [
    Trial(Configuration({"a": 3}), Costs(0.5), 0.9, 0.1),
    Trial(Configuration({"a": 2}), Costs(0.4), -math.inf, math.inf),
]


def test_trials_outlive_the_process(tmp_path):
    workspace = Workspace(tmp_path / "run", {"budget": 1.0}, resume=False)
    workspace.begin()
    for trial in TRIALS:
        workspace.add_trial(trial)
    again = Workspace(tmp_path / "run", {"budget": 1.0}, resume=True)
    assert again.trials() == TRIALS


def test_a_line_that_a_crash_cut_off_costs_only_itself(tmp_path):
    workspace = Workspace(tmp_path, {}, resume=False)
    workspace.begin()
    workspace.add_trial(TRIALS[0])
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"configuration": {"widths": {"a": 1}}, "predi')
    workspace.add_trial(TRIALS[1])
    assert workspace.trials() == TRIALS


def test_earlier_work_is_never_overwritten_by_accident(tmp_path):
    Workspace(tmp_path, {"budget": 1.0}, resume=False).begin()
    with pytest.raises(UsageError, match="go on with it by --resume"):
        Workspace(tmp_path, {"budget": 1.0}, resume=False)
    with pytest.raises(UsageError, match="begun with another budget, seed"):
        Workspace(tmp_path, {"budget": 2.0, "seed": 1}, resume=True)


def test_nothing_is_written_before_the_work_begins(tmp_path):
    Workspace(tmp_path / "run", {}, resume=True)
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        Workspace(tmp_path / "run", {}, resume=False)


def test_finished_seeds_are_kept(tmp_path):
    workspace = Workspace(tmp_path, {}, resume=False)
    workspace.finish_seed("4-5_seed0", {"score": 0.5})
    workspace.finish_seed("4-5_seed1", {"score": 0.6})
    assert workspace.finished_seeds() == {"4-5_seed0": {"score": 0.5}, "4-5_seed1": {"score": 0.6}}
    with (tmp_path / "seeds.jsonl").open("a") as file:
        file.write('{"seed": "4-5_se')
    assert Workspace(tmp_path, {}, resume=True).finished_seeds() == workspace.finished_seeds()
    assert len(workspace.finished_seeds()) == 2


def test_digests_tell_contents_apart(tmp_path):
    x, y = np.zeros((4, 2), np.float32), np.arange(4)
    assert data_digest(Data(x=x, y=y)) == data_digest(Data(x=x.copy(), y=y))
    assert data_digest(Data(x=x, y=y)) != data_digest(Data(x=x, y=y[::-1]))
    assert data_digest(Data(x=x, y=y)) != data_digest(Data(x=x, y=y, x_val=x, y_val=y))
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")


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
