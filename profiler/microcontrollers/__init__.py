"""What a network needs on a microcontroller that runs it with TFLite Micro: arena, flash, and what is missing there.

May import `profiler.tflite` and what stands below it.
"""

from __future__ import annotations

from profiler.microcontrollers.footprint import MicroFootprint, micro_footprint
from profiler.microcontrollers.interpreter import MeasuredArena, installed, measure_arena
from profiler.microcontrollers.kernels import KERNELS, VERSION

__all__ = [
    "KERNELS",
    "VERSION",
    "MeasuredArena",
    "MicroFootprint",
    "installed",
    "measure_arena",
    "micro_footprint",
]
