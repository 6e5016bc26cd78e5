"""A cascade as one `.tflite` file that decides by itself: members merged, gates of operators, later stages only where needed.

May import `selector.runtime` and `profiler.tflite`.
"""

from __future__ import annotations

from selector.one_file.checking import OneFile, write_one_file
from selector.one_file.merging import one_file

__all__ = ["OneFile", "one_file", "write_one_file"]
