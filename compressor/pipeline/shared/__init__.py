"""Searches that several processes and machines take part in: what is searched, who helps, and what they need.

It may import `compressor.pipeline.prepare` and all rooms of `compressor` below the pipeline.
"""

from __future__ import annotations

from compressor.pipeline.shared.joining import Joined, join
from compressor.pipeline.shared.sharing import Sharing

__all__ = ["Joined", "Sharing", "join"]
