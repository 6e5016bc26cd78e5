"""Policies that use another machine: what is sent to a network there, and where one network is cut in two.

May import the files of `selector.policies`.
"""

from __future__ import annotations

from selector.policies.remote.edge_or_cloud import EdgeOrCloudPolicy
from selector.policies.remote.split_point import Split, SplitOption, best_split, save_split

__all__ = ["EdgeOrCloudPolicy", "Split", "SplitOption", "best_split", "save_split"]
