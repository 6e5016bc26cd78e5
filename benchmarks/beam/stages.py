"""The stages of the benchmark for one kind of network, trained from several seeds; each is kept, and done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beam.turns import MeasuredPolicy, measure
from profiler.records import Records
from selector.sequence import (
    LoadedSequencePolicy,
    RememberingDecoder,
    WidthPolicy,
    load_sequence_policy,
)
from selector.sequence_tuning import (
    Evaluated,
    Quality,
    SequenceCosts,
    TunedPoint,
    cheapest,
    evaluate,
    measured_costs,
    read_pairs,
    tune_widths,
)

KINDS = ("threshold", "entropy", "deviation", "learned")
_COSTS_FROM = 50

Say = Callable[[str], None]


@dataclass(frozen=True)
class Group:
    """A network as it was trained from some seeds, with the lines that policies are chosen and judged on.

    Parameters
    ----------
    name
        Such as ``multi30k-gru-float32``.
    policies
        By seed.
    metric
        One of `selector.sequence_tuning.METRICS`.
    dev, test
        Sources and references.
    work
        Folder of what is kept.
    """

    name: str
    policies: Mapping[int, LoadedSequencePolicy]
    metric: str
    dev: tuple[list[str], list[str]]
    test: tuple[list[str], list[str]]
    work: Path

    def kept(self, stage: str, **depends: Any) -> Records:
        """Records of a stage that hold while networks and lines, and what is named, stay the same."""
        digests = {
            str(seed): hashlib.sha256(one.network.file.read_bytes()).hexdigest()
            for seed, one in self.policies.items()
            if depends.get("seed", seed) == seed
        }
        lines = hashlib.sha256(json.dumps([self.dev, self.test]).encode()).hexdigest()
        return Records(
            self.work / f"{self.name}.{stage}.jsonl", {"networks": digests, "lines": lines, **depends}
        )


def group(work: Path, name: str, seeds: Sequence[int], most: int | None) -> Group | None:
    """The exported networks ``CORPUS-NETWORK-SEED-DTYPE.json`` of a group that are there; None where none is."""
    corpus, network, dtype = name.split("-")
    files = {seed: work / f"{corpus}-{network}-{seed}-{dtype}.json" for seed in seeds}
    policies = {seed: load_sequence_policy(file) for seed, file in files.items() if file.exists()}
    if not policies:
        return None
    dev, test = (
        tuple(side[:most] for side in read_pairs(work / f"{corpus}.{part}.tsv")) for part in ("dev", "test")
    )
    metric = "exact" if corpus == "numerals" else "bleu"
    return Group(name, policies, metric, dev, test, work / "beam")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Chosen:
    """What tuning chose: the best fixed width, policies by name, and what each of them reached on development data."""

    best: str
    policies: Mapping[str, WidthPolicy]
    dev_quality: Mapping[str, float]
    dev_decoder_ms: Mapping[str, float]
    trials: int


def choose(group: Group, widest: int, trials: int, minutes: float, worst_drop: float, say: Say) -> Chosen:
    """Tune on development lines, all seeds together; of each kind the cheapest that surely loses no more than `worst_drop`."""
    records = group.kept("tuned", widest=widest, trials=trials, worst_drop=worst_drop)
    known = records.read()
    if not known:
        networks = list(group.policies.values())
        costs = [
            measured_costs(one, [one.tokens(line) for line in group.dev[0][:_COSTS_FROM]]) for one in networks
        ]
        found = tune_widths(
            networks[0],
            *group.dev,
            costs[0],
            also=list(zip(networks[1:], costs[1:], strict=True)),
            metric=group.metric,
            trials=trials,
            minutes=minutes,
            widest=min(widest, networks[0].network.palette[-1]),
            worst_drop=worst_drop,
            progress=lambda share, note: say(f"  {group.name} {share:4.0%} {note}"),
        )
        known = [{**found.to_dict(), "costs": [asdict(one) for one in costs]}]
        records.append(known[0])
    points = [TunedPoint.from_dict(one) for one in known[0]["points"]]
    best = TunedPoint.from_dict(known[0]["fixed"]).widths.most
    chosen = {f"fixed {point.widths.most}": point for point in points if point.widths.kind == "fixed"}
    for kind in KINDS:
        good = [point for point in points if point.widths.kind == kind and point.gap[1] >= -worst_drop]
        if good:
            chosen[kind] = cheapest(good, worst_drop=worst_drop)
    return Chosen(
        f"fixed {best}",
        {name: point.widths for name, point in sorted(chosen.items(), key=_order)},
        {name: point.quality for name, point in chosen.items()},
        {name: point.decoder_ms for name, point in chosen.items()},
        known[0]["trials"],
    )


def _order(item: tuple[str, Any]) -> tuple[int, int]:
    """Fixed widths by width, then the others by kind."""
    name = item[0]
    return (0, int(name.split()[1])) if name.startswith("fixed") else (1, KINDS.index(name))


def judge(group: Group, seed: int, policies: Mapping[str, WidthPolicy]) -> dict[str, Evaluated]:
    """What policies do on the test lines by the network of one seed."""
    policy = group.policies[seed]
    records = group.kept(f"{seed}.judged", seed=seed)
    known = {json.dumps(one["widths"], sort_keys=True): one for one in records.read()}
    memory = RememberingDecoder(policy.network, policy.policy.search)
    tokens: list[list[int]] = []
    free = SequenceCosts(0.0, dict.fromkeys(policy.network.palette, 0.0))  # times are measured later
    found: dict[str, Evaluated] = {}
    for name, widths in reversed(policies.items()):
        key = json.dumps(widths.to_dict(), sort_keys=True)
        if key not in known:
            tokens = tokens or [policy.tokens(line) for line in group.test[0]]
            one = evaluate(policy, widths, tokens, group.test[1], free, group.metric, memory)
            known[key] = {
                "widths": widths.to_dict(),
                "counts": one.quality.counts.tolist(),
                "steps": one.steps,
                "hypotheses": one.hypotheses,
            }
            records.append(known[key])
        kept = known[key]
        zeros = np.zeros(len(group.test[0]))
        found[name] = Evaluated(
            widths,
            Quality(group.metric, np.array(kept["counts"])),
            (),
            zeros,
            zeros,
            kept["hypotheses"] / max(kept["steps"], 1),
            kept["steps"],
            kept["hypotheses"],
        )
    return found


def take_times(
    group: Group, seed: int, policies: Mapping[str, WidthPolicy], sentences: int, rounds: int
) -> dict[str, MeasuredPolicy]:
    """Times of policies on some test lines, in turns."""
    policy = group.policies[seed]
    plain = {name: widths.to_dict() for name, widths in policies.items()}
    records = group.kept(f"{seed}.timed", seed=seed, policies=plain, sentences=sentences, rounds=rounds)
    known = records.read()
    if not known:
        dev, test = (
            [policy.tokens(line) for line in part[0][: 2 * sentences]] for part in (group.dev, group.test)
        )
        fitting = [one for one in test if len(one) <= policy.network.source_longest][:sentences]
        found = measure(policy, policies, fitting, dev, rounds)
        known = [{name: asdict(one) for name, one in found.items()}]
        records.append(known[0])
    return {name: MeasuredPolicy(**one) for name, one in known[0].items()}
