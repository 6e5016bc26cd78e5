"""Probes: the tiny networks that are measured, and the plan of which ones to measure.

May import the rooms of networks, operators and files.
"""

from __future__ import annotations

from profiler.probes.blocks import draw_network
from profiler.probes.builder import weight_pool
from profiler.probes.context import chains, empty_probe, fans, parts, reshapes, rows_of_nothing, slow
from profiler.probes.pairs import SIZES, pattern_of, plan_pairs
from profiler.probes.plan import plan_probes, sweeps
from profiler.probes.probe import Probe

__all__ = [
    "SIZES",
    "Probe",
    "chains",
    "draw_network",
    "empty_probe",
    "fans",
    "parts",
    "pattern_of",
    "plan_pairs",
    "plan_probes",
    "reshapes",
    "rows_of_nothing",
    "slow",
    "sweeps",
    "weight_pool",
]
