"""Selecting between real files with a time model whose answers are known."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compressor.export import TfliteRunner
from edgetime.cli import app
from profiler.errors import BudgetError, DataError, ModelFileError, UsageError
from profiler.network import Layer, Tensor
from profiler.probes import Probe
from selector.candidates import DeviceLimits
from selector.runtime import load_policy, read_policy
from selector.selection import select, select_per_device
from timemodel.model import LayerPrediction, NetworkPrediction


class PerThousandMacs:
    """A time model that charges 1 ms per thousand multiply-accumulates, give or take a tenth."""

    device = "abacus"

    def predict(self, network):
        ms = network.macs / 1000
        unknown = ("mystery",) if network.macs > 500 else ()
        return NetworkPrediction(
            network.name,
            self.device,
            network.dtype,
            1,
            ms,
            0.9 * ms,
            1.1 * ms,
            1 - len(unknown) / 4,
            unknown,
            64,
            (),
        )


def dense(units):
    """A single fully connected layer from 16 numbers to `units`."""
    layer = Layer(
        "fully_connected",
        (Tensor((1, 16)), Tensor((units, 16), constant=True), Tensor((units,), constant=True)),
        (Tensor((1, units)),),
        {"activation": "none"},
    )
    return Probe("layer", (layer,))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three networks of 4, 10 and 40 outputs and data whose labels are what the second one answers."""
    folder = tmp_path_factory.mktemp("nets")
    for units in (4, 10, 40):
        (folder / f"dense{units}.tflite").write_bytes(dense(units).build())
    x = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    answers = TfliteRunner(folder / "dense10.tflite").predict(x).argmax(axis=1)
    np.savez(folder / "d.npz", x=x[:5], y=answers[:5], x_val=x, y_val=answers)
    np.savez(folder / "right.npz", x=x, y=answers)
    return folder


def names(selection):
    return [candidate.path.name for candidate in selection.candidates]


def test_ranks_by_predicted_time_and_runs_nothing_without_data(files, monkeypatch):
    monkeypatch.setattr("compressor.export.running.TfliteRunner.__init__", None)  # running would fail
    found = select(PerThousandMacs(), [files / f"dense{n}.tflite" for n in (40, 4, 10)])
    assert names(found) == ["dense4.tflite", "dense10.tflite", "dense40.tflite"]
    assert [c.predicted_ms for c in found.candidates] == pytest.approx([0.064, 0.16, 0.64])
    assert [c.high_ms for c in found.candidates] == pytest.approx([0.0704, 0.176, 0.704])
    assert [c.accuracy for c in found.candidates] == [None] * 3
    assert found.recommended.path.name == "dense4.tflite"
    assert found.judged_on == ""
    assert found.candidates[2].uncovered == ("mystery",)
    assert found.candidates[0].file_bytes == (files / "dense4.tflite").stat().st_size


def test_accuracy_comes_from_running_each_network(files):
    found = select(
        PerThousandMacs(), [files / "dense10.tflite", files / "dense40.tflite"], files / "right.npz"
    )
    assert found.candidates[0].accuracy == 1.0
    assert found.candidates[1].accuracy < 0.5
    assert found.on_front == (True, False)
    assert found.recommended.path.name == "dense10.tflite"
    assert found.judged_on == f"60 training rows of {files / 'right.npz'}"


def test_judges_on_validation_rows_where_there_are_some(files):
    found = select(PerThousandMacs(), [files / "dense10.tflite"], files / "d.npz")
    assert found.judged_on.startswith("60 validation rows")


def test_budget_picks_marks_and_refuses(files):
    paths = [files / "dense4.tflite", files / "dense10.tflite", files / "dense40.tflite"]
    found = select(PerThousandMacs(), paths[1:], files / "right.npz", budget_ms=0.17)
    assert found.recommended.path.name == "dense10.tflite"
    rows = found.to_dict()["candidates"]
    assert [row["within_budget"] for row in rows] == [True, False]
    assert [row["crosses_budget"] for row in rows] == [True, False]
    with pytest.raises(BudgetError, match=r"dense4\.tflite with 0\.064 ms"):
        select(PerThousandMacs(), paths, budget_ms=0.05)
    with pytest.raises(UsageError, match="0 ms"):
        select(PerThousandMacs(), paths, budget_ms=0)
    with pytest.raises(UsageError, match="at least one"):
        select(PerThousandMacs(), [])


