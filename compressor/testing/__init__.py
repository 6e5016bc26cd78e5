"""What a new search method or layer rule is checked with, and what the tests of this package are made of."""

from __future__ import annotations

from compressor.testing.law import check_rule
from compressor.testing.methods import check_method

__all__ = ["check_method", "check_rule"]
