"""What a new search method, layer rule or change of networks is checked with, and what the tests of this package are made of."""

from __future__ import annotations

from compressor.testing.law import check_change, check_rule
from compressor.testing.methods import check_method

__all__ = ["check_change", "check_method", "check_rule"]
