"""`TimeTreeRegressor`: readable splits with non-negative linear leaves, fitted to relative error.

Imports no other room.
"""

from timemodel.tree import nonnegative
from timemodel.tree.compiled import BLOCK_ROWS, TreeNode
from timemodel.tree.refitting import refit
from timemodel.tree.regressor import TimeTreeRegressor

__all__ = ["BLOCK_ROWS", "TimeTreeRegressor", "TreeNode", "nonnegative", "refit"]
