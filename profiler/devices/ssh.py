"""A board that one can log in to as a target."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from profiler.devices import agent
from profiler.devices.agent_target import AgentTarget, agent_options
from profiler.errors import UsageError

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
    """

    specs: ClassVar = {
        "ssh://user@host[:port][?python=/path&threads=2&kernels=builtin]": (
            "a board over SSH; it needs Python 3.7, numpy, and ai-edge-litert or tflite-runtime"
        ),
    }

    @classmethod
    def from_options(cls, options: str) -> SshTarget:
        """Read ``//[user@]host[:port][?threads=N&kernels=K&python=PATH]``."""
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
    ) -> None:
        address = f"{user}@{host}" if user else host
        super().__init__(f"ssh://{address}{f':{port}' if port else ''}", threads, kernels)
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
