"""What a compression came to: files, figures, what each layer gave back.

May import `compressor.pipeline.final` and below.
"""

from __future__ import annotations

from compressor.pipeline.result.compression_result import RESULT_FILE, CompressionResult, FrontPoint
from compressor.pipeline.result.confirming import order_of_tests, passed_in_turn
from compressor.pipeline.result.family import HELD_OUT, check_family
from compressor.pipeline.result.given_back import LayerChange
from compressor.pipeline.result.making import Request, make_result
from compressor.pipeline.result.promise import least_claim, loss_bound

__all__ = [
    "HELD_OUT",
    "RESULT_FILE",
    "CompressionResult",
    "FrontPoint",
    "LayerChange",
    "Request",
    "check_family",
    "least_claim",
    "loss_bound",
    "make_result",
    "order_of_tests",
    "passed_in_turn",
]
