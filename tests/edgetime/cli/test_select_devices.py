from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgetime.cli.select import _cost, _device_names


@pytest.mark.parametrize(
    ("at_least", "energy_mj", "with_energy", "text"),
    [
        (False, None, False, "0.500 ms *"),
        (True, None, True, "≥0.500 ms *\n-"),
        (True, 0.25, True, "≥0.500 ms *\n0.25 mJ"),
    ],
)
def test_a_network_on_a_device_has_time_and_energy_and_a_dash_where_the_device_gives_none(
    at_least, energy_mj, with_energy, text
):
    option = SimpleNamespace(predicted_ms=0.5, at_least=at_least, energy_mj=energy_mj)
    assert _cost(option, " *", with_energy) == text


def test_cores_are_named_only_where_devices_differ_in_them():
    named = [
        [SimpleNamespace(device=name) for name in names]
        for names in (("A, 1 core", "B, 1 core"), ("A, 1 core", "B, 2 cores"))
    ]
    assert _device_names(named[0]) == ["A", "B"]
    assert _device_names(named[1]) == ["A, 1 core", "B, 2 cores"]
