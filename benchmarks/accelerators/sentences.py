"""What `explain` says of an accelerator, asked of its simulator: on layers that were not profiled."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from profiler.devices import Target
from profiler.errors import EdgetimeError
from profiler.network import Layer
from profiler.operators import catalogue, draw_layer
from profiler.probes import Probe
from profiler.probes.company import in_company
from timemodel.explain import Finding, findings
from timemodel.model import SettingModel
from timemodel.runtime import LeftRule, left_by_size

MOST = 40
"""Sentences that are drawn."""
_PAIRS = 6
_DRAWS = 400
_ASKED = 8
"""Layers on each side of a rule that are compiled."""


@dataclass(frozen=True)
class Sentence:
    """A sentence, what it says and what the simulator says (both as factors), and whether they are on the same side."""

    text: str
    said: float
    true: float
    holds: bool


def checked(target: Target, model: SettingModel, profiled: Collection[str], seed: int = 0) -> list[Sentence]:
    """Up to `MOST` findings, and every rule of what is left to the CPU; `profiled` are the keys of layers that taught the model."""
    rng = np.random.default_rng(seed)
    found = findings(model)
    chosen = [found[i] for i in rng.permutation(len(found))[:MOST]]
    sentences = [sentence for finding in chosen for sentence in _compared(target, finding, profiled, model)]
    for rule in model.terms.left_rules:
        sentences += _left(target, rule, profiled, rng)
    return sentences


def _compared(
    target: Target, finding: Finding, profiled: Collection[str], model: SettingModel
) -> Iterator[Sentence]:
    """The median over pairs of layers that were not profiled, of which both run."""
    factors = []
    for (first, second), work in zip(finding.layers, finding.works, strict=True):
        if first.key in profiled or second.key in profiled:
            continue
        times = [layer_time_us(target, layer, model.terms.company) for layer in (first, second)]
        if all(times):
            factors.append(times[1] / times[0] / work)  # type: ignore[operator]
        if len(factors) == _PAIRS:
            break
    if factors:
        true = float(np.median(factors))
        yield Sentence(
            f"{finding.kind} {finding.op}: {finding.text}",
            finding.effect,
            true,
            (true > 1) == (finding.effect > 1),
        )


def _left(
    target: Target, rule: LeftRule, profiled: Collection[str], rng: np.random.Generator
) -> Iterator[Sentence]:
    """Layers on both sides of a rule: the share of them of which the compiler says the same."""
    sides: dict[bool, list[Layer]] = {True: [], False: []}
    if rule.op not in catalogue(rule.dtype):
        return
    for _ in range(_DRAWS):
        layer = draw_layer(rule.op, rule.dtype, rng)
        inside = bool(left_by_size([layer], [(rule.op, rule.dtype)], [rule]))
        if layer.key not in profiled and layer.parameters < 100_000 and len(sides[inside]) < _ASKED:
            sides[inside].append(layer)
    right = []
    for layer in sides[True]:  # what is on the other side may be left for another reason
        probe = in_company(layer)
        times = target.time_probe(probe.build()).get("layers_us") or ()
        at = _befores(probe)
        right.append(at >= len(times) or times[at] is None)
    if right:
        share = float(np.mean(right))
        yield Sentence(f"a {rule.op} is left to the CPU with {rule.words}", 1.0, share, share > 0.5)


def layer_time_us(target: Target, layer: Layer, company: bool) -> float | None:
    """What the simulator says of one layer, between others where company matters; None where it does not run there."""
    probe = in_company(layer) if company else Probe("layer", (layer,))
    try:
        answer = target.time_probe(probe.build())
    except EdgetimeError:
        return None
    times, at = answer.get("layers_us") or (), _befores(probe)
    return times[at] if at < len(times) else None


def _befores(probe: Probe) -> int:
    return sum(min(sources, default=0) < 0 for sources in probe.sources) if probe.kind == "company" else 0
