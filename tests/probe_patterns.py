"""Which pattern a pair probe shows."""

from __future__ import annotations

from profiler.probes import Probe


def pattern_of(probe: Probe) -> str:
    """The pattern, empty where there is none or more than one."""
    found = probe.network.fusion_matches
    return found[0].pattern if len(found) == 1 else ""
