"""Mutated files of every format end in a result or in one sentence; ``EDGETIME_MUTATIONS`` says how many (nightly: 10000)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from robustness import seed_files
from robustness.campaign import SHARES, SLOW, counts, faults, jobs, run

FILES = int(os.environ.get("EDGETIME_MUTATIONS", "150"))
FEW = FILES < 1000

KEPT: tuple[tuple[str, int], ...] = (
    ("db", 842), ("db", 862), ("db", 919), ("tflite", 2053), ("policy_static", 170), ("policy_static", 180),
)  # fmt: skip
"""Kind and number of files that went wrong once: they are read in every run."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    seed_files.make(folder, few=FEW)
    return folder


def test_no_mutated_file_ends_in_a_traceback_a_crash_a_hang_or_a_gigabyte(seeds: Path):
    kinds = [kind for kind in SHARES if not (FEW and kind in SLOW)]
    found = run([*jobs(FILES, kinds), *KEPT], seeds, workers=1 if FEW else 2)
    print(counts(found))
    assert faults(found) == []
    # That nothing was read, or nothing refused, would show that files are damaged too much or not at all.
    for kind in ("tflite", "db"):
        assert {one["what"] for one in found if one["kind"] == kind} == {"read", "refused"}, kind


def test_a_mutated_file_is_the_same_in_every_run(seeds: Path, tmp_path: Path):
    from robustness.worker import written

    for kind in ("tflite", "db", "report", "npz"):
        contents = [written(kind, 3, seeds, tmp_path / str(again)).read_bytes() for again in range(2)]
        assert contents[0] == contents[1], kind


def test_a_traceback_a_crash_and_a_hang_are_found(
    seeds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from robustness import campaign

    code = (
        "import os, sys, time\n"
        "from robustness import worker\n"
        "def odd(path, seeds): raise {'2': IndexError}[path.name]\n"
        "worker.READERS.update(tflite=odd, npz=lambda *_: os._exit(3), csv=lambda *_: time.sleep(60))\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(campaign, "LONGEST_S", 0.6)
    start = campaign._Worker.__init__

    def initialise(self, *places: Path) -> None:
        start(self, *places)
        self._command[2] = code

    monkeypatch.setattr(campaign._Worker, "__init__", initialise)
    found = campaign.run([("tflite", 0), ("npz", 0), ("csv", 0)], seeds)
    assert [one["what"] for one in found] == ["bug", "crash", "hang"]
    assert "KeyError" in found[0]["text"]
    assert len(faults(found)) == 3
