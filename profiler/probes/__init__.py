"""Probes: the tiny networks that are measured, and the plan of which ones to measure.

May import the rooms of networks, operators and files.
"""

from __future__ import annotations

from profiler.probes.blocks import draw_network
from profiler.probes.builder import build_probe, encode, lay_out, weight_pool
from profiler.probes.context import chains, empty_probe, fans, parts, reshapes, rows_of_nothing, slow
from profiler.probes.pairs import SIZES, pattern_of, plan_pairs
from profiler.probes.plan import DTYPES, draw_layer, operators, plan_probes, sweeps
from profiler.probes.probe import Probe

__all__ = [
    "DTYPES",
    "SIZES",
    "Probe",
    "build_probe",
    "chains",
    "draw_layer",
    "draw_network",
    "empty_probe",
    "encode",
    "fans",
    "lay_out",
    "operators",
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
