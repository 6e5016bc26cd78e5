"""`compress`: from a trained Keras model and a time model to a faster network, proven by running it.

May import all other rooms of the compressor.
"""

from __future__ import annotations

from compressor.pipeline.compression import compress

__all__ = ["compress"]
