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
        self._results: dict[int, tuple[weakref.ref[Any], T]] = {}

    def __len__(self) -> int:
        return len(self._results)

    def get(self, network: object) -> T | None:
        """What was put under `network`, or None."""
        results = self._results.get(id(network))
        return results[1] if results is not None and results[0]() is network else None

    def put(self, network: object, value: T) -> T:
        """Keep `value` and return it."""
        key, results = id(network), self._results
        while len(results) >= MOST_NETWORKS and key not in results:
            # The oldest goes; another thread may have been faster.
            results.pop(next(iter(list(results))), None)

        def forget(gone: weakref.ref[Any]) -> None:
            # The number may have passed on to a new network meanwhile.
            if key in results and results[key][0] is gone:
                results.pop(key, None)

        results[key] = (weakref.ref(network, forget), value)
        return value
