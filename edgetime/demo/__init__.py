"""``edgetime demo``: the whole story on this machine."""

from __future__ import annotations

from edgetime.demo.stages import Stages
from edgetime.demo.story import TEST_FILES, Demo
from edgetime.demo.task import WIDTHS, load_digits, train_network

__all__ = ["TEST_FILES", "WIDTHS", "Demo", "Stages", "load_digits", "train_network"]
