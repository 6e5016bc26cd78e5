"""Operators that few networks have: a handful of probes each, so that none is free and none a guess.

May import the families of ordinary operators.
"""

from __future__ import annotations

from profiler.operators.rare.custom import detection_postprocess
from profiler.operators.rare.indexing import scatter_nd
from profiler.operators.rare.not_probed import why_not_probed
from profiler.operators.rare.planes import conv_3d
from profiler.operators.rare.recurrent import svdf
from profiler.operators.rare.weights import with_four_bits

__all__ = ["conv_3d", "detection_postprocess", "scatter_nd", "svdf", "why_not_probed", "with_four_bits"]
