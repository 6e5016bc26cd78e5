"""What choosing a network per input saves.

python -m benchmarks.selection --data ../shared/data/tasks --work DIR [--tasks image,sound,motion] [--seeds 3] [--minutes 360]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.selection import members


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tasks"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--tasks", default=",".join(members.TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--minutes", type=float, default=360, help="begins no training after so many minutes")
    options = parser.parse_args(arguments)
    until = time.monotonic() + 60 * options.minutes
    for seed in map(int, options.seeds.split(",")):
        for task in options.tasks.split(","):
            members.make(options.data, options.work, task, seed, lambda line: print(line, flush=True), until)


if __name__ == "__main__":
    main()
