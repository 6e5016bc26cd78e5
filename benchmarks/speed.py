"""How fast the time model is: learning it, batches of layers, and one network at a time.

    python -m benchmarks.speed [--profile DEVICE.db] [--layers 1000000] [--probes 3000]

Everything runs on one core and prints what it did: what is asked for the first time, and what is remembered from
before, are different lines. Without a profile the device is one that exists on paper only, so that no measuring is
needed: what times the layers have there does not change how long it takes to learn or to predict them.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from profiler.measurement import Profile
from profiler.network import Layer, Network
from profiler.operators import binary, conv_2d, depthwise_conv_2d, fully_connected, reduce, unary
from profiler.probes import Probe, plan_probes
from timemodel.features import geometry
from timemodel.fitting import Measured, fit_setting, usable
from timemodel.model import FALLBACK, SettingModel

DTYPE = "float32"
ROUNDS = 5


def paper_ms(layer: Layer, noise: float) -> float:
    """Time of `layer` on a device with tiles, two kernels of convolution, and a cache of 1 MiB."""
    moved = layer.input_bytes + layer.output_bytes + layer.weight_bytes
    time_ms = 2e-4 + moved * 1e-7 + max(0, moved - 2**20) * 2e-7
    width = (layer.outputs[0].shape or (1,))[-1]
    if layer.macs:
        wasted = -(-width // 16) * 16 / width
        slow = 1.6 if width % 4 else 1.0
        slow *= 1.0 + 0.4 * (width > 96) + 0.5 * (layer.params.get("kernel_height", 1) == 1)
        time_ms += layer.macs * wasted * slow * 2e-8
    return float(time_ms * noise)


def paper_probes(count: int) -> list[Measured]:
    """`count` probes as the sampler plans them, with their times on the device on paper (3% noise)."""
    probes = [probe for probe in plan_probes((DTYPE,), scale=1.5) if probe.kind in ("layer", "network")]
    rng = np.random.default_rng(0)
    probes = [probes[i] for i in sorted(rng.permutation(len(probes))[:count])]
    factors = rng.lognormal(0, 0.03, len(probes))
    return [
        (probe, sum(paper_ms(layer, noise) for layer in probe.layers))
        for probe, noise in zip(probes, factors, strict=True)
    ]


def profile_probes(path: Path, count: int) -> list[Measured]:
    """The first `count` probes of a profile's first setting."""
    with Profile.open(path) as profile:
        return usable(profile.measurements(next(iter(profile.settings))))[:count]


def seconds(work: Callable[[], object], rounds: int = 1) -> float:
    """Best of `rounds` runs in s: what else the machine does only adds time."""
    best = np.inf
    for _ in range(rounds):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return float(best)


