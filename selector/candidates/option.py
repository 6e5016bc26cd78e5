"""One network to choose from, and what the time model of a device says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import UsageError
from profiler.network import Network
from profiler.tradeoff import pareto_front
from timemodel.model import NetworkPredictor

InputShape = Sequence[int] | Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class NetworkOption:
    """One network to choose from: its file, its predicted time with the interval that bounds 90% of networks, its sizes.

    `coverage` is the share of `predicted_ms` from operators that the time model has measured, `uncovered` are the others;
    `at_least` is whether the time of an operator that nobody knows is left out. `accuracy` (or what `Data.metric` gives) is None
    where the network was not run, `energy_mj` where the device's is not known.
    `left` are operators that an accelerator leaves to the CPU and whose time is left out, `why_unknown` says what is not known, and
    why.
    """

    path: Path
    predicted_ms: float
    low_ms: float
    high_ms: float
    coverage: float = 1.0
    uncovered: tuple[str, ...] = ()
    dtype: str = "float32"
    file_bytes: int = 0
    peak_memory_bytes: int = 0
    accuracy: float | None = None
    energy_mj: float | None = None
    at_least: bool = False
    left: tuple[str, ...] = ()
    why_unknown: str = ""

    def fits(self, budget_ms: float | None) -> bool:
        """Whether its predicted time is within the budget."""
        return budget_ms is None or self.predicted_ms <= budget_ms

    def crosses(self, budget_ms: float | None) -> bool:
        """Whether the interval lies on both sides of the budget, so that only measuring tells if it fits."""
        return budget_ms is not None and self.low_ms <= budget_ms < self.high_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the path as it stands."""
        fields = {**asdict(self), "uncovered": list(self.uncovered), "left": list(self.left)}
        fields["high_ms"] = None if self.at_least else self.high_ms
        return {"network": str(fields.pop("path")), **fields}


def network_option(
    model: NetworkPredictor, path: Path, network: Network, accuracy: float | None = None
) -> NetworkOption:
    """What `model` says of a network that was read from `path`; UsageError where it knows the time of no part of it."""
    prediction = model.predict(network)
    if not prediction.whole:
        raise UsageError(f"The time of {path} is not known on {prediction.device}: {prediction.not_known}.")
    return NetworkOption(
        path=path,
        predicted_ms=prediction.predicted_ms,
        low_ms=prediction.low_ms,
        high_ms=prediction.high_ms,
        coverage=prediction.coverage,
        uncovered=tuple(prediction.uncovered),
        dtype=prediction.dtype,
        file_bytes=network.file_bytes,
        peak_memory_bytes=prediction.peak_memory_bytes,
        accuracy=accuracy,
        energy_mj=prediction.energy_mj,
        at_least=prediction.at_least,
        left=tuple(dict.fromkeys(layer.op for layer in prediction.layers if layer.left and not layer.known)),
        why_unknown=prediction.not_known,
    )


def unknown_option(path: Path, network: Network, why: str) -> NetworkOption:
    """A network of which a device knows nothing: it takes at least 0 ms there."""
    return NetworkOption(
        path,
        predicted_ms=0.0,
        low_ms=0.0,
        high_ms=0.0,
        coverage=0.0,
        uncovered=tuple(sorted({layer.op for layer in network.layers})),
        dtype=network.dtype,
        file_bytes=network.file_bytes,
        at_least=True,
        why_unknown=why.rstrip("."),
    )


def front(candidates: Sequence[NetworkOption]) -> list[bool]:
    """Mark the candidates that no other one beats in both predicted time and accuracy; where any is unknown, in time alone.

    What takes *at least* its predicted time neither is on the front nor beats another one.
    """
    whole = [candidate for candidate in candidates if not candidate.at_least]
    known = all(candidate.accuracy is not None for candidate in whole)
    marks = iter(
        pareto_front(
            [candidate.predicted_ms for candidate in whole],
            [candidate.accuracy if known and candidate.accuracy is not None else 0.0 for candidate in whole],
        )
    )
    return [not candidate.at_least and next(marks) for candidate in candidates]


def doubts(candidates: Sequence[NetworkOption], where: str = "on this device") -> list[str]:
    """What is to be said of times that are estimated or not whole; networks that lack the same operators in one sentence."""
    alike: dict[tuple[bool, tuple[str, ...]], list[NetworkOption]] = {}
    for candidate in candidates:
        operators = tuple(op for op in candidate.uncovered if op not in candidate.left)
        if operators or (candidate.at_least and not candidate.left):
            alike.setdefault((candidate.at_least, operators), []).append(candidate)
    found = []
    left = sorted({op for candidate in candidates for op in candidate.left})
    if left:
        found.append(
            f"{', '.join(left)} {where} are left to the CPU and their time is left out: profile with "
            "?cpu=CPU.timemodel.json to add it."
        )
    for (at_least, operators), some in alike.items():
        worst = min(some, key=lambda candidate: candidate.coverage)
        others = f" and {len(some) - 1} more" if len(some) > 1 else ""
        if at_least:
            why = f": {worst.why_unknown}" if worst.why_unknown else ""
            found.append(
                f"{worst.path}{others} takes at least what is predicted, and is not recommended{why}."
            )
        else:
            share = f"{100 * (1 - worst.coverage):.1f}%"
            found.append(
                f"{worst.path}{others}: {', '.join(operators)} not measured {where} in its number type, so only estimated "
                f"({'at most ' if others else ''}{share} of the predicted time)."
            )
    return found
