"""What simulators say of whole networks, kept from run to run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from profiler.devices import Target
from profiler.records import Records


@dataclass(frozen=True)
class Truth:
    """Time in ms and energy in mJ of one inference (None where it is not known), and how long the simulator took to say so."""

    ms: float
    mj: float | None
    took_s: float


def known_truths(target: Target, files: Sequence[Path], path: Path) -> dict[str, Truth]:
    """What `target` says of each network, by name; those that it cannot run are named and left out."""
    with target:
        records = Records(path, {"setting": target.setting.key})
        found = {row.pop("network"): Truth(**row) for row in records.read()}
        for file in files:
            if file.stem in found:
                continue
            begin = time.monotonic()
            answer = target.measure_network(file.read_bytes())
            if "error" in answer:
                print(f"{file.stem}: left out, {answer['error']}", flush=True)
                continue
            truth = Truth(answer["median_us"] / 1e3, answer.get("energy_mj"), time.monotonic() - begin)
            records.append({"network": file.stem, **asdict(truth)})
            found[file.stem] = truth
    return found
