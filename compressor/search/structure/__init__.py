"""``structure``: whole blocks first, then widths; candidates are ranked before they are trained.

Inside: which blocks go (`blocks`), filling what is left (`filling`), the method.
"""

from __future__ import annotations

from compressor.search.structure.blocks import structures_of, without_all
from compressor.search.structure.filling import Filled
from compressor.search.structure.method import StructureSearch

__all__ = ["Filled", "StructureSearch", "structures_of", "without_all"]