def test_says_what_does_not_fit(files, tmp_path):
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 17)), y=[0, 1, 2])
    with pytest.raises(DataError, match=r"\(17,\).*dense4\.tflite takes \(16,\)"):
        select(PerThousandMacs(), [files / "dense4.tflite"], tmp_path / "wide.npz")
    with pytest.raises(DataError, match="4 classes"):
        select(PerThousandMacs(), [files / "dense4.tflite"], files / "right.npz")
    (tmp_path / "cut.tflite").write_bytes((files / "dense4.tflite").read_bytes()[:300])
    with pytest.raises(ModelFileError, match=r"cut\.tflite"):
        select(PerThousandMacs(), [tmp_path / "cut.tflite"])


def test_policy_names_the_recommended_network(files, tmp_path):
    found = select(
        PerThousandMacs(), [files / "dense40.tflite", files / "dense10.tflite"], files / "right.npz"
    )
    found.save(tmp_path / "policy.json")
    policy, contents = read_policy(tmp_path / "policy.json")
    assert [network.name for network in policy.networks] == ["dense10"]
    assert contents["dense10.tflite"] == found.recommended.path.read_bytes()
    assert (tmp_path / "dense10.tflite").read_bytes() == found.recommended.path.read_bytes()
    assert [row["predicted_ms"] for row in policy.candidates] == [c.predicted_ms for c in found.candidates]


def test_policy_of_one_network_answers_as_that_network(files, tmp_path):
    found = select(PerThousandMacs(), [files / "dense10.tflite"], files / "right.npz")
    x = np.random.default_rng(1).normal(size=(7, 16)).astype(np.float32)
    answers = load_policy(found.save(tmp_path / "policy.json"))(x)
    assert np.array_equal(answers, TfliteRunner(files / "dense10.tflite").predict(x))


class TwiceAsSlowOnWide(PerThousandMacs):
    """Another device: what has 10 outputs and more takes a hundred times as long."""

    device = "rack"

    def predict(self, network):
        found = super().predict(network)
        factor = 100 if network.macs >= 160 else 1
        return replace(found, device=self.device, predicted_ms=factor * found.predicted_ms)


def test_several_devices_get_each_their_best_and_networks_run_once(files, monkeypatch):
    import selector.selection as module

    runs = []
    monkeypatch.setattr(
        module, "network_accuracy", lambda path, rows: runs.append(path.name) or len(runs) / 10
    )
    paths = [files / "dense4.tflite", files / "dense10.tflite"]
    models = [PerThousandMacs(), TwiceAsSlowOnWide()]
    found = select_per_device(models, paths, files / "right.npz", DeviceLimits(budget_ms=1.0))
    assert [one.device for one in found] == ["abacus", "rack"]
    assert [one.chosen.path.name for one in found] == ["dense10.tflite", "dense4.tflite"]
    assert runs == ["dense4.tflite", "dense10.tflite"]
    found = select_per_device(models, paths[1:], limits=DeviceLimits(budget_ms=1.0))
    assert [one.chosen is None for one in found] == [False, True]
    with pytest.raises(BudgetError, match="nearest"):
        _ = found[1].policy


class KnowsNothing(PerThousandMacs):
    device = "blank"

    def predict(self, network):
        layers = (SimpleNamespace(**UNKNOWN_LAYER),)
        return replace(super().predict(network), device=self.device, layers=layers, at_least=True)


UNKNOWN_LAYER = {"op": "mystery", "known": False, "left": "", "reason": "never measured", "predicted_ms": 0.0}


def test_a_device_that_knows_nothing_of_a_network_takes_it_from_no_other(files):
    paths = [files / "dense4.tflite", files / "dense10.tflite"]
    here, blank = select_per_device([PerThousandMacs(), KnowsNothing()], paths)
    assert here.chosen.path.name == "dense4.tflite"
    assert not here.failed
    assert blank.chosen is None
    assert all(
        "is not known on blank: mystery (never measured)" in one.why_unknown for one in blank.candidates
    )
    with pytest.raises(UsageError, match="is not known on blank"):
        select(KnowsNothing(), paths[:1])


