"""What ``edgetime select --link … --split`` does: where one network is best cut between two machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, table

if TYPE_CHECKING:
    from selector.policies.remote import Split


def split(
    network: Path,
    time_model: Path,
    link: str,
    cloud_time_model: Path | None,
    output: Path | None,
    out: Terminal,
) -> None:
    """Find the best cut, show all, and write both ends."""
    from selector.candidates import Link
    from selector.policies.remote import best_split, save_split
    from timemodel import TimeModel

    there = None if cloud_time_model is None else TimeModel.load(cloud_time_model)
    found = best_split(network, TimeModel.load(time_model), Link.parse(link), there)
    written = None if output is None else save_split(found, output)
    for note in found.notes:
        out.note(note)
    out.json({**found.to_dict(), "policy": None if written is None else str(written)})
    out.show(*_shown(found))
    if written is not None:
        out.show(f"Policy written to {written}")


def _shown(found: Split) -> list[RenderableType]:
    rows = [
        [
            one.name if one.cut is None else f"{one.cut.after}: {one.name}",
            units.ms(one.here_ms),
            units.size(one.nbytes),
            units.ms(one.send_ms),
            units.ms(one.there_ms),
            units.ms(one.total_ms),
            "best" if one is found.best else "",
        ]
        for one in found.options
    ]
    best, alone = found.best, found.options[-1]
    words = (
        f"Best {best.name}" if best.cut is None else f"Best cut after operator {best.cut.after}, {best.name}"
    )
    times = f"predicted {units.ms(best.total_ms)}, all on {found.device} {units.ms(alone.total_ms)}"
    return [
        table(["cut after", "here", "sent", "sending", "there", "in all", ""], rows),
        "",
        f"{words}: {times}",
    ]
