"""Measuring probes and whole networks on a target, and the profile that keeps it.

May import all other rooms of the profiler but its suites.
"""

from __future__ import annotations

from profiler.measurement.bundle import BundleSummary, ImportSummary, import_results, write_bundle
from profiler.measurement.circumstances import note_on_threads
from profiler.measurement.combining import ProbeTime, Reading, Timing, combine
from profiler.measurement.events import DELEGATED, OPERATOR, Event, align
from profiler.measurement.in_turns import PairMeasurement, measure_pair
from profiler.measurement.next_probes import INTERVAL_PER_ERROR, Events, NextProbes
from profiler.measurement.power import PowerReading, PowerWindow
from profiler.measurement.profiling import profile
from profiler.measurement.sensitivity import kind_of_work
from profiler.measurement.store import IDENTITY, Profile
from profiler.measurement.summary import ProfileSummary
from profiler.measurement.whole_network import Measurement, measure_network

__all__ = [
    "DELEGATED",
    "IDENTITY",
    "INTERVAL_PER_ERROR",
    "OPERATOR",
    "BundleSummary",
    "Event",
    "Events",
    "ImportSummary",
    "Measurement",
    "NextProbes",
    "PairMeasurement",
    "PowerReading",
    "PowerWindow",
    "ProbeTime",
    "Profile",
    "ProfileSummary",
    "Reading",
    "Timing",
    "align",
    "combine",
    "import_results",
    "kind_of_work",
    "measure_network",
    "measure_pair",
    "note_on_threads",
    "profile",
    "write_bundle",
]
