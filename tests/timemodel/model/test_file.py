import contextlib
import copy
import dataclasses
import json
import re

import numpy as np
import pytest
from made_up_device import layer_ms

from profiler import operators
from profiler.errors import TimeModelError, UsageError
from profiler.probes import Probe
from timemodel.fitting import fit_setting
from timemodel.model import FALLBACK, SettingModel, TimeModel
from timemodel.model.time_model import checksum, signed
from timemodel.runtime import GraphRule

LAYERS = [
    operators.conv_2d(8, 8, 8, 8),
    operators.unary("relu", (1, 8, 8, 8)),
    operators.fully_connected(8, 4),
]
NETWORK = Probe("network", (operators.conv_2d(8, 8, 8, 8), operators.unary("relu", (1, 8, 8, 8)))).network


@pytest.fixture(scope="module")
def small():
    """A time model of few operators, as plain values: small enough to damage it everywhere."""
    layers = [operators.conv_2d(8, 8, c, w) for c in (4, 8, 16) for w in range(4, 68, 4)]
    layers += [operators.unary("relu", (1, n, n, 8)) for n in range(2, 14)]
    # Two prices of a convolution, so that its tree has a split.
    measured = [
        (Probe("layer", (x,)), layer_ms(x) * (3 if x.op == "conv_2d" and x.outputs[0].shape[-1] > 32 else 1))
        for x in layers
    ]
    models, terms = fit_setting(measured)
    terms = dataclasses.replace(
        terms,
        calibration={"float32": 1.1},
        low={"float32": 0.9},
        high={"float32": 1.2},
        graph_rules=(GraphRule("float32", "pad+conv_2d", "partly", 0.5, 8),),
    )
    setting = {"runtime": "made-up", "threads": 1}
    return TimeModel(
        "paper", {"made-up": SettingModel("made-up", setting, {"cpu": "x"}, models, terms)}
    ).to_dict()


def load(value, folder):
    path = folder / "m.timemodel.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return TimeModel.load(path)


def conv(value):
    """The convolution's part of a time model."""
    operators = value["settings"]["made-up"]["operators"]
    return next(row for row in operators if row["op"] == "conv_2d")


