"""Why a layer of other widths takes less: said of a device whose convolutions work in tiles of 16 output channels."""

from dataclasses import replace

import numpy as np
import pytest

from profiler.network import Network
from profiler.operators import conv_2d, fully_connected, unary
from timemodel.explain import reason
from timemodel.runtime import CacheTraffic
from timemodel.staircases import step_ends, time_over_width


@pytest.fixture(scope="module")
def setting(time_model):
    return time_model.setting()


def explained(setting, old, new, nearer_ms=0.0):
    was, now = setting.predict_layers_ms([old, new])
    return reason(setting, old, new, float(was), float(was - now), nearer_ms)


def test_steps_are_read_off_the_models_own_line(setting):
    times = time_over_width(
        setting.operators["conv_2d", "float32"], conv_2d(16, 16, 32, 40), 60, setting.terms.overhead_ms
    )
    assert step_ends(times) == [16, 32, 48]


def test_fewer_tiles_of_output_channels(setting):
    found = explained(setting, conv_2d(16, 16, 32, 40), conv_2d(16, 16, 32, 16))
    assert found.text == "output channels 40 -> 16: 2 tiles of 16 less (33 to 48 cost nearly the same)"
    assert "measured" in found.evidence
    found = explained(setting, conv_2d(16, 16, 32, 40), conv_2d(16, 16, 32, 32))
    assert found.text.startswith("output channels 40 -> 32: 1 tile of 16 less")


def test_within_one_tile_it_makes_no_difference(setting):
    found = explained(setting, conv_2d(16, 16, 32, 48), conv_2d(16, 16, 32, 47))
    assert found.text.startswith(
        "output channels 48 -> 47: within one tile of 16 (33 to 48 cost nearly the same)"
    )
    assert found.text.endswith("it makes no difference")


def test_input_channels_are_fewer_multiplications(setting):
    found = explained(setting, conv_2d(16, 16, 64, 32), conv_2d(16, 16, 16, 32))
    assert found.text == "input channels 64 -> 16: 75% fewer multiplications"
    both = explained(setting, conv_2d(16, 16, 64, 40), conv_2d(16, 16, 16, 32))
    assert both.text.startswith("output channels 40 -> 32: 1 tile of 16 less")
    assert both.text.endswith("input channels 64 -> 16: 75% fewer multiplications, most of it")


def test_a_matrix_has_units_and_other_operators_bytes(setting):
    assert explained(setting, fully_connected(256, 200), fully_connected(64, 200)).text.startswith(
        "inputs 256 -> 64: 75% fewer multiplications"
    )
    found = explained(setting, unary("relu", (1, 16, 16, 64)), unary("relu", (1, 16, 16, 32)))
    assert found.text.startswith("channels 64 -> 32: 50% fewer bytes to move")


def test_unchanged_layers_may_have_their_data_nearer(setting):
    layer = conv_2d(16, 16, 32, 32)
    assert reason(setting, layer, layer, 1.0, 0.0).text == "unchanged"
    assert "more often found in the cache" in reason(setting, layer, layer, 1.0, 0.2, 0.2).text
    assert "left the cache" in reason(setting, layer, layer, 1.0, -0.2, -0.2).text


def test_wider_is_called_slower(setting):
    found = explained(setting, conv_2d(16, 16, 32, 16), conv_2d(16, 16, 32, 40))
    assert "2 tiles of 16 more" in found.text
    assert "slower" in found.text


def test_without_trees_the_widths_are_compared():
    old, new = conv_2d(8, 8, 4, 8), conv_2d(8, 8, 2, 8)
    assert reason(None, old, new, 1.0, 0.5).text == "input channels 4 -> 2: 50% fewer multiplications"


def test_traffic_is_what_data_from_beyond_the_cache_adds(setting):
    layers = tuple(conv_2d(8, 8, 256, 256) for _ in range(3))
    network = Network("bag", layers)
    np.testing.assert_allclose(setting.cache_traffic_ms(network), 0.0, atol=1e-12)
    assert isinstance(setting.terms.cache_traffic, CacheTraffic)
    assert replace(network, name="x").layers == layers
