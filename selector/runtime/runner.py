"""What kinds of policies have in common at run time, and which class runs which kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError
from selector.runtime.network import LoadedNetwork
from selector.runtime.signals import Block, Fed, Rows, Run
from selector.runtime.specification import Specification


@dataclass
class Trace:
    """What happened to each row.

    Attributes
    ----------
    stage
        Which stage answered [rows]; -1 where the single network did in place of the policy.
    network
        Which of the policy's networks ran last [rows].
    predicted_ms
        Predicted time of what ran, ms [rows].
    untrusted
        Where a stage gave NaN or infinity [rows].
    measured_ms
        Measured time, ms [rows]; None unless asked for.
    ran, network_ms
        Rows that each network ran on, and the time that it took for them all, ms (0 unless asked for) [networks]: each
        block counts by the median over its rows, so that what others do on the machine weighs little.
    around_ms
        Time of all rows that no network took, ms.
    """

    stage: NDArray[np.int64]
    network: NDArray[np.int64]
    predicted_ms: NDArray[np.float64]
    untrusted: NDArray[np.bool_]
    measured_ms: NDArray[np.float64] | None
    ran: NDArray[np.int64]
    network_ms: NDArray[np.float64]
    around_ms: float = 0.0

    @classmethod
    def of(cls, rows: int, networks: int, timed: bool = False) -> Trace:
        """Of rows that nothing happened to yet."""
        return cls(
            np.full(rows, -1),
            np.full(rows, -1),
            np.zeros(rows),
            np.zeros(rows, bool),
            np.zeros(rows) if timed else None,
            np.zeros(networks, np.int64),
            np.zeros(networks),
        )

    @classmethod
    def joined(cls, parts: Sequence[Trace]) -> Trace:
        """Traces of consecutive rows as one."""
        if len(parts) == 1:
            return parts[0]

        def all_of(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        return cls(
            all_of("stage"),
            all_of("network"),
            all_of("predicted_ms"),
            all_of("untrusted"),
            all_of("measured_ms"),
            np.sum([part.ran for part in parts], axis=0),
            np.sum([part.network_ms for part in parts], axis=0),
            sum(part.around_ms for part in parts),
        )

    def shares(self, stages: int) -> NDArray[np.float64]:
        """Share of the rows that each stage answered [stages]."""
        return np.bincount(self.stage[self.stage >= 0], minlength=stages) / max(1, len(self.stage))


class OneAnswer(NamedTuple):
    """What a single row got: outputs [1, ...], and the stage that answered."""

    outputs: NDArray[Any]
    stage: int


class PolicyRunner:
    """Runs one kind of policy. Subclasses implement `answer` and are registered with `runs`.

    Parameters
    ----------
    specification
        The policy as plain values.
    networks
        Its networks, ready to run.

    Examples
    --------
    A kind that always runs the last network::

        @runs("last")
        class LastRunner(PolicyRunner):
            def answer(self, block, trace):
                rows = np.arange(block.rows)
                trace.stage[:] = 0
                return self.run(len(self.networks) - 1, block, rows, trace).answer
    """

    remote: Callable[[Any], Any] | None = None
    """What runs `PolicyNetwork.remote` networks: ``remote(rows) -> outputs``; None where nothing does."""

    def __init__(self, specification: Specification, networks: Sequence[LoadedNetwork]) -> None:
        self.specification = specification
        self.networks = networks

    def answer(self, block: Block, trace: Trace) -> Any:
        """Answer the rows of a block [rows, ...] and note in `trace` what happened to each."""
        raise NotImplementedError

    def one_row(self) -> Callable[[NDArray[Any]], OneAnswer | None] | None:
        """A quicker way to answer a single row, if there is one; where it gives None, `answer` is asked."""
        return None

    def run(
        self,
        index: int,
        block: Block,
        rows: Rows,
        trace: Trace,
        fed: Fed | None = None,
        keep: Sequence[str] = (),
    ) -> Run:
        """Run one network on some rows and charge them its time."""
        found = self.networks[index].run(block, rows, fed, keep, trace.measured_ms is not None)
        trace.network[rows] = index
        trace.predicted_ms[rows] += self.specification.networks[index].predicted_ms
        trace.ran[index] += len(rows)
        if trace.measured_ms is not None and found.seconds is not None:
            trace.measured_ms[rows] += 1e3 * found.seconds
            trace.network_ms[index] += 1e3 * len(rows) * float(np.median(found.seconds)) if len(rows) else 0.0
        return found

    def single(self, block: Block, rows: Rows, trace: Trace) -> NDArray[Any]:
        """Answers of the best single network [rows, ...]; EdgetimeError where even that gives NaN or infinity."""
        index = self.specification.single
        chain = self.chain(index)
        found = self.run(chain[0], block, rows, trace, keep=self.feeds_of(chain, 1))
        for position, follows in enumerate(chain[1:], 1):
            fed = Fed(found.outputs, np.arange(len(rows)))
            found = self.run(follows, block, rows, trace, fed, self.feeds_of(chain, position + 1))
        bad = np.flatnonzero(~finite_rows(found.answer))
        if len(bad):
            raise EdgetimeError(
                f"{self.networks[index].file} answers row {block.first + int(rows[bad[0]])} with NaN or infinity, "
                "and there is no other network to ask: look at that row, or export the network again."
            )
        return found.answer

    def chain(self, index: int) -> list[int]:
        """The networks that must run for one network's answer: itself, and the segments before it that feed it."""
        if not self.specification.networks[index].feeds:
            return [index]
        order = [stage.network for stage in self.specification.stages]
        if index not in order:  # where all rows stop before it
            order = list(range(index + 1))
        last = order.index(index)
        begin = last
        while begin > 0 and self.specification.networks[order[begin]].feeds:
            begin -= 1
        return order[begin : last + 1]

    def feeds_of(self, order: Sequence[int], position: int) -> tuple[str, ...]:
        """What the network at a position of an order takes from the one before."""
        return self.specification.networks[order[position]].feeds if position < len(order) else ()


def finite_rows(outputs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows of outputs hold only finite numbers [rows]."""
    # One sum over all is quicker, and hardly ever is any of them not finite.
    if outputs.dtype.kind != "f" or np.isfinite(outputs.sum()):
        return np.ones(len(outputs), bool)
    return np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)


_RUNNERS: dict[str, type[PolicyRunner]] = {}


def runs(*kinds: str) -> Callable[[type[PolicyRunner]], type[PolicyRunner]]:
    """Register the class that runs policies of these kinds."""

    def register(runner: type[PolicyRunner]) -> type[PolicyRunner]:
        _RUNNERS.update(dict.fromkeys(kinds, runner))
        return runner

    return register


def runner_of(kind: str) -> type[PolicyRunner] | None:
    """The class that runs policies of a kind: registered here, or by an entry point of ``edgetime.runners``; None where unknown."""
    if kind not in _RUNNERS:
        import importlib.metadata  # only where it is needed: it takes longer than all else here

        for point in importlib.metadata.entry_points(group="edgetime.runners"):
            if point.name == kind:
                return runs(kind)(point.load())
    return _RUNNERS.get(kind)


def known_kinds() -> list[str]:
    """Kinds that are registered."""
    return sorted(_RUNNERS)
