"""Several settings of one machine in one profile and one time model, for real: measured, learned, predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetime.prediction import Predictor
from profiler.devices import default_target, open_target
from profiler.errors import UsageError
from profiler.measurement import Profile, profile
from profiler.operators import conv_2d, draw_layer, pad, unary
from profiler.probes import Probe
from profiler.probes.pairs import plan_pairs
from timemodel import fit_profile
from timemodel.explain import explain
from timemodel.model import TimeModel

SETTINGS = {
    "local": "xnnpack, 1 thread",
    "local:threads=2": "xnnpack, 2 threads",
    "local:kernels=builtin": "builtin",
}
DTYPES = ("float32", "int8")


def probes() -> list[Probe]:
    """Few and small ones: what is tested is that all of it hangs together, not how well it predicts."""
    rng = np.random.default_rng(0)
    found = [
        p for dtype in DTYPES for p in plan_pairs(dtype) if {"pad", "relu"} & {one.op for one in p.layers}
    ]
    for dtype in DTYPES:
        layers = [draw_layer(op, dtype, rng) for op in ("conv_2d", "relu", "pad") for _ in range(30)]
        found += [Probe("layer", (layer,)) for layer in layers if layer.macs < 1e7]
    return list(dict.fromkeys(found))


def learned(path: Path, targets: list[str]) -> TimeModel:
    for target in targets:
        profile(open_target(target), path, minutes=5.0, probes=probes(), calm_times=1)
    model = fit_profile(path)
    model.save(path.with_suffix(".json"))
    return TimeModel.load(path.with_suffix(".json"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TimeModel:
    return learned(tmp_path_factory.mktemp("here") / "here.db", list(SETTINGS))


@pytest.fixture(scope="module", params=DTYPES)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dtype = request.param
    layers = (
        pad((1, 14, 14, 8), ((0, 0), (1, 1), (1, 1), (0, 0)), dtype),
        conv_2d(16, 16, 8, 24, padding="valid", dtype=dtype),
        unary("relu", (1, 14, 14, 24), dtype),
    )
    path = tmp_path_factory.mktemp("net") / f"{dtype}.tflite"
    path.write_bytes(Probe("network", layers).build())
    return path


@pytest.mark.parametrize("target", SETTINGS)
def test_every_setting_is_learned_predicted_and_measured(here: TimeModel, network: Path, target: str) -> None:
    with Predictor(here, target, measure=True) as predictor:
        assert SETTINGS[target] in predictor.setting.key
        result, _ = predictor.predict(network)
    assert result["setting"] == predictor.setting.key
    assert 0 < result["low_ms"] <= result["predicted_ms"]
    # On so short a profile noise can leave an operator unknown: then the total is "at least".
    assert result["at_least"] or result["predicted_ms"] <= result["high_ms"]
    assert result["at_least"] or result["coverage"] == 1.0
    times = [layer["measured_ms"] for layer in result["layers"]]
    assert sum(times) == pytest.approx(result["measured_ms"])
    assert times[1] > 0
    if "xnnpack" in result["setting"]:
        assert (
            times[0] == 0
        )  # fused, says the profiler; that the time model knows is tested by its rules below
    else:
        assert times[0] > 0
        assert result["at_least"] or result["layers"][0]["predicted_ms"] > 0


def test_each_setting_has_graph_rules_of_its_own(here: TimeModel) -> None:
    # What the runtime's profiler saw: on two threads of a busy machine the times alone say little.
    for pattern in ("conv_2d+relu", "pad+conv_2d", "pad+depthwise_conv_2d"):
        happens = [
            next(r.happens for r in model.terms.graph_rules if (r.dtype, r.pattern) == ("float32", pattern))
            for model in here.settings.values()
        ]
        assert happens == ["fused", "fused", "apart"]
    texts = [explain(here.setting(key))[-1] for key in here.settings]
    fused = "float32: A PAD before a convolution or a depthwise convolution costs nothing: it runs inside it"
    assert fused in texts[0]
    assert fused not in texts[2]
    assert ["int8: Runs outside XNNPACK" in text for text in texts] == [True, True, False]


def test_without_a_choice_the_first_setting_is_taken_and_named(here: TimeModel, network: Path) -> None:
    assert Predictor(here).predict(network)[0]["setting"] == next(iter(here.settings))
    chosen = list(here.settings)[2]
    predictor = Predictor(here, setting=chosen, measure=True)
    assert predictor.predict(network)[0]["setting"] == chosen
    assert default_target(predictor.setting) == "local:threads=1,kernels=builtin"
    with pytest.raises(UsageError, match="no such thing"):
        Predictor(here, setting="no such thing")


def test_tflite_runtime_beside_litert(tflite_runtime: str, tmp_path: Path, network: Path) -> None:
    other = f"local:python={tflite_runtime}"
    path = tmp_path / "both.db"
    model = learned(path, ["local", other])
    litert, tflite = model.settings
    assert tflite.startswith("tflite-runtime")
    assert Predictor(model, "local").setting.key == litert
    assert Predictor(model, other).setting.key == tflite
    assert default_target(model.setting(litert)) == "local:threads=1,kernels=xnnpack"
    assert default_target(model.setting(tflite)) == f"local:threads=1,kernels=xnnpack,python={tflite_runtime}"
    with Predictor(model, setting=tflite, measure=True) as predictor:
        result, warnings = predictor.predict(network)
    assert not [warning for warning in warnings if "runtime" in warning]
    assert sum(layer["measured_ms"] for layer in result["layers"]) == pytest.approx(result["measured_ms"])
    with Profile.open(path) as store:
        assert all(store.events(key) for key in store.settings)


def test_a_runtime_that_was_not_profiled_is_named(here: TimeModel, tflite_runtime: str) -> None:
    with pytest.raises(UsageError, match="runtime=tflite-runtime"):
        Predictor(here, f"local:python={tflite_runtime}")
