"""LineCompress: weights as segments of lines in a `.lct` file, which opens wherever a `.tflite` does.

May import `compressor.export`, which runs networks, and `compressor.data`. Needs numba, and constriction for entropy coding (extra
``linecompress``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressor.weights.line_compress.container import block_bytes, open_lct, read_lct
    from compressor.weights.line_compress.packing import PackResult, pack, unpack
    from compressor.weights.line_compress.rebuilding import Rebuilt
    from compressor.weights.line_compress.tensors import stored_tensors

__all__ = ["PackResult", "Rebuilt", "block_bytes", "open_lct", "pack", "read_lct", "stored_tensors", "unpack"]

_HOMES = {
    "PackResult": "packing",
    "Rebuilt": "rebuilding",
    "block_bytes": "container",
    "open_lct": "container",
    "pack": "packing",
    "read_lct": "container",
    "stored_tensors": "tensors",
    "unpack": "packing",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: reading a file needs less than packing one."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
