"""A real PostgreSQL for tests: on loopback, on a free port, in a temporary folder, as a user of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_START_S = 60.0


class Server:
    """A server that can be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path, user: dict[str, object]) -> None:
        self._binaries, self._folder, self._user = binaries, folder, user
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql+psycopg://edgetime@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        made = subprocess.run(
            [
                self._binaries / "initdb",
                *("-D", self._folder / "data", "-U", "edgetime", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            cwd=self._folder, capture_output=True, text=True, check=False, **self._user,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}")

    def start(self) -> None:
        log = self._folder / "log"
        settings = ("fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        options = [word for setting in settings for word in ("-c", setting)]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self.port), *options],
                cwd=self._folder, stdout=file, stderr=file, **self._user,
            )  # fmt: skip
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                pytest.skip(f"PostgreSQL does not start: {log.read_text().strip().splitlines()[-1:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """At once, as by a power cut to those who are connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(3)  # SIGQUIT
            self._process.wait(timeout=30)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(
                f"host=127.0.0.1 port={self.port} user=edgetime dbname=postgres", connect_timeout=2
            ).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def postgres_server() -> Iterator[Server]:
    """A running server; the test is skipped where there can be none, with the reason."""
    pytest.importorskip("psycopg", reason='PostgreSQL needs its driver: pip install "edgetime[postgres]"')
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (on Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="edgetime-postgres-"))
    try:
        user: dict[str, object] = {}
        if os.geteuid() == 0:
            # It refuses to run as root.
            other = _unprivileged()
            os.chown(folder, other.pw_uid, other.pw_gid)
            user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        server = Server(binaries, folder, user)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "postgres").exists() and (p / "initdb").exists()), None)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody'")
    raise AssertionError
