"""A layer as numbers: the readable features that its time can depend on.

Imports no other room of the time model.
"""

from timemodel.features.columns import ACTIVATION_CODES, COLUMNS, POSITION, geometry
from timemodel.features.families import family_of
from timemodel.features.kernels import LARGE, kernel_of, kind_of, stand_ins
from timemodel.features.parallel import UNITS, parallel_family
from timemodel.features.table import CACHE, Family, Geometry

__all__ = [
    "ACTIVATION_CODES",
    "CACHE",
    "COLUMNS",
    "LARGE",
    "POSITION",
    "UNITS",
    "Family",
    "Geometry",
    "family_of",
    "geometry",
    "kernel_of",
    "kind_of",
    "parallel_family",
    "stand_ins",
]
