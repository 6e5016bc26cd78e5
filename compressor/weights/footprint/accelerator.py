"""One network on one simulated accelerator, with weights stored in more and in fewer bits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compressor.weights.footprint.stored import StoredNetwork
from profiler.devices.simulated import SimulatorTarget, WeightDecoder
from profiler.errors import EdgetimeError
from profiler.progress import ProgressCallback, silent

FLOAT32_BITS = 32
SWEEP_BITS = (16.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0)


@dataclass(frozen=True)
class StorageCost:
    """What a network costs when its weights are stored in one way.

    Parameters
    ----------
    name
        The way.
    bits_per_weight
        On average.
    time_ms, energy_mj
        Of one run. Energy is None where nothing is known of it.
    decoded
        Whether a decoder is in front of the multipliers.
    """

    name: str
    bits_per_weight: float
    time_ms: float
    energy_mj: float | None
    decoded: bool = False

    @property
    def ratio(self) -> float:
        """How many times fewer bits than float32."""
        return FLOAT32_BITS / self.bits_per_weight


@dataclass(frozen=True)
class AcceleratorFootprint:
    """Time and energy by footprint on one accelerator.

    Parameters
    ----------
    target
        The accelerator.
    decoder
        What decoding costs.
    costs
        The ways that have a name: float32 (where the accelerator can be given such weights), int8, int4, and packed.
    sweep
        The same bits for all weights, from many to few, all decoded.
    """

    target: str
    decoder: WeightDecoder
    costs: tuple[StorageCost, ...]
    sweep: tuple[StorageCost, ...]

    def cost(self, name: str) -> StorageCost | None:
        """The way of a name."""
        return next((one for one in self.costs if one.name == name), None)

    def pays_from(self, quantity: str) -> float | None:
        """From how many times fewer bits than float32 on decoding costs less ``time_ms`` or ``energy_mj`` than int8.

        Between two footprints of the sweep costs are taken as linear in bits; None where no footprint pays.
        """
        plain = self.cost("int8")
        if plain is None or getattr(plain, quantity) is None:
            return None
        limit = getattr(plain, quantity) * (1 - 1e-6)
        narrow = [one for one in self.sweep if one.bits_per_weight <= plain.bits_per_weight]
        for wide, narrower in itertools.pairwise(narrow):
            more, less = getattr(wide, quantity), getattr(narrower, quantity)
            if less < limit:
                share = min(max((more - limit) / (more - less), 0.0), 1.0)
                bits = wide.bits_per_weight + share * (narrower.bits_per_weight - wide.bits_per_weight)
                return FLOAT32_BITS / bits
        return None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "target": self.target,
            "decoder": asdict(self.decoder),
            "costs": [{**asdict(one), "ratio": one.ratio} for one in self.costs],
            "sweep": [{**asdict(one), "ratio": one.ratio} for one in self.sweep],
            "time_pays_from": self.pays_from("time_ms"),
            "energy_pays_from": self.pays_from("energy_mj"),
        }


def footprint(
    network: StoredNetwork,
    target: SimulatorTarget,
    decoder: WeightDecoder | None = None,
    progress: ProgressCallback = silent,
) -> AcceleratorFootprint:
    """Ask a simulator what a network takes with its weights stored in more and in fewer bits.

    Parameters
    ----------
    network
        What `read_stored` read.
    target
        The simulator, see `profiler.devices.open_target`.
    decoder
        What decoding costs; by default that of `WeightDecoder`.

    Raises
    ------
    EdgetimeError
        The simulator does not run this network; the message says why.
    """
    decoder = decoder or WeightDecoder()
    named: list[tuple[str, Sequence[float | None], bool]] = [
        ("float32", network.all_in(FLOAT32_BITS), False),
        ("int8", network.all_in(8), False),
        ("int4", network.all_in(4), False),
    ]
    if network.packed_bits is not None:
        # A small layer whose tables cost more than they save is no worse than what runs there anyway.
        most = target.most_weight_bits
        packed = [None if bits is None else min(bits, most) for bits in network.packed_bits]
        named += [("packed, decoding free", packed, False), ("packed", packed, True)]
    swept = [(f"{bits:g} bits", network.all_in(bits), True) for bits in SWEEP_BITS]
    ways = [
        way
        for way in (*named, *swept)
        if max(bits for bits in way[1] if bits is not None) <= target.most_weight_bits
    ]
    found = {}
    for done, (name, bits, decoded) in enumerate(ways):
        progress(done / len(ways), f"{target.title}: weights as {name}")
        answer = target.measure_stored(network.content, bits, decoder if decoded else None)
        if "error" in answer:
            raise EdgetimeError(f"{target.title} does not run this network: {answer['error']}.")
        mean = network.mean_bits(tuple(bits))
        found[name] = StorageCost(name, mean, answer["median_us"] / 1e3, answer.get("energy_mj"), decoded)
    costs = tuple(found[name] for name, _, _ in named if name in found)
    return AcceleratorFootprint(
        target.name, decoder, costs, tuple(found[name] for name, _, _ in swept if name in found)
    )
