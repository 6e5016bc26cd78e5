"""More processes on this machine that take part in a search."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

LOGS = "workers"
"""The folder, in that of the search, for what workers print."""

PARENT = "EDGETIME_PARENT"
"""The environment variable that names the process that started a worker."""

_STOP_S = 15.0
_LOOK_S = 1.0


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def thread_limits(workers: int) -> dict[str, str]:
    """The environment in which each of so many workers uses its share of the cores, at least one."""
    share = str(max(1, cores() // workers))
    return {"TF_NUM_INTRAOP_THREADS": share, "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": share}


class Workers:
    """Processes that run `module` with the folder of a search, which they join; at the end of the context they are stopped."""

    def __init__(
        self,
        folder: Path,
        count: int,
        extra: Mapping[str, str] | None = None,
        module: str = "compressor.pipeline.shared.joining",
    ) -> None:
        self._folder, self._count, self._extra, self._module = folder, count, dict(extra or {}), module
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def processes(self) -> list[int]:
        """Their numbers."""
        return [worker.pid for worker in self._running]

    def __enter__(self) -> Workers:
        logs = self._folder / LOGS
        packages = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, [packages, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, **self._extra, PARENT: str(os.getpid())}
        try:
            for number in range(1, self._count + 1):
                logs.mkdir(parents=True, exist_ok=True)
                with self.log(number).open("wb") as log:
                    # In a session of its own: Ctrl-C reaches the first process alone, which stops the others.
                    self._running.append(
                        subprocess.Popen(
                            [sys.executable, "-m", self._module, str(self._folder)],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
                        )
                    )  # fmt: skip
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def log(self, number: int) -> Path:
        """What a worker printed."""
        return self._folder / LOGS / f"{number}.log"

    def lost(self) -> list[str]:
        """A sentence for each that ended with an error or was killed."""
        sentences = []
        for number, worker in enumerate(self._running, start=1):
            code = worker.poll()
            if code:
                how = (
                    f"was killed ({_signal(-code)})"
                    if code < 0
                    else f"failed: {_last_line(self.log(number))}"
                )
                sentences.append(f"Worker {number} {how}; the others did its work. See {self.log(number)}.")
        return sentences

    def stop(self) -> None:
        """End them: kindly, so that they give back what they are at; after a while for good."""
        for worker in self._running:
            if worker.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.terminate()
        until = time.monotonic() + _STOP_S
        for worker in self._running:
            try:
                worker.wait(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def end_with_parent() -> None:
    """In a worker: stop as by Ctrl-C when the process that started it is gone, or stops it."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    parent = os.environ.get(PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="edgetime-parent", daemon=True).start()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].removeprefix("edgetime: ").rstrip(".") if lines else "it said nothing"
