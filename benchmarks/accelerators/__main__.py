"""Time models of simulated accelerators, against the simulators' own totals of networks that were not profiled.

    python -m benchmarks.accelerators WORK --networks FOLDER [--target SPEC …] [--minutes 5] [--most N] [--sentences]

Each target is profiled into WORK for so many minutes (a profile that is there is used as it is), and its time model judged on the
int8 networks in FOLDER (see `benchmarks.networks`). What simulators say of networks is kept in WORK, one line each, so that an
interrupted run goes on. Every baseline learns from the same layers as the trees and knows the same about neighbours.

Features were chosen looking at the networks of `TUNING`; rows of the set ``judging`` are of the others. With ``--sentences``
what `explain` says is checked against the simulator too.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accelerators.judging import BASELINES, OURS, fitted, judge, predicted
from benchmarks.accelerators.sentences import checked
from benchmarks.accelerators.truth import Truth, known_truths
from benchmarks.networks.catalogue import network_files
from profiler.devices import open_target
from profiler.files import write_text
from profiler.measurement import Profile, profile
from profiler.network import Network
from profiler.tflite import read_network
from timemodel.model import SettingModel

TARGETS = (
    "sim:ethos-u55-128", "sim:ethos-u65-512", "sim:ethos-u85-512", "sim:edge_tpu_like", "sim:tesla_npu_like",
    "sim:eyeriss_like",
)  # fmt: skip
TUNING = (
    "mobilenet_v1", "mobilenet_v2", "resnet", "convnext", "vit", "u_net", "shuffle_net", "temporal_dilated", "gru",
    "dense_autoencoder", "nasnet", "efficientnet_v2",
)  # fmt: skip
"""What names of networks begin with that features were chosen by."""
RESULTS = Path(__file__).parents[1] / "results"


def profiled(spec: str, work: Path, minutes: float) -> Path:
    """The profile of a target, made where there is none."""
    path = work / f"{spec.partition(':')[2].partition('?')[0]}.db"
    if not path.exists():
        summary = profile(open_target(spec), path, minutes, dtypes=("int8",))
        print(summary, flush=True)
    return path


def speed(models: Mapping[str, Any], networks: Sequence[Network]) -> float:
    """Seconds that one prediction of a network takes that the model has not seen."""
    fresh = [Network(**{name: getattr(n, name) for name in n.__dataclass_fields__}) for n in networks]
    models[OURS].predict_total_ms(fresh[0])
    begin = time.perf_counter()
    for network in fresh[1:]:
        models[OURS].predict_total_ms(network)
    return (time.perf_counter() - begin) / max(1, len(fresh) - 1)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Judge all targets; the rows of the results."""
    files, missing = network_files(options.networks, "int8")
    for name, reason in missing.items():
        print(f"{name}: left out, {reason}", flush=True)
    files = sorted(files, key=lambda path: path.stat().st_size)[: options.most]
    networks = {path.stem: read_network(path) for path in files}
    rows = []
    for spec in options.target or TARGETS:
        path = profiled(spec, options.work, options.minutes)
        models, probes = fitted(path)
        truths = known_truths(open_target(spec), files, path.with_suffix(".truth.jsonl"))
        for what in ("ms", "mj"):
            rows += judged(spec, what, models, networks, truths, probes)
        if options.sentences:
            rows.append(asked(spec, models[OURS], path))
        names = [name for name in networks if name in truths]
        each_s = speed(models, [networks[name] for name in names])
        took_s = float(np.mean([truths[name].took_s for name in names]))
        print(
            f"{spec}: {each_s * 1e3:.2f} ms a prediction, {took_s:.2f} s the simulator: {took_s / each_s:,.0f} times"
        )
        rows.append(
            {
                "target": spec,
                "what": "speed",
                "predictor": OURS,
                "networks": len(names),
                "times": took_s / each_s,
            }
        )
    return rows


def judged(
    spec: str,
    what: str,
    models: Mapping[str, Any],
    networks: Mapping[str, Network],
    truths: Mapping[str, Truth],
    probes: int,
) -> list[dict[str, Any]]:
    """A row per predictor of one target's time or energy."""
    names = [name for name in networks if name in truths and getattr(truths[name], what)]
    true = np.array([getattr(truths[name], what) for name in names])
    judging = np.array([not name.startswith(TUNING) for name in names], dtype=bool)
    sets = {"all": np.ones(len(names), dtype=bool), "judging": judging}
    rows = []
    for predictor in (OURS, *BASELINES) if names else ():
        values = np.array([predicted(models[predictor], networks[name], what) for name in names])
        if np.isnan(values).any():
            continue
        for label, chosen in sets.items():
            if not chosen.any():
                continue
            score = judge(values[chosen], true[chosen])
            known = {"target": spec, "what": what, "set": label, "predictor": predictor}
            rows.append({**known, "networks": int(chosen.sum()), "probes": probes, **score})
            print(
                f"{spec} {what} {label:7s} {predictor:14s} median {score['median_error']:.1%}, mean "
                f"{score['mean_error']:.1%}, within 10% {score['within_10']:.0%}, within 5% {score['within_5']:.0%} "
                f"({chosen.sum()} networks)",
                flush=True,
            )
        if predictor == OURS:
            for name, value in sorted(zip(names, values, strict=True)):
                print(f"    {name:36s} {value / getattr(truths[name], what) - 1:+.1%}")
    return rows


def asked(spec: str, model: SettingModel, path: Path) -> dict[str, Any]:
    """A row of how many sentences of `explain` hold on layers that were not profiled."""
    with Profile.open(path) as profile:
        profiled = {layer.key for time in profile.measurements(model.key) for layer in time.probe.layers}
    with open_target(spec) as target:
        sentences = checked(target, model, profiled)
    for sentence in sentences:
        print(
            f"    {'holds' if sentence.holds else 'FAILS'}: {sentence.text}: said {sentence.said:.2f}, "
            f"true {sentence.true:.2f}"
        )
    held = sum(sentence.holds for sentence in sentences)
    print(f"{spec}: {held} of {len(sentences)} sentences hold", flush=True)
    return {"target": spec, "what": "sentences", "predictor": OURS, "networks": len(sentences), "times": held}


def main() -> None:
    """Run, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--target", action="append")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--sentences", action="store_true", help="check what explain says as well")
    parser.add_argument("--most", type=int, default=None, help="only the N smallest networks")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = run(options)
    text = io.StringIO()
    names = [
        "target",
        "what",
        "set",
        "predictor",
        "networks",
        "probes",
        "median_error",
        "mean_error",
        "within_5",
        "within_10",
        "times",
    ]
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    path, done = RESULTS / "accelerators.csv", {row["target"] for row in rows}
    if path.exists():  # targets of other runs keep their rows
        table.writerows(row for row in csv.DictReader(path.open()) if row["target"] not in done)
    for row in rows:
        table.writerow(
            {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        )
    write_text(path, text.getvalue())


if __name__ == "__main__":
    main()
