"""A layer as numbers: the readable features that its time can depend on.

Imports no other room of the time model.
"""

from timemodel.features.accelerator import UNITS as ACCELERATOR_UNITS
from timemodel.features.columns import ACTIVATION_CODES, COLUMNS, POSITION, geometry
from timemodel.features.families import family_of
from timemodel.features.kernels import AT_INPUT, LARGE, LEFT, READS_INPUT, kernel_of, kind_of, stand_ins
from timemodel.features.parallel import UNITS as PARALLEL_UNITS
from timemodel.features.parallel import parallel_family
from timemodel.features.table import CACHE, Family, Geometry

UNITS = {**PARALLEL_UNITS, **ACCELERATOR_UNITS}
"""How costs are reported that only some devices have."""

__all__ = [
    "ACTIVATION_CODES",
    "AT_INPUT",
    "CACHE",
    "COLUMNS",
    "LARGE",
    "LEFT",
    "POSITION",
    "READS_INPUT",
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