def test_the_small_model_has_a_split_and_loads(small, tmp_path):
    assert any("feature" in node for node in conv(small)["nodes"])
    assert np.all(load(signed(small), tmp_path).predict_layers_ms(LAYERS) > 0)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"no time model .*x\.timemodel\.json"):
        TimeModel.load(tmp_path / "x.timemodel.json")
    with pytest.raises(UsageError, match="is a folder"):
        TimeModel.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "damaged"),
        ("\x00", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"format": "edgetime.timemodel", "version": 8, "device": NaN}', "damaged"),
        ('{"format": "edgetime.timemodel", "version": ' + "9" * 5000 + "}", "damaged"),
        ("[]", "no time model"),
        ('{"version": 1}', "no time model"),
        ('{"format": "edgetime.timemodel", "version": 99}', "newer edgetime .format version 99.*install"),
        (
            '{"format": "edgetime.timemodel", "version": 1}',
            "has format version 1.*reads version 8.*edgetime fit",
        ),
        ('{"format": "edgetime.timemodel", "version": "1"}', "format version is '1'"),
        ('{"format": "edgetime.timemodel", "version": true}', "format version is True"),
        ('{"format": "edgetime.timemodel"}', "format version is None"),
        ('{"format": "edgetime.timemodel", "version": 8}', "lacks 'settings'"),
        ('{"format": "edgetime.timemodel", "version": 8, "device": "d", "settings": {}}', "holds no setting"),
    ],
)
def test_files_that_are_no_time_model(content, says, tmp_path):
    with pytest.raises(TimeModelError, match=says) as error:
        load(content, tmp_path)
    assert "m.timemodel.json" in str(error.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "m.timemodel.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TimeModelError, match="damaged"):
        TimeModel.load(path)


def swap_branches(value):
    node = conv(value)["nodes"][0]
    node["left"], node["right"] = node["right"], node["left"]


def double_a_coefficient(value):
    coefficients = conv(value)["nodes"][-1]["coefficients"]
    i = next(i for i, c in enumerate(coefficients) if c > 0)
    coefficients[i] *= 2


def move_a_threshold(value):
    node = conv(value)["nodes"][0]
    node["threshold" if "threshold" in node else "modulus"] += 8


@pytest.mark.parametrize("change", [swap_branches, double_a_coefficient, move_a_threshold])
def test_a_change_that_makes_another_valid_model_is_refused_all_the_same(change, small, tmp_path):
    value = copy.deepcopy(signed(small))
    change(value)
    with pytest.raises(TimeModelError, match=r"was changed after .* wrote it \(its checksum differs\).*anew"):
        load(value, tmp_path)
    del value["checksum"]
    with pytest.raises(TimeModelError, match="its checksum is missing"):
        load(value, tmp_path)
    assert np.all(load(signed(value), tmp_path).predict_layers_ms(LAYERS) > 0)


def test_layout_of_the_json_does_not_matter(small, tmp_path):
    text = json.dumps(signed(small), indent=3, sort_keys=True)
    text = re.sub(r"(\d)\.0\b", r"\1", text)  # as other programs write whole numbers
    assert np.all(load(text, tmp_path).predict_layers_ms(LAYERS) > 0)


def test_checksum_tells_every_number_apart():
    assert checksum({"a": [1, 2]}) == checksum({"a": [1.0, 2.0], "checksum": "x"})
    assert checksum({"a": [1, 2]}) != checksum({"a": [2, 1]})
    assert checksum({"a": [1, 2]}) != checksum({"a": [1, np.nextafter(2, 3)]})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda op: op["nodes"][-1]["coefficients"].__setitem__(0, -1e-9),
            "conv_2d float32: a coefficient is -1e-09",
        ),
        (lambda op: op["nodes"][-1]["coefficients"].pop(), "coefficients in place of"),
        (lambda op: op["nodes"].append(op["nodes"][-1]), "form no tree"),
        (lambda op: op["nodes"][0].update(left=0), "form no tree"),
        (lambda op: op["nodes"][0].update(right=99), "form no tree"),
        (lambda op: op["nodes"][0].update(feature=999), "form no tree"),
        (lambda op: op["nodes"][0].update(feature=-1), "a node's feature is -1"),
        (lambda op: op["nodes"][0].pop("feature"), "branches but asks about no feature"),
        (lambda op: op["nodes"][0].update(threshold=1, modulus=2), "both a threshold and a multiple"),
        (lambda op: op.update(tiles={**op["tiles"], "out_channels": 0}), "its tile of out_channels is 0"),
        (lambda op: op["tiles"].pop("cache"), "its tiles are not of"),
        (lambda op: op.update(low=2.0, high=0.5), "low factor 2.0 lies above its high factor 0.5"),
        (lambda op: op["bounds"].reverse(), "a lower bound of its costs lies above"),
        (lambda op: op["bounds"][0].pop(), "bounds are not two per cost"),
        (lambda op: op["costs"].reverse(), "features are not those that this edgetime knows"),
        (lambda op: op["sizes"].__setitem__(0, "depth"), "features are not those that this edgetime knows"),
        (lambda op: op.update(scale_ms="fast"), "its unit of time is no number"),
        (lambda op: op.update(scale_ms=1e300), "its unit of time is 1e"),
        (lambda op: op.pop("nodes"), "lacks 'nodes'"),
        (lambda op: op.update(nodes=[]), "form no tree"),
    ],
)
def test_what_is_wrong_is_named(change, says, small, tmp_path):
    value = copy.deepcopy(small)
    change(conv(value))
    with pytest.raises(TimeModelError, match=says) as error:
        load(signed(value), tmp_path)
    assert "m.timemodel.json is damaged" in str(error.value)
    assert "make it anew with 'edgetime fit'" in str(error.value)


