"""What has been worked out before, kept as long as it is true and needed: times of layers and of networks."""

from __future__ import annotations

import weakref
from typing import Any

from profiler.network import Network

MOST_LAYERS = 4096
"""Layers of one kind whose times are kept; beyond that all are dropped, as in a search that never comes back."""

MOST_NETWORKS = 256
"""Networks whose results are kept, if all of them are still in use."""


class LayerMemo(dict[bytes, tuple[float, float, float, bool]]):
    """By a layer's packed geometry: predicted, low and high time in ms, and whether the operator was measured."""

    def keep(self, rows: dict[bytes, tuple[float, float, float, bool]]) -> None:
        """Add `rows`, within the bound."""
        if len(self) + len(rows) > MOST_LAYERS:
            self.clear()
        if len(rows) <= MOST_LAYERS:
            self.update(rows)


class NetworkMemo:
    """Results by network object, forgotten with it.

    Networks are immutable, so the same object means the same network; what else the result came from stands in
    `state`, and another state finds nothing.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[weakref.ref[Network], Any, Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and other processes begin anew: they hold other objects under these numbers.
        return type(self), ()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, network: Network, what: str, state: Any) -> Any:
        """What was put under these, or None."""
        kept = self._kept.get((id(network), what))
        if kept is None or kept[0]() is not network or kept[1] != state:
            return None
        return kept[2]

    def put(self, network: Network, what: str, state: Any, value: Any) -> None:
        """Keep `value`, in place of what another state gave."""
        key = id(network), what
        while len(self._kept) >= MOST_NETWORKS and key not in self._kept:
            # The oldest goes; another thread may have been faster.
            self._kept.pop(next(iter(list(self._kept))), None)
        kept = self._kept

        def forget(gone: weakref.ref[Network]) -> None:
            # The number may have passed on to a new network meanwhile.
            if key in kept and kept[key][0] is gone:
                kept.pop(key, None)

        kept[key] = (weakref.ref(network, forget), state, value)
