"""A search turned into a policy: the chosen point as what is saved and runs, with front and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler.progress import ProgressCallback, silent
from selector.candidates import Answers
from selector.policies.base import PolicyFit, PolicyPoint, log_probabilities_of, table_point
from selector.policies.baselines import baselines
from selector.policies.goal import PolicyGoal
from selector.policies.replay import replay
from selector.policies.stages import NEVER, CascadeSearch, Point, SingleNetwork, choose, front
from selector.runtime import Specification, Stage

_REFINED = 3


def search_for(
    search: CascadeSearch, goal: PolicyGoal, progress: ProgressCallback = silent
) -> tuple[list[Point], Point]:
    """All points of a search, with more of them near the best one; and the best one."""
    points = search.run(progress)
    single = SingleNetwork(search.single_wrong, float(search.single_ms[search.single]))
    best = choose(points, goal, single)
    near = [best]
    for _ in range(_REFINED - 1):
        left = [one for one in points if one.chain not in [found.chain for found in near] or one.alone]
        if not left:
            break
        near.append(choose([*left, *(one for one in points if one.alone)], goal, single))
    points += search.refine([one for one in near if not one.alone])
    return points, choose(points, goal, single)


def as_fit(
    search: CascadeSearch,
    points: Sequence[Point],
    chosen: Point,
    goal: PolicyGoal,
    rows: Answers,
    row_weights: NDArray[np.float64] | None,
    device: str,
) -> PolicyFit:
    """The chosen point as a policy, with front and baselines where they are asked for, all seen on `rows`."""
    single_accuracy = 1 - search.single_wrong
    specification = specification_of(search, chosen, device)
    best = _table(search, chosen, rows, row_weights, single_accuracy)
    singles = rows.right[search.single]
    expected = {
        "accuracy": best.accuracy,
        "single_accuracy": float(np.average(singles, weights=row_weights)),
        **best.times(),
        "single_ms": float(search.single_ms[search.single]),
        "stop_shares": list(best.stop_shares),
        "rows": len(rows.y),
    }
    specification = replace(specification, expected=expected)
    if not search.settings.tables:
        return PolicyFit(specification, _paths(specification, rows), best)
    return PolicyFit(
        specification,
        _paths(specification, rows),
        best,
        tuple(_table(search, point, rows, row_weights, single_accuracy) for point in front(points)),
        baselines(
            rows,
            search.single,
            goal,
            single_ms=search.single_ms if search.segments else None,
            row_weights=row_weights,
        ),
    )


def _networks(search: CascadeSearch, point: Point) -> list[int]:
    """Networks that a policy needs: those of its chain, and the best single one (with all its segments)."""
    single = range(search.single + 1) if search.segments else [search.single]
    return sorted({*point.chain, *single})


def _paths(specification: Specification, rows: Answers) -> tuple[Path, ...]:
    """The file of each of a specification's networks."""
    known = {network.name: path for network, path in zip(rows.networks, rows.paths, strict=True)}
    if rows.detector is not None:
        known[rows.detector.network.name] = rows.detector.path
    return tuple(known[network.name] for network in specification.networks)


def specification_of(search: CascadeSearch, point: Point, device: str = "") -> Specification:
    """A point as what is saved and runs; nothing is said of what to expect."""
    answers = search.answers
    needed = _networks(search, point)
    detector = None if point.alone else answers.detector
    networks = [answers.networks[index] for index in needed]
    stages = []
    if detector is not None:
        own = _threshold(point.thresholds[0], len(detector.answers))
        stages = [Stage(len(needed), (1.0,), point.gate.confidence, own, answers=detector.answers)]
        networks.append(detector.network)
    heard = len(stages)
    for place, network in enumerate(point.chain):
        prefix = point.chain[: place + 1]
        last = place == len(point.chain) - 1
        weights = (*(0.0 for _ in prefix[1:]), 1.0) if point.alone else search.combiner.weights(prefix)
        only = None if heard or place or last or point.alone else search.settings.only
        threshold = None if last else _threshold(point.thresholds[place + heard], answers.classes, only)
        agree = point.gate.agree and place > 0 and not last
        stages.append(
            Stage(needed.index(network), (*[0.0] * heard, *weights), point.gate.confidence, threshold, agree)
        )
    return Specification(
        kind=search.kind,
        device=device,
        networks=tuple(networks),
        stages=tuple(stages),
        classes=answers.classes,
        single=needed.index(search.single),
        decide_ms=answers.decide_ms if len(stages) > 1 and not point.alone else 0.0,
    )


def _threshold(
    found: NDArray[np.float64], classes: int, only: tuple[int, ...] | None = None
) -> float | tuple[float, ...]:
    """A stage's threshold, or one for each class; never but for some classes where only these may stop."""
    if not found.ndim and only is None:
        return float(found)
    several = np.broadcast_to(found, max(classes, found.size))[:classes].copy()
    if only is not None:
        several[~np.isin(np.arange(classes), only)] = NEVER
    return tuple(several.tolist())


def _table(
    search: CascadeSearch,
    point: Point,
    rows: Answers,
    row_weights: NDArray[np.float64] | None,
    single_accuracy: float,
) -> PolicyPoint:
    specification = specification_of(search, point)
    seen = replay(specification, log_probabilities_of(specification, rows))
    name = " > ".join(specification.networks[stage.network].name for stage in specification.stages)
    return table_point(
        name, specification.kind, seen.named == rows.y, seen.ms, seen.longest_ms,
        row_weights=row_weights, stopped=seen.stopped, stages=len(specification.stages),
        expected_accuracy=single_accuracy - point.drop,
    )  # fmt: skip
