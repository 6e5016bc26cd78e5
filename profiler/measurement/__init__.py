"""Measuring probes and whole networks on a target, and the profile that keeps it.

May import all other rooms of the profiler.
"""

from __future__ import annotations

from profiler.measurement.bundle import cut_out, import_results, write_bundle
from profiler.measurement.combining import ProbeTime, Timing, combine, drift
from profiler.measurement.events import (
    DELEGATED,
    OPERATOR,
    RUN_ENDS,
    Event,
    align,
    layer_times_us,
    operator_times,
    scale_to_total,
)
from profiler.measurement.next_probes import INTERVAL_PER_ERROR, Advice, Events
from profiler.measurement.observing import LOOKS, batches, joined, look, observe, told_apart, worth_a_look
from profiler.measurement.profiling import ProfileSummary, empty_probe, profile
from profiler.measurement.store import APPLICATION_ID, IDENTITY, SCHEMA_VERSION, Profile
from profiler.measurement.whole_network import Measurement, measure_network, read_events, time_alone_us

__all__ = [
    "APPLICATION_ID",
    "DELEGATED",
    "IDENTITY",
    "INTERVAL_PER_ERROR",
    "LOOKS",
    "OPERATOR",
    "RUN_ENDS",
    "SCHEMA_VERSION",
    "Advice",
    "Event",
    "Events",
    "Measurement",
    "ProbeTime",
    "Profile",
    "ProfileSummary",
    "Timing",
    "align",
    "batches",
    "combine",
    "cut_out",
    "drift",
    "empty_probe",
    "import_results",
    "joined",
    "layer_times_us",
    "look",
    "measure_network",
    "observe",
    "operator_times",
    "profile",
    "read_events",
    "scale_to_total",
    "time_alone_us",
    "told_apart",
    "worth_a_look",
    "write_bundle",
]
