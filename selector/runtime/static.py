"""Running the one network that a device was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.one_row import one_network
from selector.runtime.runner import OneAnswer, PolicyRunner, Trace, runs
from selector.runtime.signals import Block


@runs("static")
class StaticRunner(PolicyRunner):
    """Always the same network; its outputs are given as they are, of several outputs a mapping by name."""

    def answer(self, block: Block, trace: Trace) -> Any:
        """Answer with the single network."""
        network = self.networks[self.specification.single]
        rows = np.arange(block.rows)
        trace.stage[:] = 0
        if len(network.outputs) == 1 or network.known.answer:
            return self.single(block, rows, trace)
        found = self.run(self.specification.single, block, rows, trace, keep=list(network.outputs))
        return {name: signal.real(values) for name, (values, signal) in found.outputs.items()}

    def one_row(self) -> Callable[[NDArray[Any]], OneAnswer | None] | None:
        """Answer with the single network, if it has one output."""
        network = self.networks[self.specification.single]
        return one_network(network) if len(network.outputs) == 1 else None
