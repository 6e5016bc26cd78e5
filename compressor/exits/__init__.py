"""Early exits: a network that answers easy inputs from its middle, in one `.tflite` with a signature per segment.

May import all other rooms of the compressor but testing.
"""

from __future__ import annotations

from compressor.exits.heads import ANSWER, HIDDEN, KINDS
from compressor.exits.making import CHECKPOINTS, ExitSegment, NetworkWithExits, make_exits
from compressor.exits.one_file import Part, join
from compressor.exits.training import JOINT, TrainedExits
from compressor.exits.writing import read_segments, run_segments

__all__ = [
    "ANSWER",
    "CHECKPOINTS",
    "HIDDEN",
    "JOINT",
    "KINDS",
    "ExitSegment",
    "NetworkWithExits",
    "Part",
    "TrainedExits",
    "join",
    "make_exits",
    "read_segments",
    "run_segments",
]
