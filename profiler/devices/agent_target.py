"""Targets behind an agent process: starting it, asking it, and starting it again when it dies."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import unquote

from profiler.devices import agent
from profiler.devices.default import note_python
from profiler.devices.power import PowerOption
from profiler.devices.target import Setting, Target
from profiler.errors import TargetError, UsageError
from profiler.operators import conv_2d
from profiler.probes import Probe

KERNELS = agent.KERNELS

_START_S = 120.0
_LONGEST_PROBE_S = 60.0
_LONGEST_POLICY_S = 1800.0
_SLOWEST_LINK = 1e5  # bytes per second
_DEATHS_IN_A_ROW = 3


class AgentTarget(Target):
    """A target behind an agent process that answers over a pipe."""

    known_kernels: ClassVar[tuple[str, ...]] = KERNELS

    def __init__(
        self, name: str, threads: int = 1, kernels: str = "xnnpack", power: str | None = None
    ) -> None:
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}.")
        if self.known_kernels and kernels not in self.known_kernels:
            raise UsageError(f"kernels must be one of {', '.join(KERNELS)}, not {kernels!r}.")
        self.name = name
        self.threads = threads
        self.kernels = kernels
        self.power = None if power is None else PowerOption.parse(power)
        self._meter: dict[str, Any] | None = None
        self._connection: agent.Connection | None = None
        self._stderr: BinaryIO | None = None
        self._fingerprint: dict[str, Any] = {}
        self._deaths = 0

    def command(self) -> tuple[list[str], bytes]:
        """Arguments that start the agent, and what to send it first."""
        raise NotImplementedError

    @property
    def setting(self) -> Setting:
        """How this target runs networks."""
        fingerprint = self.hello()
        return Setting(fingerprint["runtime"], fingerprint["version"], self.kernels, self.threads)

    def hello(self) -> dict[str, Any]:
        """Return the device's fingerprint; starts the agent where it does not run."""
        self._connected()
        return dict(self._fingerprint)

    def time_probe(self, content: bytes) -> dict[str, Any]:
        """Time one small network; one that brings the agent down twice is answered with ``error``."""
        return self._measure({"do": "time"}, content, _LONGEST_PROBE_S)

    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Measure a whole network."""
        return self._ask_for("network", content, seconds, shapes)

    def profile_layers(
        self, content: bytes, seconds: float = 1.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Return the events of the runtime's profiler."""
        return self._ask_for("layers", content, seconds, shapes)

    def run_policy(self, content: bytes, policy: str, seconds: float, on_drift: str) -> dict[str, Any]:
        """Run a policy on rows there."""
        request = {"do": "policy", "policy": policy, "seconds": seconds, "on_drift": on_drift}
        ended = "The connection, or the agent there, ended while it ran, so run it again"
        return self._measure(request, content, _LONGEST_POLICY_S + 20 * seconds, ended)

    def open_power(self) -> dict[str, Any] | None:
        """See `Target.open_power`; the source is read on the device."""
        if self.power is None:
            return None
        if self.power.given_w is not None:
            return {"source": "given", "where": self.power.argument, "given_w": self.power.given_w}
        answer = self._meter or self._open_meter()
        if "sensor" in answer:
            raise TargetError(f"No energy from {self.name}: {answer['sensor']}.")
        return dict(answer)

    def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
        """See `Target.measure_power`."""
        if self.power is None or self.power.given_w is not None:
            return super().measure_power(content, seconds)
        self._connected()
        if self._meter is None:  # the agent was started again meanwhile
            answer = self._open_meter()
            if "sensor" in answer:
                return answer
        request = {"do": "power", "seconds": seconds}
        return self._measure(request, content or b"", _LONGEST_PROBE_S + 4 * seconds)

    def _open_meter(self) -> dict[str, Any]:
        assert self.power is not None
        self._connected()
        request, code = self.power.request
        answer = self._checked(request, code)
        self._meter = None if "sensor" in answer else answer
        return answer

    def _ask_for(
        self, task: str, content: bytes, seconds: float, shapes: Sequence[Sequence[int]]
    ) -> dict[str, Any]:
        if not (math.isfinite(seconds) and seconds > 0):
            raise UsageError(f"seconds must be above 0, not {seconds}.")
        request = {"do": task, "seconds": seconds, "shapes": [list(shape) for shape in shapes]}
        mend = "" if self.time_limit_s is None else " (--time-limit says how long it may take)"
        return self._measure(request, content, self.time_limit_s or 300.0 + 20 * seconds, mend=mend)

    def close(self) -> None:
        """End the agent."""
        self._meter = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def _measure(
        self,
        request: dict[str, Any],
        content: bytes,
        timeout_s: float,
        ended: str = "It brought the agent down",
        mend: str = "",
    ) -> dict[str, Any]:
        timeout_s += len(content) / _SLOWEST_LINK
        if self.calm_below_us is not None:
            request = {**request, "calm_below_us": self.calm_below_us}
        reason = last_words = ""
        for _ in range(2):
            connection = self._connected()
            try:
                answer = connection.ask(request, content, timeout_s)
            except agent.DisconnectedError as error:
                reason = str(error)
                timed_out = connection.timed_out
                last_words = self._last_words()
                self.close()
                if timed_out:
                    ended, reason = "It was given up", f"it did not end within {timeout_s:.0f} s{mend}"
                    break
                continue
            self._deaths = 0
            return answer
        self._deaths += 1
        if self._deaths >= _DEATHS_IN_A_ROW:
            raise TargetError(
                f"The agent on {self.name} went down {self._deaths} times in a row ({reason}{last_words}): "
                "what was measured is kept; look after the device and run the same command again."
            )
        return {"error": f"{ended}: {reason}{last_words.rstrip('.')}."}

    def _connected(self) -> agent.Connection:
        if self._connection is not None:
            return self._connection
        try:
            self._start()
        except agent.DisconnectedError as error:
            last_words = self._last_words()
            self.close()
            hint = "run the same command again." if "by signal" in str(error) else self._hint()
            message = f"The agent on {self.name} does not run ({error}{last_words}): {hint}"
            raise TargetError(message) from error
        except BaseException:
            self.close()
            raise
        assert self._connection is not None
        return self._connection

    def _start(self) -> None:
        arguments, preamble = self.command()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._connection = agent.Connection(arguments, preamble, self._stderr)
        except OSError as error:
            raise TargetError(f"Cannot run {arguments[0]} for {self.name}: {error.strerror}.") from error
        answer = self._checked({"do": "hello"})
        if answer.get("protocol") != agent.PROTOCOL:
            raise TargetError(f"The agent on {self.name} belongs to another version of edgetime.")
        self._fingerprint = dict(answer["fingerprint"])
        self._configure()

    def _configure(self) -> None:
        request = {"do": "configure", "threads": self.threads, "kernels": self.kernels}
        self._checked(request, canary(self.kernels))

    def _checked(self, request: dict[str, Any], content: bytes = b"") -> dict[str, Any]:
        assert self._connection is not None
        answer = self._connection.ask(request, content, _START_S)
        if "error" in answer:
            raise TargetError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        """Return the end of what the agent wrote to standard error, for a message."""
        if self._stderr is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            self._stderr.seek(0)
            lines = self._stderr.read()[-4000:].decode("utf-8", "replace").split("\n")
            lines = [line.strip() for line in lines if not line.startswith(("INFO:", "WARNING:"))]
            lines = [line for line in lines if line]
            return f"; {lines[-1][:300]}" if lines else ""
        return ""

    def _hint(self) -> str:
        return "check that this Python has numpy and ai-edge-litert."


