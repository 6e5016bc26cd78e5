"""Running policies that use another machine: a cascade whose last network runs there, or one network cut in two.

The other machine is a function of yours: ``remote(rows) -> outputs``. It gets what the remote network takes (an array of rows,
or a mapping from names to arrays where there are several inputs) and gives its outputs [rows, ...]. Where it raises OSError,
as broken connections do, or where none was given, this machine answers alone.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError, EdgetimeWarning
from selector.runtime.cascade import CascadeRunner
from selector.runtime.network import Block, Fed, LoadedNetwork, Rows, Run
from selector.runtime.runner import PolicyRunner, Trace, runs
from selector.runtime.specification import PolicyNetwork, Specification


class _AwayError(Exception):
    """The other machine does not answer."""


class _RemoteRunner(PolicyRunner):
    """What both ways have in common: asking the other machine, and saying once where it is away."""

    alone = ""
    """What happens then, for the warning."""

    def __init__(self, specification: Specification, networks: Sequence[LoadedNetwork]) -> None:
        super().__init__(specification, networks)
        self._away = False
        self._said: set[str] = set()

    def begin(self) -> None:
        """Of each block the other machine is asked anew."""
        self._away = self.remote is None
        if self._away:
            self._say("No remote was given to load_policy")

    def ask(self, index: int, inputs: dict[str, NDArray[Any]], rows: Rows, trace: Trace) -> Run:
        """Send rows to the other machine and charge them its time; _AwayError where it does not answer."""
        known: PolicyNetwork = self.specification.networks[index]
        if self.remote is None or self._away:
            raise _AwayError
        begin = time.perf_counter()
        try:
            outputs = np.asarray(self.remote(next(iter(inputs.values())) if len(inputs) == 1 else inputs))
        except OSError as error:
            self._away = True
            self._say(f"The other machine does not answer ({error})")
            raise _AwayError from error
        if outputs.shape[:1] != (len(rows),) or outputs.dtype.kind not in "fiu":
            raise EdgetimeError(
                f"The remote gave {outputs.dtype} of shape {outputs.shape} for {len(rows)} rows: it must give the outputs "
                f"of {known.name}, one for each row."
            )
        trace.network[rows] = index
        trace.predicted_ms[rows] += known.predicted_ms
        trace.ran[index] += len(rows)
        seconds = np.full(len(rows), (time.perf_counter() - begin) / len(rows))
        if trace.measured_ms is not None:
            trace.measured_ms[rows] += 1e3 * seconds
            trace.network_ms[index] += 1e3 * float(seconds.sum())
        return Run(outputs, {}, seconds)

    def _say(self, reason: str) -> None:
        """Warn once of each reason."""
        if reason not in self._said:
            self._said.add(reason)
            warnings.warn(f"{reason}: {self.alone}.", EdgetimeWarning, stacklevel=6)


@runs("edge_or_cloud")
class EdgeOrCloudRunner(_RemoteRunner, CascadeRunner):
    """A cascade whose last network runs elsewhere.

    Where that cannot be reached, rows that would be sent stop with what is known by then; the trace counts them to the stage
    that should have answered them.
    """

    alone = "what would be sent is answered by the networks here"

    def answer(self, block: Block, trace: Trace) -> NDArray[np.float32]:
        """Answer as a cascade."""
        self.begin()
        return super().answer(block, trace)

    def run(
        self,
        index: int,
        block: Block,
        rows: Rows,
        trace: Trace,
        fed: Fed | None = None,
        keep: Sequence[str] = (),
    ) -> Run:
        """Run one network here, or let the other machine run it."""
        if not self.specification.networks[index].remote:
            return super().run(index, block, rows, trace, fed, keep)
        try:
            found = self.ask(index, {name: x[rows] for name, x in block.inputs.items()}, rows, trace)
        except _AwayError:
            if len(self.specification.stages) == 1:  # nothing here has run yet
                return super().run(self.specification.single, block, rows, trace)
            return Run(np.zeros((len(rows), self.specification.classes), np.float32), {}, None)
        if found.answer.shape != (len(rows), self.specification.classes):
            raise EdgetimeError(
                f"The remote gave outputs of shape {found.answer.shape}: {self.specification.networks[index].name} "
                f"answers {self.specification.classes} classes."
            )
        return found

    def combined(self, position: int, before: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Without the other machine a row's answer is that of the stage before."""
        stage = self.specification.stages[position]
        if self._away and position and self.specification.networks[stage.network].remote:
            return self.combined(position - 1, before[:-1])
        return super().combined(position, before)


@runs("split")
class SplitRunner(_RemoteRunner):
    """One network cut in two: its head runs here, its tail there."""

    alone = "both parts of the network run here"

    def __init__(self, specification: Specification, networks: Sequence[LoadedNetwork]) -> None:
        super().__init__(specification, networks)
        if len(specification.networks) != 2 or not specification.networks[1].feeds:
            raise ValueError("it is no network in two parts")

    def answer(self, block: Block, trace: Trace) -> NDArray[Any]:
        """Outputs of the tail [rows, ...]."""
        self.begin()
        return self._both(block, np.arange(block.rows), trace)

    def single(self, block: Block, rows: Rows, trace: Trace) -> NDArray[Any]:
        """The whole network: there is no other."""
        return self._both(block, rows, trace)

    def _both(self, block: Block, rows: Rows, trace: Trace) -> NDArray[Any]:
        feeds = self.specification.networks[1].feeds
        found = self.run(0, block, rows, trace, keep=feeds)
        trace.stage[rows] = 0
        sent = {name: values for name, (values, _) in found.outputs.items() if name in feeds}
        try:
            return self.ask(1, sent, rows, trace).answer
        except _AwayError:
            return self.run(1, block, rows, trace, Fed(found.outputs, np.arange(len(rows)))).answer
