"""Axes whose size may change, and the words in which an operator says what it does to them.

May import `profiler.network`. `profiler.operators` has the rules; `profiler.widths` applies them to a network.
"""

from __future__ import annotations

from profiler.axes.layer_step import Analysis, LayerStep, Rule
from profiler.axes.rules import joined, keep_axes, keep_channels, reshape_axes
from profiler.axes.variables import Size, scaled

__all__ = [
    "Analysis",
    "LayerStep",
    "Rule",
    "Size",
    "joined",
    "keep_axes",
    "keep_channels",
    "reshape_axes",
    "scaled",
]
