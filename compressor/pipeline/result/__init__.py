"""What a compression came to: files, figures, what each layer gave back."""

from __future__ import annotations

from compressor.pipeline.result.compression_result import RESULT_FILE, CompressionResult, FrontPoint
from compressor.pipeline.result.given_back import (
    REMAINDER,
    LayerChange,
    aligned,
    layer_changes,
    name_of,
    timed,
)
from compressor.pipeline.result.making import Request, layer_widths, make_result

__all__ = [
    "REMAINDER",
    "RESULT_FILE",
    "CompressionResult",
    "FrontPoint",
    "LayerChange",
    "Request",
    "aligned",
    "layer_changes",
    "layer_widths",
    "make_result",
    "name_of",
    "timed",
]
