"""Probes: the tiny networks that are measured, and the plan of which ones to measure.

May import the rooms of networks, operators and files.
"""

from __future__ import annotations

from profiler.probes.blocks import draw_network
from profiler.probes.builder import weight_pool
from profiler.probes.company import in_company, plan_company
from profiler.probes.context import empty_probe
from profiler.probes.few import plan_few
from profiler.probes.plan import ALONGSIDE, plan_probes
from profiler.probes.probe import Probe

__all__ = [
    "ALONGSIDE",
    "Probe",
    "draw_network",
    "empty_probe",
    "in_company",
    "plan_company",
    "plan_few",
    "plan_probes",
    "weight_pool",
]
