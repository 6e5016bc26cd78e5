"""What was predicted before, by object."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MOST_NETWORKS = 256
"""Networks whose predictions are kept, if all of them are still in use."""


class NetworkMemo(Generic[T]):
    """Results by immutable object, such as a network, forgotten with it."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], T]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, network: object) -> T | None:
        """What was put under `network`, or None."""
        kept = self._kept.get(id(network))
        return kept[1] if kept is not None and kept[0]() is network else None

    def put(self, network: object, value: T) -> T:
        """Keep `value` and return it."""
        key, kept = id(network), self._kept
        while len(kept) >= MOST_NETWORKS and key not in kept:
            # The oldest goes; another thread may have been faster.
            kept.pop(next(iter(list(kept))), None)

        def forget(gone: weakref.ref[Any]) -> None:
            # The number may have passed on to a new network meanwhile.
            if key in kept and kept[key][0] is gone:
                kept.pop(key, None)

        kept[key] = (weakref.ref(network, forget), value)
        return value
