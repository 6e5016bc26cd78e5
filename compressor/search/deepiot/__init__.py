"""``deepiot`` and ``fastdeepiot``: a network that looks at weights learns which channels can go.

May import what `compressor.search` may, and its base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compressor.search.deepiot.method import DeepIoT, FastDeepIoT

if TYPE_CHECKING:
    from compressor.search.deepiot.twin import masked_twin

__all__ = ["DeepIoT", "FastDeepIoT", "masked_twin"]


def __getattr__(name: str) -> Any:
    if name == "masked_twin":
        from compressor.search.deepiot.twin import masked_twin

        return masked_twin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
