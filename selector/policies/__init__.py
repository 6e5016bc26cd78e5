"""Policies that say which network runs: chosen once per device, or anew for every input.

May import the rooms of candidates and runtime. Each policy is one file that fits it; what it does at run time is in `runtime`.
"""

from __future__ import annotations

from selector.policies.base import Policy, PolicyFit, PolicyPoint, table_point
from selector.policies.baselines import baselines, best_of_type
from selector.policies.cascade import CascadePolicy, EarlyExitPolicy, fit_cascade, fit_with_promise
from selector.policies.goal import PolicyGoal
from selector.policies.hierarchical import HierarchicalPolicy, class_weights
from selector.policies.premodel import PremodelPolicy, PremodelSettings, fit_premodel
from selector.policies.promise import halves, passed_in_sequence, shown
from selector.policies.registry import POLICIES, get_policy, policy_names, register_policy
from selector.policies.remote import EdgeOrCloudPolicy, Split, SplitOption, best_split, save_split
from selector.policies.replay import Replay, replay
from selector.policies.stages import Gate, SearchSettings

__all__ = [
    "POLICIES",
    "CascadePolicy",
    "EarlyExitPolicy",
    "EdgeOrCloudPolicy",
    "Gate",
    "HierarchicalPolicy",
    "Policy",
    "PolicyFit",
    "PolicyGoal",
    "PolicyPoint",
    "PremodelPolicy",
    "PremodelSettings",
    "Replay",
    "SearchSettings",
    "Split",
    "SplitOption",
    "baselines",
    "best_of_type",
    "best_split",
    "class_weights",
    "fit_cascade",
    "fit_premodel",
    "fit_with_promise",
    "get_policy",
    "halves",
    "passed_in_sequence",
    "policy_names",
    "register_policy",
    "replay",
    "save_split",
    "shown",
    "table_point",
]
