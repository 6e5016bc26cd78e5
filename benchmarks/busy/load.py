"""Own load beside a profile: processes that multiply matrices and move memory, all the time or in bursts, or only stream memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

BURST_S = 0.5
"""Mean length of a burst, and of the pause after it."""
STREAMED_BYTES = 64 << 20
"""Size of the arrays that are copied: beyond most last-level caches."""

_MIXED = """
import os, random, sys, time
import numpy as np
random.seed(int(sys.argv[1]))
bursts = float(sys.argv[2])
a, big = np.random.rand(96, 96), np.zeros(4 << 20)
while os.getppid() != 1:
    until = time.monotonic() + (random.expovariate(1 / bursts) if bursts else 1.0)
    while time.monotonic() < until:
        a @ a
        if random.random() < 0.001:
            big += 1.0
    if bursts:
        time.sleep(random.expovariate(1 / bursts))
"""
_STREAM = """
import os, sys
import numpy as np
source = np.ones(int(sys.argv[1]) // 8)
copy = np.zeros_like(source)
while os.getppid() != 1:
    np.copyto(copy, source)
"""

_CORES = os.cpu_count() or 1
_LOADS: dict[str, list[list[str]]] = {
    "now": [],
    "bursts": [["-c", _MIXED, str(number), str(BURST_S)] for number in range(_CORES)],
    "always": [["-c", _MIXED, str(number), "0"] for number in range(_CORES)],
    "memory": [["-c", _STREAM, str(STREAMED_BYTES)]] * max(1, _CORES - 1),
}
SETTINGS = tuple(_LOADS)


@contextlib.contextmanager
def own_load(setting: str) -> Iterator[None]:
    """Load the machine until the block ends.

    ``now`` adds nothing; ``bursts`` and ``always`` load all cores, half of the time or all of it; ``memory`` copies large arrays on
    all cores but one, so that there is a core to measure on but what all cores share is busy.
    """
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    workers = [
        subprocess.Popen([sys.executable, *arguments], env=environment) for arguments in _LOADS[setting]
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
