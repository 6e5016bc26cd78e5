"""``edgetime footprint``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetime import units
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from compressor.weights.footprint import AcceleratorFootprint, StorageCost

_decoder = options.panel("The decoder in front of the multipliers")


def command(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="NET",
            help="An int8 network: packed (.lct) or not (.tflite), and then without its own row.",
        ),
    ],
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET…", help="Simulated accelerators, such as sim:edge_tpu_like."),
    ],
    decoder_cycles: Annotated[
        float,
        _decoder(
            metavar="N",
            min=0,
            help="Cycles that it takes for each weight; each multiplier's register has one. Default as LineCompress has it: "
            "one addition a weight.",
        ),
    ] = 1.0,
    decoder_pj: Annotated[
        float,
        _decoder(
            metavar="PJ",
            min=0,
            help="Picojoules for each weight that is decoded. Default: a product of 8 bits and an addition of 32 in 45 nm "
            "(Horowitz, ISSCC 2014).",
        ),
    ] = 0.3,
    html: Annotated[
        Path | None,
        typer.Option(metavar="F.html", help="Write a page with both curves for each accelerator."),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Say what fewer bits for weights save on simulated accelerators: time and energy by footprint, decoding counted.

    Weights are stored as float32, int8, int4, as the packed file has them (each layer in its own bits), and in a sweep from 16 to
    2 bits; what is computed stays int8. It says from what footprint on a decoder pays, against int8 without one. An Ethos-U
    takes no weights wider than 8 bits, and has a codec of its own: its compiler meets other weights, which that codec stores in
    as many bits; the energy is an estimate there, from products and bytes.

    Example:

    \b
    $ edgetime pack net_int8.tflite -o net.lct --data d.npz
    $ edgetime footprint net.lct sim:edge_tpu_like sim:ethos-u55-128
    $ edgetime footprint net.lct sim:eyeriss_like --decoder-pj 1 --html footprint.html
    """
    from compressor.weights.footprint import footprint, read_stored
    from profiler.devices import open_target
    from profiler.devices.simulated import SimulatorTarget, WeightDecoder
    from profiler.errors import UsageError
    from profiler.files import check_writable
    from profiler.progress import sub_progress

    with Terminal(json) as out:
        if html is not None:
            check_writable(html)
        stored = read_stored(network)
        opened = []
        for spec in targets:
            target = open_target(spec)
            if not isinstance(target, SimulatorTarget):
                raise UsageError(
                    f"{target.name} is no simulated accelerator: 'edgetime targets' lists those that begin with sim:."
                )
            opened.append(target)
        decoder = WeightDecoder(decoder_cycles, decoder_pj)
        found = []
        with out.progress("Footprint") as progress:
            for number, simulator in enumerate(opened):
                part = sub_progress(progress, number / len(opened), (number + 1) / len(opened))
                with simulator:
                    found.append(footprint(stored, simulator, decoder, part))
        out.json([one.to_dict() for one in found])
        for one in found:
            out.show(*shown(one))
        if html is not None:
            from edgetime.report import write_footprint

            write_footprint([one.to_dict() for one in found], html)
            out.note(f"Page: {html}")


def shown(found: AcceleratorFootprint) -> Iterator[Any]:
    """One accelerator's table, and what it comes to."""
    bases = [one for one in (found.cost("float32"), found.cost("int8")) if one is not None]
    rows = [[*_row(one), *(_change(one, base) for base in bases)] for one in (*found.costs, *found.sweep)]
    yield found.target
    yield table(
        ["weights as", "bits", "ratio", "time", "energy", *(f"against {base.name}" for base in bases)], rows
    )
    packed = found.cost("packed")
    if packed is not None and len(bases) > 1:
        yield (
            f"  Packed costs {_change(packed, bases[0])} against float32 (time / energy), of which int8 alone brings "
            f"{_change(bases[1], bases[0])}; the paper on LineCompress reports -77% / -87% at a ratio of 7.4"
        )
    ends = [("time", found.pays_from("time_ms")), ("energy", found.pays_from("energy_mj"))]
    yield "  Decoding pays against int8 " + ", ".join(
        f"in {name} from {ratio:.2f} times fewer bits than float32 on" if ratio else f"never in {name}"
        for name, ratio in ends
    )


def _row(cost: StorageCost) -> list[str]:
    name = f"{cost.name}, decoded" if cost.decoded and cost.name != "packed" else cost.name
    return [
        name,
        f"{cost.bits_per_weight:.2f}",
        f"{cost.ratio:.2f}",
        units.ms(cost.time_ms),
        units.mj(cost.energy_mj),
    ]


def _change(cost: StorageCost, base: StorageCost) -> str:
    """How much less time and energy than another way."""
    if base is cost:
        return ""
    time = 100 * (cost.time_ms / base.time_ms - 1)
    if cost.energy_mj is None or not base.energy_mj:
        return f"{time:+.0f}%"
    return f"{time:+.0f}% / {100 * (cost.energy_mj / base.energy_mj - 1):+.0f}%"
