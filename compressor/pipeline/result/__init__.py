"""What a compression came to: files, figures, what each layer gave back.

May import `compressor.pipeline.final` and below.
"""

from __future__ import annotations

from compressor.pipeline.result.compression_result import RESULT_FILE, CompressionResult, FrontPoint
from compressor.pipeline.result.family import HELD_OUT, check_family
from compressor.pipeline.result.given_back import LayerChange
from compressor.pipeline.result.making import Request, make_result

__all__ = [
    "HELD_OUT",
    "RESULT_FILE",
    "CompressionResult",
    "FrontPoint",
    "LayerChange",
    "Request",
    "check_family",
    "make_result",
]
