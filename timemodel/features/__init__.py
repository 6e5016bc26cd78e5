"""A layer as numbers: the readable features that its time can depend on.

Imports no other room of the time model.
"""

from __future__ import annotations

from timemodel.features.columns import ACTIVATION_CODES, COLUMNS, POSITION, geometry
from timemodel.features.families import Family, Geometry, family_of, tiled
from timemodel.features.kernels import SAME_TYPE, SAME_WORK, kernel_of, stand_ins
from timemodel.features.parallel import UNITS, parallel_family
from timemodel.features.prepared import NO_WORK, Prepared, kind_of, members, prepare, split_kind, unpack
from timemodel.features.runs import shared_run
from timemodel.features.table import CACHE

__all__ = [
    "ACTIVATION_CODES",
    "CACHE",
    "COLUMNS",
    "NO_WORK",
    "POSITION",
    "SAME_TYPE",
    "SAME_WORK",
    "UNITS",
    "Family",
    "Geometry",
    "Prepared",
    "family_of",
    "geometry",
    "kernel_of",
    "kind_of",
    "members",
    "parallel_family",
    "prepare",
    "shared_run",
    "split_kind",
    "stand_ins",
    "tiled",
    "unpack",
]
