"""The networks to choose from: their times on the device, and what they answer on rows with labels.

May import the room of runtime.
"""

from __future__ import annotations

from selector.candidates.accuracy import network_accuracy
from selector.candidates.answers import Answers, Detector
from selector.candidates.compressed import KnownAccuracies, compressed_accuracies
from selector.candidates.gathering import form_of, gather
from selector.candidates.limits import DeviceLimits
from selector.candidates.link import Link
from selector.candidates.option import (
    InputShape,
    NetworkOption,
    doubts,
    front,
    network_option,
    unknown_option,
)
from selector.candidates.segments import gather_segments, heads_ms

__all__ = [
    "Answers",
    "Detector",
    "DeviceLimits",
    "InputShape",
    "KnownAccuracies",
    "Link",
    "NetworkOption",
    "compressed_accuracies",
    "doubts",
    "form_of",
    "front",
    "gather",
    "gather_segments",
    "heads_ms",
    "network_accuracy",
    "network_option",
    "unknown_option",
]
