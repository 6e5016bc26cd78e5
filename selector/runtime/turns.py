"""Running a policy and its best single network in turns, so that a machine whose speed drifts slows both alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selector.runtime.policy import LoadedPolicy
from selector.runtime.runner import Trace

TURN_MS = 50.0
"""About how long one turn takes."""

MOST_ROUNDS = 9
_TURN_ROWS = 16, 1024
_PERCENTILES = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99}


class InTurns(NamedTuple):
    """What came of rows, and how long they took.

    `outputs` and `single_outputs` are as the policy and its best single network gave them, `trace` is of the first round;
    `policy_ms` and `single_ms` [rows], `network_ms` [networks] (the mean time of one run of each) and `around_ms` (time of an
    input that no network took) are medians over `rounds`.
    """

    outputs: Any
    single_outputs: Any
    trace: Trace
    policy_ms: NDArray[np.float64]
    single_ms: NDArray[np.float64]
    network_ms: NDArray[np.float64]
    around_ms: float
    rounds: int

    def summary(self, policy: LoadedPolicy) -> dict[str, Any]:
        """As plain JSON values: times of the policy, its stages, and the single network, predicted and measured."""
        trace, known = self.trace, policy.specification
        order = [stage.network for stage in known.stages] or sorted({*trace.network.tolist()} - {-1})
        rows = len(trace.stage)
        answered = trace.shares(len(order))
        stages = [
            {
                "network": known.networks[index].name,
                "answered": float(answered[position])
                if known.stages
                else float((trace.network == index).mean()),
                "ran": float(trace.ran[index] / rows),
                "predicted_ms": known.networks[index].predicted_ms,
                "measured_ms": float(self.network_ms[index]) if trace.ran[index] else None,
            }
            for position, index in enumerate(order)
        ]
        drift = policy.drift
        return {
            "kind": known.kind,
            "rows": rows,
            "rounds": self.rounds,
            "measured": _times(self.policy_ms),
            "predicted": _times(trace.predicted_ms),
            "single": {
                "network": known.networks[known.single].name,
                "measured": _times(self.single_ms),
                "predicted_ms": float(
                    sum(known.networks[one].predicted_ms for one in policy.runner.chain(known.single))
                ),
            },
            "stages": stages,
            "around_networks_us": 1e3 * self.around_ms,
            "untrusted_rows": int(trace.untrusted.sum()),
            "single_rows": int((trace.stage < 0).sum()),
            "drift": None
            if drift is None
            else {
                "changed": drift.changed,
                "evidence": float(min(drift.evidence, 1e300)),
                "stops": list(drift.stops),
            },
        }


def run_in_turns(
    policy: LoadedPolicy,
    x: Any,
    seconds: float = 2.0,
    progress: Callable[[float, str], None] = lambda done, note: None,
) -> InTurns:
    """Answer rows once, and measure further rounds over them for about `seconds` in all, at most 9.

    `x` are rows [rows, ...], or rows by name of each input. Only the first round counts for drift.
    """
    step = _rows_of_a_turn(policy, x)
    rows = len(next(iter(x.values()))) if isinstance(x, Mapping) else len(x)
    parts = [_part(x, start, step) for start in range(0, rows, step)]
    first: tuple[list[Any], list[Any]] = [], []
    traces: list[Trace] = []
    rounds: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = [], []
    inside: list[NDArray[np.float64]] = []
    outside: list[float] = []
    begin = time.perf_counter()
    enabled = gc.isenabled()
    gc.disable()
    try:
        while not inside or (time.perf_counter() - begin < seconds and len(inside) < MOST_ROUNDS):
            took: tuple[list[Any], list[Any]] = [], []
            spent = np.zeros((2, len(policy.specification.networks)))
            around = 0.0
            for turn, part in enumerate(parts):
                for alone in (False, True) if (turn + len(inside)) % 2 else (True, False):
                    out = policy.single(part, True) if alone else policy(part, True, watch=not inside)
                    took[alone].append(policy.trace.measured_ms)
                    if not alone:
                        spent += policy.trace.network_ms, policy.trace.ran
                        around += policy.trace.around_ms
                    if not inside:
                        first[alone].append(out)
                    if not inside and not alone:
                        traces.append(policy.trace)
                progress(min(1.0, (len(inside) + (turn + 1) / len(parts)) / MOST_ROUNDS), "measuring")
            for alone in (False, True):
                rounds[alone].append(np.concatenate(took[alone]))
            inside.append(spent)
            outside.append(around / rows)
    finally:
        if enabled:
            gc.enable()
    return InTurns(
        _joined(first[0]),
        _joined(first[1]),
        Trace.joined(traces),
        np.median(rounds[0], axis=0),
        np.median(rounds[1], axis=0),
        np.median([spent[0] / np.maximum(spent[1], 1) for spent in inside], axis=0),
        float(np.median(outside)),
        len(inside),
    )


def _rows_of_a_turn(policy: LoadedPolicy, x: Any) -> int:
    """So many that the single network takes about `TURN_MS` for them; both are warm after this."""
    least, most = _TURN_ROWS
    part = _part(x, 0, least)
    policy(part, timed=True, watch=False)
    policy.single(part, timed=True)
    assert policy.trace.measured_ms is not None
    return int(min(most, max(least, TURN_MS / max(float(np.median(policy.trace.measured_ms)), 1e-6))))


def _part(x: Any, start: int, count: int) -> Any:
    if isinstance(x, Mapping):
        return {name: rows[start : start + count] for name, rows in x.items()}
    return x[start : start + count]


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], Mapping):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def _times(ms: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(ms, list(_PERCENTILES.values()))
    return {"mean_ms": float(ms.mean()), **dict(zip(_PERCENTILES, found.tolist()))}  # noqa: B905 (Python 3.9)