def canary(kernels: str = KERNELS[0]) -> bytes:
    """Return the fixed network that agents time beside everything else; profiles of one format share it."""
    size, channels = (8, 8) if kernels == "reference" else (16, 16)
    return Probe("layer", (conv_2d(size, size, channels, channels),)).build(seed=0)


def agent_options(parts: Iterable[str]) -> dict[str, Any]:
    """Arguments of an `AgentTarget` from parts such as ``threads=2``."""
    options: dict[str, Any] = {}
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        if name not in ("threads", "kernels", "python", "power") or not value:
            raise UsageError(f"{part!r} is no option; the options are threads=, kernels=, python=, power=.")
        options[name] = value
    threads = options.get("threads")
    if threads is not None:
        if not threads.isascii() or not threads.isdigit() or not 0 < int(threads) <= 1024:
            raise UsageError(f"threads must be a whole number from 1 up, not {threads!r}.")
        options["threads"] = int(threads)
    return options


class LocalTarget(AgentTarget):
    """This machine: the agent runs as a process of its own, under this interpreter or another one.

    Parameters
    ----------
    threads, kernels
        The setting; kernels are ``xnnpack``, ``builtin`` or ``reference``.
    python
        The interpreter that runs the agent: one with numpy and a LiteRT or tflite-runtime package.
    power
        Where energy is read: the name of a source, such as ``rapl``, or an average such as ``2.5W``; None for no energy.
    """

    specs: ClassVar = {
        "local": (
            "this machine, XNNPACK kernels, one thread: profile, predict --measure with times per operator"
        ),
        "local:threads=2": "this machine with more threads",
        "local:kernels=builtin": "this machine without XNNPACK",
        "local:kernels=reference": "this machine with the plain reference kernels (slow)",
        "local:python=/path/to/python": "this machine with the runtime of another Python",
    }

    @classmethod
    def from_options(cls, options: str) -> LocalTarget:
        """Read ``threads=N,kernels=K,python=PATH,power=SOURCE``."""
        return cls(**agent_options(options.split(",")))

    def __init__(
        self,
        threads: int = 1,
        kernels: str = "xnnpack",
        python: str | None = None,
        power: str | None = None,
    ) -> None:
        super().__init__("local", threads, kernels, power)
        if python is not None and shutil.which(python) is None:
            raise UsageError(f"there is no Python interpreter {python}: give the path of one after python=.")
        self.python = python or sys.executable

    def command(self) -> tuple[list[str], bytes]:
        """Run the agent's file."""
        return [self.python, str(Path(agent.__file__).resolve()), "--serve"], b""

    def _start(self) -> None:
        super()._start()
        note_python(self.python, self._fingerprint)


