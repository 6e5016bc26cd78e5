"""What reads power beside repeated runs on the device, in windows between canaries; it is sent there with the sensor's file.

Python 3.7 and its standard library, without other imports of edgetime.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

LEAST_SLICE_S, STEPS_PER_SLICE = 0.02, 10
"""A slice of a window is so long and, where energy is counted in steps, so many of these."""
SETTLING = 2
"""So many readings at the beginning of a window are of what was before."""
LEAST_SLICES = 5
CHANGES, QUICK_S, PATIENCE_S = 12, 2.0, 8.0
"""The sensor's rate is known after so many changes; it is waited for so long, or at most so long."""
FEWEST_CHANGES = 3
LEAST_W, MOST_W = 1e-3, 2e3
"""No board that runs networks draws less, or more."""
JUMP, MOST_JUMPS = 4.0, 0.25
"""A reading so many times off the middle is a jump; more than this share of them makes the sensor useless."""
OTHERS_CORES = 0.05
"""More of a core than this for other processes disturbs what all of the machine draws."""


class SensorError(Exception):
    """The sensor is useless or gone; the message says why."""


class Meter:
    """A sensor that nobody else uses meanwhile, with its rate. `busy` is something to run while that is found out."""

    def __init__(
        self,
        sensor: Any,
        name: str,
        busy: Callable[[], Any],
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sensor, self.name, self.clock, self.sleep = sensor, name, clock, sleep
        self.lock: Any = None
        self.take_lock()
        self.counts = sensor.unit == "J"
        self.period_s = self.find_period(busy)
        slices_s = STEPS_PER_SLICE * self.period_s if self.counts else self.period_s
        self.slice_s = max(LEAST_SLICE_S, slices_s)
        watts = self.window(None, 3 * self.slice_s)["power_w"]
        if not LEAST_W <= watts <= MOST_W:
            raise SensorError(
                f"{self.name} ({sensor.where}) says {watts:.3g} W: its numbers are in another unit than its kind has, "
                "so register a source of your own that converts them"
            )

    def take_lock(self) -> None:
        """Two processes that measure on one machine measure each other."""
        try:
            import fcntl
        except ImportError:
            return
        safe = re.sub(r"\W+", "-", f"{self.name} {self.sensor.where}")[:80]
        path = os.path.join(tempfile.gettempdir(), f"edgetime-power-{safe}.lock")
        try:
            self.lock = open(path, "a")  # noqa: SIM115 (held as long as the process lives)
        except OSError as error:
            raise SensorError(f"cannot open {path} ({error.strerror}): remove it") from None
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock.close()
            raise SensorError(
                f"another process measures with {self.name} ({self.sensor.where}) there: wait until it has ended"
            ) from None

    def close(self) -> None:
        """Let others use the sensor."""
        if self.lock is not None:
            self.lock.close()
        with contextlib.suppress(AttributeError):
            self.sensor.close()

    def read(self) -> float:
        """What the sensor says now."""
        try:
            value = float(self.sensor.read())
        except (OSError, ValueError, TypeError) as error:
            raise SensorError(f"{self.name} is gone: {error}") from None
        return value

    def find_period(self, busy: Callable[[], Any]) -> float:
        """How often the sensor has something new, in seconds, under a load that comes and goes."""
        begin = self.clock()
        value = self.read()
        changes: list[float] = []
        while len(changes) < CHANGES:
            spent = self.clock() - begin
            if spent > PATIENCE_S or (spent > QUICK_S and len(changes) >= FEWEST_CHANGES):
                break
            if int(spent / 0.1) % 2:
                busy()
            else:
                self.sleep(2e-4)
            now = self.read()
            if now != value:
                changes.append(self.clock())
                value = now
        if len(changes) < FEWEST_CHANGES:
            raise SensorError(
                f"{self.name} ({self.sensor.where}) changed {len(changes)} times in {PATIENCE_S:.0f} s: "
                "it stands still, or is too slow to tell operators apart"
            )
        return statistics.median(after - before for before, after in zip(changes, changes[1:]))  # noqa: B905, RUF007

    def describe(self) -> dict[str, Any]:
        """What is read, how often it has something new, and how long a window must last."""
        least_s = (LEAST_SLICES + (0 if self.counts else SETTLING)) * self.slice_s
        return {
            "source": self.name,
            "where": self.sensor.where,
            "unit": self.sensor.unit,
            "period_s": self.period_s,
            "least_s": least_s,
        }

    def window(
        self,
        invoke: Callable[[], Any] | None,
        seconds: float,
        canary: Callable[[], float] | None = None,
        limit_us: float = math.inf,
    ) -> dict[str, Any]:
        """Run `invoke` (None: rest) for so long, or up to twice as long while little is calm; returns what was drawn meanwhile.

        Slices between calm canaries count where there are enough of them, else the calmest ones, and the window is `disturbed`, as
        it is where other processes had more than `OTHERS_CORES`. Readings that jump do not count.
        """
        clock, read = self.clock, self.read
        settling = 0 if self.counts else SETTLING
        slices: list[tuple[float, float, list[float]]] = []
        runs = 0
        before = canary() if canary else 0.0
        at_work_s = others_s()
        begin = clock()
        while True:
            spent = clock() - begin
            calm = sum(slowest <= limit_us for slowest, *_ in slices)
            if (
                len(slices) >= LEAST_SLICES
                and spent >= seconds
                and (2 * calm >= len(slices) or spent >= 2 * seconds)
            ):
                break
            start_j, since = read() if self.counts else 0.0, clock()
            until = since + self.slice_s
            if invoke is None:
                self.sleep(self.slice_s)
            else:
                while clock() < until:
                    invoke()
                    runs += 1
            value = read()
            spent_s = clock() - since
            watts = (value - start_j) / spent_s if self.counts else value
            after = canary() if canary else 0.0
            settling -= 1
            if settling < 0:
                slices.append((max(before, after), watts, [before, after]))
            before = after
        seconds = clock() - begin
        at_work_after_s = others_s()
        others = None
        if at_work_s is not None and at_work_after_s is not None:
            others = max(0.0, at_work_after_s - at_work_s) / seconds
        middle = statistics.median(row[1] for row in slices)
        good = [row for row in slices if row[1] >= 0 and middle / JUMP <= row[1] <= middle * JUMP]
        jumps = len(slices) - len(good)
        if jumps > MOST_JUMPS * len(slices) or not middle >= 0:
            raise SensorError(f"{self.name} jumps: {jumps} of {len(slices)} readings are far from the others")
        quiet = [row for row in good if row[0] <= limit_us]
        disturbed = len(quiet) < LEAST_SLICES - 1
        kept = sorted(good, key=lambda row: row[0])[: max(3, len(good) // 4)] if disturbed else quiet
        drawn = [row[1] for row in kept]
        canaries = [statistics.median(row[2][side] for row in kept) for side in (0, 1)]
        return {
            "power_w": statistics.mean(drawn),
            "spread_w": statistics.pstdev(drawn),
            "readings": len(kept),
            "jumps": jumps,
            "runs": runs,
            "seconds": seconds,
            "others": others,
            "canaries_us": canaries if all(canaries) else [],
            "disturbed": disturbed or (others or 0.0) > OTHERS_CORES,
        }


def others_s() -> float | None:
    """Seconds that all cores together were at work so far for other processes; None where the system does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq = map(int, itertools.islice(file.readline().split(), 1, 8))
    except (OSError, ValueError):
        return None
    own = os.times()
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK") - own.user - own.system
