"""Whether two profiles of one device tell the same story: tiles, splits and predictions of the models fitted to each.

    python -m benchmarks.stability A.db B.db [--probes 200]

Prints, for every operator with at least that many probes: the tiles that either found, the share of what splits gain that
the other tree splits on too (the same feature, the threshold within a quarter, or the same multiple), and how much the two
models' predictions differ on layers that neither has seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from profiler.operators import draw_layer
from timemodel.features import geometry
from timemodel.fitting import fit_profile
from timemodel.model import FALLBACK, OperatorModel, SettingModel

UNSEEN = 300
NEAR = 0.25


def shared_gain(one: OperatorModel, other: OperatorModel) -> float:
    """Share of the gain of `one`'s splits that `other` splits on, too; 1 for a tree that is a single leaf."""
    theirs = [node for node in other.tree.nodes_ if node.feature >= 0]
    total = found = 0.0
    for node in one.tree.nodes_:
        if node.feature < 0:
            continue
        total += node.gain
        same = [o for o in theirs if o.feature == node.feature and o.modulus == node.modulus]
        if node.modulus:
            found += node.gain * bool(same)
        else:
            found += node.gain * any(
                abs(o.threshold - node.threshold) <= NEAR * max(abs(node.threshold), 1e-12) for o in same
            )
    return found / total if total else 1.0


def difference(one: OperatorModel, other: OperatorModel, op: str, dtype: str) -> np.ndarray:
    """Relative differences ``[n]`` of predictions of layers drawn anew."""
    rng = np.random.default_rng(20)
    rows = geometry([draw_layer(op, dtype, rng) for _ in range(UNSEEN)])
    first, second = one.predict_ms(rows), other.predict_ms(rows)
    return np.abs(first - second) / np.sqrt(np.maximum(first * second, 1e-18))


def compare(one: SettingModel, other: SettingModel, probes: int) -> list[dict[str, object]]:
    """One row per operator that both have measured often enough."""
    rows: list[dict[str, object]] = []
    for (op, dtype), model in sorted(one.operators.items()):
        twin = other.operators.get((op, dtype))
        if op == FALLBACK or twin is None or min(model.error.probes, twin.error.probes) < probes:
            continue
        apart = difference(model, twin, op, dtype)
        rows.append(
            {
                "operator": f"{op} {dtype}",
                "tiles": model.tiles,
                "same tiles": model.tiles == twin.tiles,
                "leaves": f"{model.error.leaves}, {twin.error.leaves}",
                "shared": (shared_gain(model, twin) + shared_gain(twin, model)) / 2,
                "median": float(np.median(apart)),
                "p90": float(np.quantile(apart, 0.9)),
            }
        )
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs=2, type=Path, help="two profiles of one device")
    parser.add_argument("--probes", type=int, default=100, help="least number of probes of an operator")
    args = parser.parse_args()
    one, other = (next(iter(fit_profile(path).settings.values())) for path in args.profiles)
    print(
        f"{'operator':30s}{'leaves':>9s}{'same tiles':>12s}{'shared splits':>15s}{'median':>9s}{'p90':>8s}  tiles"
    )
    for row in compare(one, other, args.probes):
        tiles = ", ".join(f"{axis} {size}" for axis, size in row["tiles"].items())  # type: ignore[attr-defined]
        print(
            f"{row['operator']:30s}{row['leaves']:>9s}{'yes' if row['same tiles'] else 'no':>12s}"
            f"{row['shared']:15.0%}{row['median']:9.1%}{row['p90']:8.1%}  {tiles}"
        )


if __name__ == "__main__":
    main()