# The agent's source comes over standard input: the board needs no file of ours.
_BOOTSTRAP = (
    "import sys;sys.path=[p for p in sys.path if p];b=sys.stdin.buffer;g={'__name__':'agent'};"
    "exec(compile(b.read(int(b.readline())),'agent.py','exec'),g);g['serve_standard_streams']()"
)
_HOST = re.compile(
    r"(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w.][\w.-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>\d+))?/?"
)


class SshTarget(AgentTarget):
    """A board that one can log in to: the agent's source is sent over the connection, nothing is left there.

    Parameters
    ----------
    host, user, port
        As for ``ssh``, whose own configuration (keys, host aliases) applies.
    python
        The interpreter on the board, with numpy and a LiteRT or tflite-runtime package.
    power
        As for `LocalTarget`; the source is read on the board.
    """

    specs: ClassVar = {
        "ssh://user@host[:port][?python=/path&threads=2&kernels=builtin&power=ina]": (
            "a board over SSH; it needs Python 3.7, numpy, and ai-edge-litert or tflite-runtime"
        ),
    }

    @classmethod
    def from_options(cls, options: str) -> SshTarget:
        """Read ``//[user@]host[:port][?threads=N&kernels=K&python=PATH&power=SOURCE]``."""
        address, _, query = options.removeprefix("//").partition("?")
        match = _HOST.fullmatch(address)
        if match is None or not options.startswith("//"):
            raise UsageError("it names no host: write ssh://user@host or ssh://user@host:port.")
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port < 65536:
            raise UsageError("the port must be from 1 to 65535.")
        parts = [unquote(part) for part in query.split("&")]
        return cls(match["host"].strip("[]"), match["user"], port, **agent_options(parts))

    def __init__(
        self,
        host: str,
        user: str | None = None,
        port: int | None = None,
        threads: int = 1,
        kernels: str = "xnnpack",
        python: str = "python3",
        power: str | None = None,
    ) -> None:
        address = f"{user}@{host}" if user else host
        super().__init__(f"ssh://{address}{f':{port}' if port else ''}", threads, kernels, power)
        self.address = address
        self.port = port
        self.python = python

    def command(self) -> tuple[list[str], bytes]:
        """Run `_BOOTSTRAP` on the board. The far side's shell splits the command, so its parts are quoted."""
        arguments = ["ssh", "-T", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"]
        if self.port:
            arguments += ["-p", str(self.port)]
        remote = f"{shlex.quote(self.python)} -c {shlex.quote(_BOOTSTRAP)}"
        source = Path(agent.__file__).read_bytes()
        return [*arguments, "--", self.address, remote], b"%d\n" % len(source) + source

    def _hint(self) -> str:
        return f"check that 'ssh {self.address}' logs in, that its {self.python} has numpy and LiteRT."