def test_a_bad_file_of_several_is_named_and_the_others_are_done(files, tmp_path):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes((files / "dense4.tflite").read_bytes()[:300])
    found = select(PerThousandMacs(), [cut, files / "dense4.tflite"])
    assert names(found) == ["dense4.tflite"]
    assert found.failed[0][0] == cut
    assert "cut.tflite" in found.failed[0][1]
    (tmp_path / "other.tflite").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"other\.tflite"):
        select(PerThousandMacs(), [cut, tmp_path / "other.tflite"])


def run_verb(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_verb_prints_only_json_and_writes_the_policy(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: PerThousandMacs())
    arguments = ("select", "--time-model", "t.json", "--data", files / "right.npz", "--budget-ms", "0.2")
    nets = (files / "dense10.tflite", files / "dense40.tflite")
    status, out, err = run_verb(capsys, *arguments, *nets, "-o", tmp_path / "p.json", "--json")
    assert status == 0
    value = json.loads(out)
    assert value["recommended"] == str(nets[0])
    assert [row["on_front"] for row in value["candidates"]] == [True, False]
    assert "mystery" in err
    assert load_policy(tmp_path / "p.json").specification.settings["budget_ms"] == 0.2
    monkeypatch.setenv("COLUMNS", "250")  # paths of temporary files are long
    status, out, err = run_verb(capsys, *arguments, *nets)
    assert status == 0
    assert "recommended" in out
    assert "too slow" in out
    assert "abacus" in out


class KnowsFewOperators(PerThousandMacs):
    """Of what has fewer than 10 outputs it does not know all operators."""

    def predict(self, network):
        found = super().predict(network)
        unknown = network.macs < 160
        return replace(found, at_least=unknown, uncovered=("mystery",) if unknown else ())


def test_what_takes_at_least_its_time_is_never_chosen(files, capsys, monkeypatch):
    paths = [files / f"dense{n}.tflite" for n in (4, 10, 40)]
    found = select(KnowsFewOperators(), paths)
    assert found.recommended.path.name == "dense10.tflite"
    assert found.on_front == (False, True, False)
    assert found.to_dict()["candidates"][0]["at_least"]
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: KnowsFewOperators())
    monkeypatch.setenv("COLUMNS", "250")
    status, out, err = run_verb(capsys, "select", "--time-model", "t.json", *paths, "--budget-ms", "0.1")
    assert status == 1
    assert "dense10.tflite with 0.16 ms (60.0% over)" in err
    status, out, err = run_verb(capsys, "select", "--time-model", "t.json", *paths)
    assert status == 0
    assert "at least 0.0640 ms" in out
    assert "not all known" in out
    assert "dense4.tflite takes at least what is predicted, and is not recommended: mystery" in err
    status, out, err = run_verb(capsys, "select", "--time-model", "t.json", paths[0])
    assert status == 1
    assert "takes at least 0.064 ms; not known: " in err


def test_verb_ranks_what_a_compression_made_by_the_accuracy_that_it_found(
    files, tmp_path, capsys, monkeypatch
):
    from selector.candidates import KnownAccuracies

    paths = [files / f"dense{n}.tflite" for n in (4, 10)]
    known = KnownAccuracies({paths[0]: 0.7, paths[1]: 0.8}, "40 test rows, as result.json has it")
    monkeypatch.setattr("selector.candidates.compressed_accuracies", lambda paths: known)
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: PerThousandMacs())
    monkeypatch.setenv("COLUMNS", "250")
    arguments = ("select", "--time-model", "t.json", *paths)
    status, out, _ = run_verb(capsys, *arguments)
    assert status == 0
    assert "accuracy on 40 test rows, as result.json has it" in out
    assert "80.0%" in out
    status, out, _ = run_verb(capsys, *arguments, "--json")
    assert json.loads(out)["recommended"] == str(paths[1])
    monkeypatch.setattr(
        "selector.candidates.compressed_accuracies", lambda paths: KnownAccuracies(reason="Why.")
    )
    status, out, err = run_verb(capsys, *arguments)
    assert "nothing was run, so the fastest is it" in out
    assert "Why." in err


def test_verb_fails_in_one_sentence(files, capsys, monkeypatch):
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: PerThousandMacs())
    status, out, err = run_verb(
        capsys, "select", "--time-model", "t.json", files / "dense4.tflite", "--budget-ms", "0"
    )
    assert (status, out) == (2, "")
    assert "budget of 0 ms" in err
    status, _, err = run_verb(
        capsys, "select", "--time-model", "t.json", files / "dense4.tflite", "--budget-ms", "0.01"
    )
    assert status == 1
    assert "nearest is" in err


