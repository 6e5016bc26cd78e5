"""Rows of ``benchmarks/results/beam.csv``: each policy of a group, the seeds pooled, against two fixed widths."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beam.stages import Chosen, Group
from benchmarks.beam.turns import MeasuredPolicy
from profiler.files import write_bytes
from selector.sequence_tuning import Evaluated, paired_difference, pooled

Judged = Mapping[int, Mapping[str, Evaluated]]
Timed = Mapping[int, Mapping[str, MeasuredPolicy]]


def rows_of(group: Group, chosen: Chosen, judged: Judged, timed: Timed) -> list[dict[str, Any]]:
    """One row for each policy.

    Outputs of all seeds count together, and lines are drawn with the outputs of all seeds. Times are means over seeds; what is
    saved is a ratio of means. ``against`` is the fixed width that is best on development data; ``equal`` the cheapest fixed width
    that is at least as good there as the policy.
    """
    whole = {name: pooled([one[name] for one in judged.values()]) for name in chosen.policies}
    times = {name: _mean([one[name] for one in timed.values()]) for name in chosen.policies}
    found = []
    for name, widths in chosen.policies.items():
        one, best, equal = whole[name], chosen.best, equal_fixed(chosen, name)
        gap = paired_difference(one.quality, whole[best].quality)
        equal_gap = paired_difference(one.quality, whole[equal].quality)
        mine = times[name]
        row = {
            "network": group.name,
            "policy": name,
            "widths": str(widths.to_dict()),
            "palette": next(iter(timed.values()))[name].palette,
            "metric": group.metric,
            "seeds": " ".join(map(str, judged)),
            "lines": len(group.test[0]),
            "quality": one.quality.value,
            "quality_by_seed": " ".join(f"{part[name].quality.value:.2f}" for part in judged.values()),
            "against": best,
            "difference": gap[0],
            "difference_low": gap[1],
            "difference_high": gap[2],
            "mean_width": one.mean_width,
            "width_saved": 1 - one.mean_width / whole[best].mean_width,
            "hypotheses": one.hypotheses,
            **{f"{part}_ms": mine[part] for part in ("whole", "decoder", "encoder", "policy", "predicted")},
            "decoder_saved": 1 - mine["decoder"] / times[best]["decoder"],
            "whole_saved": 1 - mine["whole"] / times[best]["whole"],
            "policy_share": mine["policy"] / mine["whole"],
            "search_share": 1 - (mine["decoder"] + mine["encoder"] + mine["policy"]) / mine["whole"],
            "predicted_error": mine["predicted"] / mine["whole"] - 1,
            "equal": equal,
            "equal_difference": equal_gap[0],
            "equal_difference_low": equal_gap[1],
            "equal_difference_high": equal_gap[2],
            "equal_decoder_saved": 1 - mine["decoder"] / times[equal]["decoder"],
        }
        if "fixed 5" in whole:
            five = paired_difference(one.quality, whole["fixed 5"].quality)
            row |= {
                "difference_to_5": five[0],
                "difference_to_5_low": five[1],
                "decoder_saved_of_5": 1 - mine["decoder"] / times["fixed 5"]["decoder"],
            }
        found.append(row)
    return found


def equal_fixed(chosen: Chosen, name: str) -> str:
    """The cheapest fixed width that is at least as good as a policy on development data; the best one where none is."""
    if name.startswith("fixed"):
        return name
    good = [
        other
        for other, quality in chosen.dev_quality.items()
        if other.startswith("fixed") and quality >= chosen.dev_quality[name] - 1e-9
    ]
    return min(good, key=lambda other: chosen.dev_decoder_ms[other], default=chosen.best)


def _mean(parts: Sequence[MeasuredPolicy]) -> dict[str, float]:
    names = ("whole", "decoder", "encoder", "policy", "predicted")
    return {name: float(np.mean([getattr(one, f"{name}_ms") for one in parts])) for name in names}


def show(rows: Sequence[Mapping[str, Any]], say: Callable[[str], None]) -> None:
    """Print the rows of one group."""
    for one in rows:
        saved = {name: f"{-one[name]:+.0%}" for name in ("width_saved", "whole_saved", "decoder_saved")}
        equal = ""
        if one["equal"] != one["policy"]:
            equal = (
                f"; {one['equal']} is as good on dev: {one['equal_difference']:+.2f} [{one['equal_difference_low']:+.2f}, "
                f"{one['equal_difference_high']:+.2f}], decoder {-one['equal_decoder_saved']:+.0%}"
            )
        say(
            f"  {one['policy']:10s} {one['quality']:6.2f} ({one['difference']:+.2f} [{one['difference_low']:+.2f}, "
            f"{one['difference_high']:+.2f}]), width {one['mean_width']:.2f} ({saved['width_saved']}), "
            f"{one['whole_ms']:.3f} ms ({saved['whole_saved']}), decoder {one['decoder_ms']:.3f} ms ({saved['decoder_saved']}), "
            f"policy {one['policy_share']:.1%}, search {one['search_share']:.0%}, predicted {one['predicted_error']:+.1%}{equal}"
            + ("  <- best fixed on dev" if one["policy"] == one["against"] else "")
        )


def keep(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write rows; those of other networks that are there stay."""
    if not rows:
        return
    kept: list[dict[str, Any]] = []
    if file.exists():
        with open(file, newline="", encoding="utf-8") as stream:
            names = {one["network"] for one in rows}
            kept = [one for one in csv.DictReader(stream) if one["network"] not in names]
    content = io.StringIO()
    every = [*rows, *kept]
    writer = csv.DictWriter(content, list(dict.fromkeys(name for one in every for name in one)))
    writer.writeheader()
    writer.writerows([*kept, *rows])
    write_bytes(file, content.getvalue().encode())
