"""Handing rows over and deciding cost a number of near-empty calls, and are free where these are not known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from timemodel.runtime import RowLoop


class Known:
    """A time model that knows what a call costs."""

    def setting(self, name=None):
        return SimpleNamespace(terms=SimpleNamespace(overhead_ms=0.001))


def test_larger_rows_take_longer_to_hand_over():
    loop = RowLoop.of(Known())
    assert loop.call_ms == 0.001
    assert loop.run_ms(4096) - loop.run_ms(2048) == pytest.approx(loop.run_ms(2048) - loop.run_ms(0))
    assert loop.network_ms([(16, 32), (10,)], classes=6) == loop.run_ms(4 * (512 + 10 + 6))
    assert loop.decide_ms > loop.call_ms


@pytest.mark.parametrize("model", [object(), SimpleNamespace(setting=lambda name: SimpleNamespace())])
def test_what_knows_no_call_charges_nothing(model):
    loop = RowLoop.of(model)
    assert (loop.run_ms(1 << 20), loop.decide_ms) == (0.0, 0.0)