def test_verb_with_several_devices_and_a_bad_file(files, tmp_path, capsys, monkeypatch):
    models = {"a.json": PerThousandMacs(), "b.json": TwiceAsSlowOnWide()}
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: models[str(path)])
    (tmp_path / "cut.tflite").write_bytes(b"nothing")
    nets = (files / "dense4.tflite", files / "dense10.tflite", tmp_path / "cut.tflite")
    arguments = ("select", "--time-model", "a.json", "--time-model", "b.json", *nets)
    status, out, err = run_verb(capsys, *arguments, "--json")
    assert status == 1
    value = json.loads(out)
    assert [one["device"] for one in value] == ["abacus", "rack"]
    assert [one["recommended"] for one in value] == [str(nets[0])] * 2
    assert "cut.tflite" in err
    assert "1 of 3 networks" in err
    monkeypatch.setenv("COLUMNS", "250")
    status, out, err = run_verb(capsys, *arguments)
    assert status == 1
    assert "0.0640 ms *" in out
    assert "16.0 ms" in out
    status, out, err = run_verb(capsys, *arguments, "-o", tmp_path / "p.json")
    assert status == 2
    assert "one --time-model" in err
    status, out, err = run_verb(capsys, "select", "--time-model", "a.json", *nets[:2], "--max-energy-mj", "1")
    assert status == 2
    assert "abacus knows no energy" in err


def test_selecting_imports_no_tensorflow(files):
    code = (
        "import sys\n"
        "import selector.selection, selector.policies, edgetime.cli.select\n"
        "from compressor.export.running import TfliteRunner\n"
        f"TfliteRunner({str(files / 'dense4.tflite')!r}).predict([[0.0] * 16])\n"
        "assert not {'tensorflow', 'keras', 'optuna'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_verb_writes_a_page_of_one_device_and_of_several(files, tmp_path, capsys, monkeypatch):
    models = {"a.json": PerThousandMacs(), "b.json": TwiceAsSlowOnWide()}
    monkeypatch.setattr("selector.selection.TimeModel.load", lambda path: models[str(path)])
    nets = (files / "dense10.tflite", files / "dense40.tflite")
    arguments = ("select", "--time-model", "a.json", "--data", files / "right.npz", *nets)
    status, _, _ = run_verb(capsys, *arguments, "--html", tmp_path / "one.html")
    assert status == 0
    assert "Which network for abacus" in (tmp_path / "one.html").read_text("utf-8")
    status, _, _ = run_verb(capsys, *arguments, "--time-model", "b.json", "--html", tmp_path / "two.html")
    assert status == 0
    assert "Every network on every device" in (tmp_path / "two.html").read_text("utf-8")


def test_verb_cuts_a_network_between_two_machines(tmp_path, capsys, monkeypatch):
    from profiler.operators import fully_connected

    class Slow(PerThousandMacs):
        def predict(self, network):
            found = super().predict(network)
            layers = tuple(
                LayerPrediction(one.index, one.op, one.name, one.macs, ms, ms, ms, True)
                for one in network.layers
                for ms in [one.macs / 1000]
            )
            return replace(found, layers=layers)

    monkeypatch.setattr("timemodel.TimeModel.load", lambda path: Slow())
    net = tmp_path / "net.tflite"
    net.write_bytes(Probe("pair", (fully_connected(32, 4), fully_connected(4, 200))).build())
    link = "latency_ms=0.1,mbps=0.8,cloud_ms=0.01"
    arguments = ("select", "--time-model", "t.json", net, "--split")
    status, out, _ = run_verb(capsys, *arguments, "--link", link, "-o", tmp_path / "policy", "--json")
    assert status == 0
    value = json.loads(out)
    assert (value["best"]["after"], value["best"]["nbytes"]) == (1, 16)
    assert (tmp_path / "policy" / "net-head.tflite").exists()
    assert read_policy(value["policy"])[0].kind == "split"
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = run_verb(capsys, *arguments, "--link", link)
    assert "Best cut after operator 1" in out
    status, _, err = run_verb(capsys, *arguments)
    assert status == 2
    assert "--split takes --link" in err
    status, _, err = run_verb(capsys, *arguments, "--link", "latency_ms=1,mbps=2")
    assert status == 2
    assert "cloud_ms" in err
