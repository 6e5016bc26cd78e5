"""What a compression came to: files, figures, what each layer gave back.

May import `compressor.pipeline.final` and below.
"""

from __future__ import annotations

from compressor.pipeline.result.compression_result import RESULT_FILE, CompressionResult, FrontPoint
from compressor.pipeline.result.given_back import LayerChange
from compressor.pipeline.result.making import Request, make_result

__all__ = ["RESULT_FILE", "CompressionResult", "FrontPoint", "LayerChange", "Request", "make_result"]
