"""What a board needs to run a policy: numpy and LiteRT, nothing else.

Imports nothing but `profiler.errors` and `profiler.files`. Each kind of policy is one file with a class that `runs` registers.
"""

from __future__ import annotations

from selector.runtime import cascade, edge_or_cloud, premodel, static
from selector.runtime.board import arrays_of, pack, unpack
from selector.runtime.confidence import confidence, log_probabilities, log_softmax
from selector.runtime.drift import Drift
from selector.runtime.files import digest, find_policy, packed, read_policy, save_policy
from selector.runtime.network import LoadedNetwork, make_interpreter
from selector.runtime.policy import LoadedPolicy, load_policy
from selector.runtime.runner import PolicyRunner, Trace, finite_rows, runs
from selector.runtime.signals import Block, Fed, Rows, Run
from selector.runtime.specification import PolicyNetwork, Specification, Stage
from selector.runtime.turns import InTurns, run_in_turns

__all__ = [
    "Block",
    "Drift",
    "Fed",
    "InTurns",
    "LoadedNetwork",
    "LoadedPolicy",
    "PolicyNetwork",
    "PolicyRunner",
    "Rows",
    "Run",
    "Specification",
    "Stage",
    "Trace",
    "arrays_of",
    "cascade",
    "confidence",
    "digest",
    "edge_or_cloud",
    "find_policy",
    "finite_rows",
    "load_policy",
    "log_probabilities",
    "log_softmax",
    "make_interpreter",
    "pack",
    "packed",
    "premodel",
    "read_policy",
    "run_in_turns",
    "runs",
    "save_policy",
    "static",
    "unpack",
]
