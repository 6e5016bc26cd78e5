"""Best-first beam search and CTranslate2 beside the beams of this project, on the same lines in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beam.stages import Chosen, Group
from selector.sequence import (
    FixedWidth,
    LoadedSequencePolicy,
    beam_search,
    best_first_search,
)
from selector.sequence_tuning import quality_of

WIDTHS = (1, 3, 5)

Say = Callable[[str], None]
Run = Callable[[Sequence[int]], tuple[str, int]]
"""Translates a source: the text, and how many hypotheses were run (0 where nobody says)."""


def compare(group: Group, chosen: Chosen, lines: int, rounds: int, say: Say) -> list[dict[str, Any]]:
    """Time, quality and hypotheses of all rivals on the first lines of the test, by the network of the first seed."""
    seed, policy = next(iter(group.policies.items()))
    kept = [
        (tokens, wanted)
        for line, wanted in zip(*group.test, strict=True)
        if len(tokens := policy.tokens(line)) <= policy.network.source_longest
    ][:lines]
    sources, references = [one for one, _ in kept], [wanted for _, wanted in kept]
    runs: dict[str, Run] = {}
    able = [width for width in WIDTHS if width <= policy.network.palette[-1]]
    for name, widths in chosen.policies.items():
        if not name.startswith("fixed") or name in {f"fixed {width}" for width in able}:
            runs[name] = _beam(policy, widths, policy.policy.search)
    sums = replace(policy.policy.search, alpha=0.0, stop="proof")
    for width in able[1:]:
        runs[f"by sums, fixed {width}"] = _beam(policy, FixedWidth(width), sums)
        runs[f"by sums, best first {width}"] = _best_first(policy, width, sums)
    folder = policy.file.parent / f"{policy.file.stem.rsplit('-', 1)[0]}-ctranslate2"
    if folder.is_dir():
        for compute in ("float32", "int8"):
            for width in able:
                runs[f"CTranslate2 {compute} {width}"] = _ctranslate2(policy, folder, width, compute)
    times = np.zeros((rounds, len(runs), len(sources)))
    texts = {name: [""] * len(sources) for name in runs}
    counts = dict.fromkeys(runs, 0)
    for turn in range(rounds):
        for place, source in enumerate(sources):
            for which in np.random.default_rng([turn, place]).permutation(len(runs)).tolist():
                name = list(runs)[which]
                begin = time.process_time()
                text, ran = runs[name](source)
                times[turn, which, place] = time.process_time() - begin
                texts[name][place] = text
                counts[name] += ran if turn == 0 else 0
    ms = 1e3 * np.median(times, axis=0).mean(axis=1)
    rows = []
    for name, mean in zip(runs, ms.tolist(), strict=True):
        twin = name.replace("best first", "fixed")
        rows.append(
            {
                "network": f"{group.name} {seed}",
                "rival": name,
                "lines": len(sources),
                "quality": quality_of(group.metric, texts[name], references).value,
                "whole_ms": mean,
                "hypotheses": counts[name] or "",
                "same_as": twin if twin != name else "",
                "same": sum(a == b for a, b in zip(texts[name], texts[twin], strict=True))
                if twin != name
                else "",
                "hypotheses_of_that": counts[twin] if twin != name else "",
            }
        )
        say(
            f"  {name:22s} {rows[-1]['quality']:6.2f}, {mean:.3f} ms a line, {counts[name]:,} hypotheses"
            + (f", {rows[-1]['same']} of {len(sources)} as {twin} ({counts[twin]:,})" if twin != name else "")
        )
    return rows


def _beam(policy: LoadedSequencePolicy, widths: Any, options: Any) -> Run:
    def run(source: Sequence[int]) -> tuple[str, int]:
        found = beam_search(policy.network, source, widths, options)
        return policy.text_of(found.best), sum(found.widths)

    return run


def _best_first(policy: LoadedSequencePolicy, width: int, options: Any) -> Run:
    def run(source: Sequence[int]) -> tuple[str, int]:
        found = best_first_search(policy.network, source, width, options)
        return policy.text_of(found.best), sum(found.widths)

    return run


def _ctranslate2(policy: LoadedSequencePolicy, folder: Path, width: int, compute_type: str) -> Run:
    import ctranslate2

    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=1
    )
    names = ["<blank>", "<unk>", "<s>", "</s>"]

    def run(source: Sequence[int]) -> tuple[str, int]:
        words = [names[token] if token < len(names) else f"t{token}" for token in source]
        longest = policy.policy.search.longest(len(source), policy.network.longest)
        (found,) = translator.translate_batch(
            [words], beam_size=width, max_decoding_length=longest, disable_unk=True, max_batch_size=1
        )
        tokens = [int(word[1:]) for word in found.hypotheses[0] if word not in names]
        return policy.target.decode(tokens), 0

    return run