def network_of_60() -> Network:
    """Sixty layers as in a mobile network: 1x1 and depthwise convolutions, residual sums, a head."""
    layers: list[Layer] = [conv_2d(112, 112, 3, 32)]
    side, width = 56, 16
    while len(layers) < 58:
        layers += [conv_2d(side, side, width, 4 * width, (1, 1)), depthwise_conv_2d(side, side, 4 * width)]
        layers += [
            conv_2d(side, side, 4 * width, width, (1, 1)),
            binary("add", (1, side, side, width), (1, side, side, width)),
        ]
        if len(layers) % 16 == 1:
            side, width = max(7, side // 2), width + 16
    layers = [
        *layers[:57],
        unary("relu", layers[56].outputs[0].shape),
        reduce("mean", (1, side, side, width), (1, 2)),
    ]
    layers.append(fully_connected(width, 1000))
    return fresh(Probe("network", tuple(layers)).network)


def fresh(network: Network, changed: dict[int, Layer] | None = None) -> Network:
    """A copy with none of what was worked out of `network`, or (with `changed`) only its own layers' kept."""
    if changed is None:
        layers = tuple(dataclasses.replace(layer, index=i) for i, layer in enumerate(network.layers))
    else:
        layers = tuple(changed.get(i, layer) for i, layer in enumerate(network.layers))
    return dataclasses.replace(network, layers=layers)


def batches(model: SettingModel, layers: Sequence[Layer], count: int) -> None:
    """Layers per second, from arrays and from objects."""
    print(f"\nbatches of {count:,} layers, one core, layers per second")
    by_op: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        by_op.setdefault((layer.op, layer.dtype), []).append(layer)
    known = {key: group for key, group in by_op.items() if key in model.operators}
    chosen = dict(sorted(known.items(), key=lambda item: -len(item[1]))[:6])
    total = 0.0
    rows = 0
    for (op, dtype), group in chosen.items():
        array = np.resize(geometry(group), (count, geometry(group).shape[1]))
        taken = seconds(lambda tree=model.operators[op, dtype], array=array: tree.predict_ms(array), 3)  # type: ignore[misc]
        leaves = model.operators[op, dtype].tree.n_leaves_
        print(
            f"  arrays, features included, {op + ' ' + dtype:28s} {leaves:3d} leaves {count / taken:12,.0f}"
        )
        total, rows = total + taken, rows + count
    print(f"  arrays, features included, {'all of these':28s} {'':10s} {rows / total:12,.0f}")
    usual = [layer for group in chosen.values() for layer in group]
    for what, mix in (("these kinds", usual), (f"{len(by_op)} kinds", layers)):
        few = min(count, 200_000)
        objects = [dataclasses.replace(mix[i % len(mix)]) for i in range(few)]
        gc.collect()
        first = seconds(lambda objects=objects: model.predict_layers_ms(objects))  # type: ignore[misc]
        again = seconds(lambda objects=objects: model.predict_layers_ms(objects), 5)  # type: ignore[misc]
        print(f"  {few:,} layer objects of {what + ', never seen before':39s} {few / first:12,.0f}")
        print(f"  {'the same objects again':68s} {few / again:12,.0f}")
    begin = time.process_time()
    for layer in layers[:5000]:
        dataclasses.replace(layer)
    print(
        f"  {'(making such an object, without its shapes)':68s} {5000 / (time.process_time() - begin):12,.0f}"
    )


def one_network(model: SettingModel) -> None:
    """Microseconds for one network of 60 layers."""
    base = network_of_60()
    print(f"\none network of {len(base.layers)} layers that is already read, microseconds")

    def row(what: str, prepare: Callable[[int], Network], work: Callable[[Network], object]) -> None:
        times = []
        for i in range(300):
            network = prepare(i)
            begin = time.process_time()
            work(network)
            times.append(time.process_time() - begin)
        print(f"  {what:66s} {1e6 * np.median(times):9.1f}")

    def two_changed(i: int) -> Network:
        # Widths that were not asked for before: nothing of these two layers is remembered.
        width = 20 + i
        wide = conv_2d(56, 56, 16, width, (1, 1)), depthwise_conv_2d(56, 56, width)
        return fresh(base, {1: wide[0], 2: wide[1]})

    model.predict(base, "")
    model.predict_total_ms(base)
    row("the total, asked for before", lambda i: base, model.predict_total_ms)
    row("per layer with intervals, asked for before", lambda i: base, lambda n: model.predict(n, ""))
    row(
        "the total, a new network of layers that were all seen",
        lambda i: fresh(base, {}),
        model.predict_total_ms,
    )
    row("the total, two layers changed to sizes never seen", two_changed, model.predict_total_ms)
    row("the total, every layer object new, sizes seen", lambda i: fresh(base), model.predict_total_ms)

    # Copies of a model remember nothing.
    copies = iter([copy.copy(model) for _ in range(600)])
    row(
        "the total, nothing remembered at all",
        lambda i: fresh(base),
        lambda n: next(copies).predict_total_ms(n),
    )
    row(
        "per layer with intervals, nothing remembered at all",
        lambda i: fresh(base),
        lambda n: next(copies).predict(n, ""),
    )


def run(args: argparse.Namespace) -> None:
    """Learn, then predict."""
    measured = profile_probes(args.profile, args.probes) if args.profile else paper_probes(args.probes)
    begin = time.process_time()
    operators, terms = fit_setting(measured)
    taken = time.process_time() - begin
    leaves = sum(model.tree.n_leaves_ for (op, _), model in operators.items() if op != FALLBACK)
    print(
        f"fit of {len(measured):,} probes, one core: {taken:.1f} s ({len(operators)} trees, {leaves} leaves)"
    )
    model = SettingModel("speed", {"threads": 1}, {}, operators, terms)
    batches(model, [layer for probe, _ in measured for layer in probe.layers], args.layers)
    one_network(model)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--profile", type=Path, help="learn from this profile in place of the device on paper"
    )
    parser.add_argument("--layers", type=int, default=1_000_000, help="in a batch")
    parser.add_argument("--probes", type=int, default=3000, help="to learn from")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with threadpool_limits(1):
        run(args)


if __name__ == "__main__":
    main()
