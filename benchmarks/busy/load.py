"""Own load on all cores: one process a core that multiplies matrices and moves memory, all the time or in bursts."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

BURST_S = 0.5
"""Mean length of a burst, and of the pause after it."""

_WORK = """
import os, random, sys, time
import numpy as np
os.environ["OMP_NUM_THREADS"] = "1"
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


@contextlib.contextmanager
def own_load(cores: int, bursts: bool) -> Iterator[None]:
    """Load `cores` cores until the block ends: in bursts, half of the time, or all the time."""
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORK, str(number), str(BURST_S if bursts else 0.0)], env=environment
        )
        for number in range(cores)
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
