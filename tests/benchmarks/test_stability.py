import numpy as np

from benchmarks.stability import compare, difference, shared_gain
from profiler import operators
from timemodel.model import SettingModel, fit_operator
from timemodel.runtime import RuntimeTerms

WIDTHS = [8 * n for n in range(1, 31)]


def dense(step):
    layers = [operators.fully_connected(inside, outside) for inside in (16, 64, 256) for outside in WIDTHS]
    times = np.array(
        [1e-3 + layer.macs * (1e-6 if layer.outputs[0].shape[-1] <= step else 4e-6) for layer in layers]
    )
    return fit_operator("fully_connected", "float32", layers, times)


def test_a_model_agrees_with_itself():
    model = dense(step=120)
    assert shared_gain(model, model) == 1.0
    assert difference(model, model, "fully_connected", "float32").max() == 0.0
    setting = SettingModel("", {}, {}, {("fully_connected", "float32"): model}, RuntimeTerms())
    (row,) = compare(setting, setting, 10)
    assert row["same tiles"] is True
    assert compare(setting, setting, 1000) == []


def test_steps_at_other_places_are_seen():
    early, late = dense(step=40), dense(step=200)
    assert shared_gain(early, late) < 0.9
    assert np.median(difference(early, late, "fully_connected", "float32")) > 0.01
