"""`TimeTreeRegressor`: readable splits with non-negative linear leaves, fitted to relative error.

Imports no other room.
"""

from __future__ import annotations

from timemodel.tree import nonnegative
from timemodel.tree.compiled import BLOCK_ROWS, CompiledTree
from timemodel.tree.refitting import refit
from timemodel.tree.regressor import Node, TimeTreeRegressor

__all__ = ["BLOCK_ROWS", "CompiledTree", "Node", "TimeTreeRegressor", "nonnegative", "refit"]
