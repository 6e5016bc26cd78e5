"""``python -m benchmarks.beam work/multi30k-gru-1-float32.json --dev work/multi30k.dev.tsv --test work/multi30k.test.tsv``.

For each exported network (see examples/translation): every fixed width and every kind of policy is tuned on development data and
judged on test data, by quality with paired bootstrap and by measured time, sentence by sentence in turns.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.beam import fronts, overhead, turns
from profiler.files import write_bytes
from selector.sequence import (
    FixedWidth,
    LoadedSequencePolicy,
    RememberingDecoder,
    SearchOptions,
    WidthPolicy,
    best_first_search,
    load_sequence_policy,
)
from selector.sequence_tuning import (
    Evaluated,
    evaluate,
    measured_costs,
    paired_difference,
    predicted_costs,
    quality_of,
    read_pairs,
    tune_widths,
)

KINDS = ("threshold", "entropy", "deviation", "learned")
CSV = Path(__file__).resolve().parent.parent / "results" / "beam.csv"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beam", description=__doc__)
    parser.add_argument("policies", nargs="*", type=Path, help="what the example's export wrote")
    parser.add_argument("--dev", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--metric", default="bleu")
    parser.add_argument(
        "--time-model", type=Path, help="what policies are tuned by; default: times measured here"
    )
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=15.0, help="of tuning, each network")
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.1,
        help="points on dev that a policy may lose to the best fixed width",
    )
    parser.add_argument("--kinds", default=",".join(KINDS), help="of policies, with commas")
    parser.add_argument("--widest", type=int, default=12, help="fixed width and the widest of a policy")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring")
    parser.add_argument("--sentences", type=int, default=200, help="of the test that are measured")
    parser.add_argument("--most", type=int, help="only so many lines of dev and test, for a first look")
    parser.add_argument(
        "--best-first", type=int, default=0, metavar="N", help="compare best-first search on so many lines"
    )
    parser.add_argument(
        "--overhead", type=Path, help="only the search's own time, of a transformer's .tflite"
    )
    parser.add_argument(
        "--ctranslate2", type=Path, help="with --overhead: the same network, converted for CTranslate2"
    )
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--svg", type=Path, help="draw what the table holds, docs/beam.svg")
    return parser.parse_args()


def main() -> None:
    """Judge networks, or measure the search's own time."""
    given = arguments()
    if given.overhead is not None:
        from selector.sequence import SequenceNetwork

        network = SequenceNetwork(given.overhead.read_bytes(), 2, 3, file=given.overhead)
        say(f"{given.overhead.name}: {network.vocabulary:,} tokens")
        widths = tuple(width for width in (1, 2, 3, 5) if width <= network.palette[-1])
        overhead.search_times(network, widths, say)
        if given.ctranslate2 is not None:
            for compute_type in ("float32", "int8"):
                overhead.ctranslate2_times(given.ctranslate2, widths, compute_type, say)
        return
    for file in given.policies:
        keep(judge(file, given), given.csv)
    if given.svg is not None:
        fronts.draw(given.csv, given.svg)


