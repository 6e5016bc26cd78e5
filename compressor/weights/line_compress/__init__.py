"""LineCompress: weights as segments of lines in a `.lct` file, which opens wherever a `.tflite` does.

May import `compressor.export`, which runs networks, and `compressor.data`. Needs numba, and constriction for entropy coding (extra
``linecompress``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressor.weights.line_compress.container import read_lct
    from compressor.weights.line_compress.opening import open_lct
    from compressor.weights.line_compress.packing import PackResult, pack, unpack
    from compressor.weights.line_compress.rebuilding import Rebuilt

__all__ = ["PackResult", "Rebuilt", "open_lct", "pack", "read_lct", "unpack"]

_HOMES = {
    "PackResult": "packing",
    "Rebuilt": "rebuilding",
    "open_lct": "opening",
    "pack": "packing",
    "read_lct": "container",
    "unpack": "packing",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: reading a file needs less than packing one."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
