"""What verbs share: progress, tables, options, failures in one sentence."""

from __future__ import annotations

from edgetime.terminal import failures, microcontroller, options, views
from edgetime.terminal.batches import Answer, each_network, end_of_batch
from edgetime.terminal.console import Terminal, table
from edgetime.terminal.failures import StoppedError, keeping
from edgetime.terminal.outputs import keeping_inputs

__all__ = [
    "Answer",
    "StoppedError",
    "Terminal",
    "each_network",
    "end_of_batch",
    "failures",
    "keeping",
    "keeping_inputs",
    "microcontroller",
    "options",
    "table",
    "views",
]