def test_an_operator_twice_is_refused(small, tmp_path):
    value = copy.deepcopy(small)
    value["settings"]["made-up"]["operators"].append(copy.deepcopy(conv(value)))
    with pytest.raises(TimeModelError, match="there twice"):
        load(signed(value), tmp_path)


def test_very_deep_trees_are_no_danger(small, tmp_path):
    value = copy.deepcopy(small)
    leaf = conv(value)["nodes"][-1]
    depth = 1000
    nodes = []
    for level in range(depth):
        inner = {"feature": 0, "threshold": 1.0, "gain": 0.0, "left": 2 * level + 1, "right": 2 * level + 2}
        nodes += [{**leaf, **inner}, leaf] if not level else []
        if level:
            nodes[2 * level] = {**leaf, **inner}
            nodes += [leaf]
        nodes += [leaf]
    conv(value)["nodes"] = nodes
    assert np.all(load(signed(value), tmp_path).predict_layers_ms(LAYERS) > 0)


# ---- everything damaged, one by one


def places(value, way=(), pattern=()):
    """One place of each kind, as (way to it, pattern): list positions count as one kind."""
    found = {pattern: way} if way else {}
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for kind, place in places(
            part, (*way, key), (*pattern, "[]" if isinstance(value, list) else key)
        ).items():
            found.setdefault(kind, place)
    return found


@contextlib.contextmanager
def damaged(value, way, new):
    """`value` with `new` at the end of `way`, or with nothing there (an Ellipsis); afterwards as before."""
    at = value
    for key in way[:-1]:
        at = at[key]
    key, before = way[-1], copy.copy(at)
    if new is ...:
        del at[key]
    else:
        at[key] = new
    try:
        yield
    finally:
        at.clear()
        at.update(before) if isinstance(at, dict) else at.extend(before)


REPLACED = [..., None, -1, 0, 1e300, float("nan"), "x", [], {}, True]


def test_whatever_is_removed_or_replaced_is_refused_or_predicts_finite_times(small, tmp_path):
    value = copy.deepcopy(small)
    found = places(value)
    assert len(found) > 50
    refused = accepted = 0
    for way in found.values():
        for new in REPLACED:
            with damaged(value, way, new):
                if value == small:
                    continue
                # Signed anew, so that it is not the checksum that refuses.
                text = json.dumps({**value, "checksum": _checksum(value)})
            try:
                model = load(text, tmp_path)
            except TimeModelError as error:
                message = str(error)
                assert "m.timemodel.json" in message
                assert ": " in message
                assert message.endswith(".")
                refused += 1
                continue
            accepted += 1
            prediction = model.predict(NETWORK)
            times = [
                *model.predict_layers_ms(LAYERS),
                prediction.low_ms,
                prediction.predicted_ms,
                prediction.high_ms,
            ]
            assert np.all(np.isfinite(times)), (way, new)
            assert np.all(np.array(times) >= 0), (way, new)
            assert prediction.low_ms <= prediction.predicted_ms <= prediction.high_ms, (way, new)
    assert accepted > 20
    assert refused > 3 * accepted
    assert value == small


def _checksum(value):
    try:
        return checksum(value)
    except ValueError:  # NaN and infinity, which no checksum is made of
        return ""


def test_saving_what_is_not_finite_fails_there_and_then(small, tmp_path):
    setting = load(signed(small), tmp_path).setting()
    terms = dataclasses.replace(setting.terms, overhead_ms=float("nan"))
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ValueError, match="JSON"):
        TimeModel("paper", {"made-up": setting.with_terms(terms)}).save(folder / "m.json")
    assert not list(folder.iterdir())


def test_fallback_stands_in_where_an_operator_was_taken_out(small, tmp_path):
    value = copy.deepcopy(small)
    rows = value["settings"]["made-up"]["operators"]
    rows[:] = [row for row in rows if row["op"] == FALLBACK]
    prediction = load(signed(value), tmp_path).predict(NETWORK)
    assert prediction.uncovered == ("conv_2d", "relu")
    assert prediction.predicted_ms > 0