def judge(file: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Tune on dev, judge on test, measure in turns; the rows of the table."""
    policy = load_sequence_policy(file)
    (dev, dev_wanted), (test, test_wanted) = (
        tuple(side[: given.most] for side in read_pairs(part)) for part in (given.dev, given.test)
    )
    if given.time_model is not None:
        from timemodel import TimeModel

        costs = predicted_costs(TimeModel.load(given.time_model), policy.network.file, policy.network.palette)
        costs = replace(
            costs, search_ms=measured_costs(policy, [policy.tokens(line) for line in dev[:50]]).search_ms
        )
    else:
        costs = measured_costs(policy, [policy.tokens(line) for line in dev[:50]])
    say(
        f"\n{file.stem}: encoder {costs.encoder_ms:.3f} ms; step "
        + ", ".join(f"{w}: {t:.3f}" for w, t in costs.step_ms.items())
    )
    widest = min(given.widest, policy.network.palette[-1])
    chosen: dict[str, WidthPolicy] = {f"fixed {width}": FixedWidth(width) for width in range(1, widest + 1)}
    found = tune_widths(
        policy,
        dev,
        dev_wanted,
        costs,
        metric=given.metric,
        trials=given.trials,
        minutes=given.minutes,
        widest=widest,
        kinds=given.kinds.split(","),
    )
    best = f"fixed {found.fixed.widths.most}"
    for kind in KINDS:
        good = [
            point
            for point in found.points
            if point.widths.kind == kind and point.quality >= found.fixed.quality - given.max_drop
        ]
        if good:
            chosen[kind] = min(good, key=lambda point: point.mean_ms).widths
    tokens = [policy.tokens(line) for line in test]
    memory = RememberingDecoder(policy.network, policy.policy.search)
    judged = {
        name: evaluate(policy, widths, tokens, test_wanted, costs, given.metric, memory)
        for name, widths in reversed(chosen.items())
    }
    fitting = [one for one in tokens if len(one) <= policy.network.source_longest][: given.sentences]
    measured = turns.measure(policy, chosen, fitting, given.rounds)
    if given.time_model is None:  # the machine may be slower now than it was before tuning
        costs = measured_costs(policy, [policy.tokens(line) for line in dev[:50]])
    predicted = {
        name: evaluate(policy, widths, fitting, [""] * len(fitting), costs, "exact", memory).mean_ms
        for name, widths in chosen.items()
    }
    rows = [row(file.stem, name, judged, measured, best, given.metric, predicted[name]) for name in chosen]
    show(rows, best)
    if given.best_first:
        rivals(policy, tokens[: given.best_first], test_wanted[: given.best_first], given.metric)
    return rows


def row(
    network: str,
    name: str,
    judged: dict[str, Evaluated],
    measured: dict[str, turns.MeasuredPolicy],
    best: str,
    metric: str,
    predicted_ms: float,
) -> dict[str, Any]:
    """One policy against the best fixed width of the development data, and against width 5."""
    one, fixed = judged[name], judged[best]
    gap = paired_difference(one.quality, fixed.quality)
    five = judged.get("fixed 5")
    return {
        "network": network,
        "policy": name,
        "widths": str(one.widths.to_dict()),
        "metric": metric,
        "lines": len(one.outputs),
        "quality": one.quality.value,
        "against": best,
        "difference": gap[0],
        "difference_low": gap[1],
        "difference_high": gap[2],
        "mean_width": one.mean_width,
        "steps": one.steps,
        "hypotheses": one.hypotheses,
        "width_saved": 1 - one.mean_width / fixed.mean_width,
        **asdict(measured[name]),
        "decoder_saved": 1 - measured[name].decoder_ms / measured[best].decoder_ms,
        "whole_saved": 1 - measured[name].whole_ms / measured[best].whole_ms,
        "decoder_saved_of_5": None
        if five is None
        else 1 - measured[name].decoder_ms / measured["fixed 5"].decoder_ms,
        "predicted_ms": predicted_ms,
        "predicted_error": predicted_ms / measured[name].whole_ms - 1,
    }


def show(rows: list[dict[str, Any]], best: str) -> None:
    """Print the table."""
    for one in rows:
        saved = {name: f"{-one[name]:+.0%}" for name in ("width_saved", "whole_saved", "decoder_saved")}
        say(
            f"  {one['policy']:10s} {one['quality']:6.2f} ({one['difference']:+.2f} [{one['difference_low']:+.2f}, "
            f"{one['difference_high']:+.2f}]), width {one['mean_width']:.2f} ({saved['width_saved']}), "
            f"{one['whole_ms']:.3f} ms ({saved['whole_saved']}), decoder {one['decoder_ms']:.3f} ms ({saved['decoder_saved']}), "
            f"policy {one['policy_share']:.1%}, search {one['search_share']:.0%}, predicted {one['predicted_error']:+.1%}"
            + ("  <- best fixed on dev" if one["policy"] == best else "")
        )


def rivals(policy: LoadedSequencePolicy, sources: list[list[int]], wanted: list[str], metric: str) -> None:
    """Best-first beam search against beam search, ranked by sums: the same outputs, and how many hypotheses each runs."""
    options = replace(policy.policy.search, alpha=0.0, stop="proof")
    for width in (3, 5):
        if width > policy.network.palette[-1]:
            continue
        beam, first, outputs, same = 0, 0, [], 0
        for source in sources:
            if len(source) > policy.network.source_longest:
                continue
            found = _beam(policy, source, width, options)
            rival = best_first_search(policy.network, source, width, options)
            beam, first = beam + sum(found.widths), first + sum(rival.widths)
            same += found.best.tokens == rival.best.tokens
            outputs.append(policy.text_of(rival.best))
        value = (
            quality_of(metric, outputs, wanted[: len(outputs)]).value
            if len(outputs) == len(wanted)
            else float("nan")
        )
        say(
            f"  best-first of width {width}: {same} of {len(outputs)} outputs as beam search's, {first:,} hypotheses run against "
            f"{beam:,} ({first / beam - 1:+.0%}), one at a time; {metric} {value:.2f} ranked by sums"
        )


def _beam(policy: LoadedSequencePolicy, source: list[int], width: int, options: SearchOptions) -> Any:
    from selector.sequence import beam_search

    return beam_search(policy.network, source, FixedWidth(width), options)


def keep(rows: list[dict[str, Any]], file: Path) -> None:
    """Write the rows; those of other networks that are there stay."""
    if not rows:
        return
    kept: list[dict[str, Any]] = []
    if file.exists():
        with open(file, newline="", encoding="utf-8") as stream:
            names = {one["network"] for one in rows}
            kept = [one for one in csv.DictReader(stream) if one["network"] not in names]
    content = io.StringIO()
    writer = csv.DictWriter(content, list(rows[0]))
    writer.writeheader()
    writer.writerows([*kept, *rows])
    write_bytes(file, content.getvalue().encode())


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
