"""Times of exported files, measured in turns with the original of the same task, seed and setting."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from compressor.export import measure_in_turns
from profiler.devices import Target

ORIGINAL = "original"


@dataclass(frozen=True)
class Turn:
    """One file, measured once.

    Attributes
    ----------
    task, setting, seed, cell
        Which file.
    digest
        Of the file: a file that was made anew is measured anew.
    turn
        Number of the round over all files of a task, setting and seed; rounds of another day go on counting.
    measured_ms, measured_p90_ms
        Median and 90th percentile of its runs.
    disturbed
        Whether other work slowed this round down.
    """

    task: str
    setting: str
    seed: int
    cell: str
    digest: str
    turn: int
    measured_ms: float
    measured_p90_ms: float
    disturbed: bool = False


def digest(path: Path) -> str:
    """A short fingerprint of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


class Turns:
    """A file of JSON lines; a line that was cut off by a crash is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Turn] = []
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    self.rows.append(Turn(**json.loads(line)))
                except (ValueError, TypeError):
                    continue

    def add(self, rows: Sequence[Turn]) -> None:
        """Keep the rows of one round, on disk before this returns."""
        self.rows += rows
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + "".join(json.dumps(asdict(row)) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def of(self, task: str, setting: str, seed: int) -> dict[tuple[str, str], dict[int, Turn]]:
        """By cell and digest: the rounds of a file by their number."""
        found: dict[tuple[str, str], dict[int, Turn]] = {}
        for row in self.rows:
            if (row.task, row.setting, row.seed) == (task, setting, seed):
                found.setdefault((row.cell, row.digest), {})[row.turn] = row
        return found

    def relative(self, task: str, setting: str, seed: int, cell: str, mark: str) -> dict[int, float]:
        """A file's time over the original's, for each round in which both were measured; calm rounds if there are any."""
        known = self.of(task, setting, seed)
        mine = known.get((cell, mark), {})
        originals = {turn: row for (name, _), some in known.items() if name == ORIGINAL
                     for turn, row in some.items()}  # fmt: skip
        both = [turn for turn in mine if turn in originals]
        calm = [turn for turn in both if not mine[turn].disturbed and not originals[turn].disturbed]
        return {turn: mine[turn].measured_ms / originals[turn].measured_ms for turn in calm or both}

    def original_ms(self, task: str, setting: str, seed: int) -> float | None:
        """Time of the original: the median of its calm rounds."""
        found = self.of(task, setting, seed)
        rows = [row for (name, _), some in found.items() if name == ORIGINAL for row in some.values()]
        calm = [row.measured_ms for row in rows if not row.disturbed] or [row.measured_ms for row in rows]
        return float(np.median(calm)) if calm else None

    def measured_ms(self, task: str, setting: str, seed: int, cell: str, mark: str) -> float | None:
        """Time of a file in ms: its time over the original's, times the original's; so drift cancels."""
        relative = self.relative(task, setting, seed, cell, mark)
        original = self.original_ms(task, setting, seed)
        return float(np.median(list(relative.values()))) * original if relative and original else None

    def open_files(
        self, task: str, setting: str, seed: int, files: Mapping[str, Path], rounds: int
    ) -> dict[str, Path]:
        """Files that were not measured in enough rounds together with the original, which comes first."""
        known = {name: digest(path) for name, path in files.items()}
        todo = {
            name: path for name, path in files.items()
            if name != ORIGINAL and self._rounds(task, setting, seed, name, known[name]) < rounds
        }  # fmt: skip
        return {ORIGINAL: files[ORIGINAL], **todo} if todo else {}

    def _rounds(self, task: str, setting: str, seed: int, cell: str, mark: str) -> int:
        """Calm rounds, or half of all, so that a machine that is never calm ends, too."""
        rows = self.of(task, setting, seed).get((cell, mark), {}).values()
        return max(sum(not row.disturbed for row in rows), len(rows) // 2)

    def measure(
        self, target: Target, task: str, setting: str, seed: int, files: Mapping[str, Path], seconds: float
    ) -> None:
        """One round over `files`."""
        known = self.of(task, setting, seed)
        number = 1 + max((turn for some in known.values() for turn in some), default=-1)
        found = measure_in_turns(files, target, rounds=1, seconds=seconds)
        self.add(
            [
                Turn(task, setting, seed, name, digest(path), number, found.measured_ms[name][0],
                     found.measured_p90_ms[name][0], found.disturbed)
                for name, path in files.items()
            ]
        )  # fmt: skip
