from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from pathlib import Path

import pytest

from profiler.devices import (
    AgentTarget,
    LocalTarget,
    Setting,
    SshTarget,
    agent,
    device_name,
    list_targets,
    open_target,
)
from profiler.errors import TargetError, UsageError
from profiler.operators import conv_2d
from profiler.probes import Probe

PROBE = Probe("layer", (conv_2d(4, 4, 3, 5),)).build()


class FragileTarget(AgentTarget):
    """A local target whose agent dies of some probes, and may refuse to start again."""

    def __init__(self, counter: Path, starts: int = 99) -> None:
        super().__init__("fragile")
        self.counter = counter
        self.starts = starts

    def command(self) -> tuple[list[str], bytes]:
        root = str(Path(agent.__file__).resolve().parent.parent.parent)
        code = f"""
import os, sys
sys.path.insert(0, {root!r})
from profiler.devices import agent
with open({str(self.counter)!r}, "a") as file: file.write("x")
if os.path.getsize({str(self.counter)!r}) > {self.starts}: sys.exit("no more of that")
time_probe = agent.Agent.time_probe
def fragile(self, request, blob):
    if blob.startswith(b"die"):
        os.kill(os.getpid(), 11)
    if blob.startswith(b"once") and os.path.getsize({str(self.counter)!r}) == 1:
        os.kill(os.getpid(), 9)
    return time_probe(self, request, {PROBE!r} if blob.startswith(b"once") else blob)
agent.Agent.time_probe = fragile
agent.serve_standard_streams()
"""
        return [sys.executable, "-c", code], b""


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# --- Settings and names -------------------------------------------------------------------------------------


def test_setting_names_itself() -> None:
    assert Setting("ai-edge-litert", "2.3.0").key == "ai-edge-litert 2.3.0, xnnpack, 1 thread"
    two = Setting("tflite-runtime", "2.14.0", "builtin", 2)
    assert two.key == "tflite-runtime 2.14.0, builtin, 2 threads"
    assert Setting.from_dict(two.to_dict()) == two


def test_device_is_named_by_its_hardware() -> None:
    assert device_name({"cpu": "Cortex-A72", "cores": 4, "version": "2.3.0"}) == "Cortex-A72, 4 cores"
    assert device_name({"cpu": "X", "cores": 1}) == "X, 1 core"


def test_every_listed_target_can_be_written_so() -> None:
    rows = list_targets()
    assert {"spec", "offers"} == set(rows[0])
    for row in rows:
        spec = re.sub(r"\[.*?\]", "", row["spec"]).replace("/path/to/python", sys.executable)
        assert open_target(spec).name


# --- Reading specifications ---------------------------------------------------------------------------------


def test_local_with_options() -> None:
    target = open_target(f"local:threads=2,kernels=builtin,python={sys.executable}")
    assert isinstance(target, LocalTarget)
    assert (target.threads, target.kernels, target.python) == (2, "builtin", sys.executable)
    plain = open_target("local")
    assert isinstance(plain, LocalTarget)
    assert (plain.threads, plain.kernels) == (1, "xnnpack")


def test_ssh_with_options() -> None:
    target = open_target("ssh://pi@board.local:2222?python=/opt/my%20env/python&threads=4")
    assert isinstance(target, SshTarget)
    assert (target.address, target.port, target.threads) == ("pi@board.local", 2222, 4)
    arguments, _ = target.command()
    assert arguments[arguments.index("-p") + 1] == "2222"
    assert arguments[-2] == "pi@board.local"
    assert shlex.split(arguments[-1])[0] == "/opt/my env/python"


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("", "local"),
        ("nix", "'nix'"),
        ("localhost", "localhost"),
        ("npu:edge_tpu_like", "npu:edge_tpu_like"),
        ("local:cores=2", "cores=2"),
        ("local:threads", "threads"),
        ("local:threads=", "threads="),
        ("local:threads=0", "'0'"),
        ("local:threads=-1", "'-1'"),
        ("local:threads=²", "'²'"),
        ("local:threads=1.5", "'1.5'"),
        ("local:kernels=fast", "xnnpack, builtin, reference"),
        ("local:python=/nowhere/python", "/nowhere/python"),
        ("ssh://", "no host"),
        ("ssh://-oProxyCommand=touch", "no host"),
        ("ssh://a@-b", "no host"),
        ("ssh://a b", "no host"),
        ("ssh://host:0", "port"),
        ("ssh://host:99999", "port"),
        ("ssh://host?shell=zsh", "shell=zsh"),
    ],
)
def test_refuses_what_it_does_not_know_and_names_it(spec: str, names: str) -> None:
    with pytest.raises(UsageError, match=re.escape(names)) as caught:
        open_target(spec)
    assert "\n" not in str(caught.value)


def test_constructors_check_too() -> None:
    with pytest.raises(UsageError, match="threads"):
        LocalTarget(threads=0)
    with pytest.raises(UsageError, match="kernels"):
        SshTarget("host", kernels="fast")


# --- Measuring ----------------------------------------------------------------------------------------------


def test_local_measures() -> None:
    with open_target("local") as target:
        assert target.setting.runtime in ("ai-edge-litert", "tflite-runtime", "tensorflow")
        assert target.time_probe(PROBE)["median_us"] > 0
        assert "error" in target.time_probe(b"nonsense")
        assert target.measure_network(PROBE, seconds=0.01)["samples"] >= 5
        with pytest.raises(UsageError, match="seconds"):
            target.measure_network(PROBE, seconds=0)


def test_a_closed_target_opens_again() -> None:
    target = open_target("local")
    first = target.hello()
    target.close()
    target.close()
    assert target.hello() == first
    target.close()


def test_local_under_another_interpreter(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    python = executable(
        tmp_path / "my python", f'#!/bin/sh\n: > {shlex.quote(str(marker))}\nexec {sys.executable} "$@"\n'
    )
    with open_target(f"local:python={python}") as target:
        assert target.time_probe(PROBE)["median_us"] > 0
    assert marker.exists()


def test_interpreter_without_a_runtime_is_told_of(tmp_path: Path) -> None:
    python = executable(tmp_path / "bare", f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    with pytest.raises(TargetError, match="numpy") as caught, open_target(f"local:python={python}") as target:
        target.hello()
    assert "\n" not in str(caught.value)


def test_something_else_than_python_is_told_of(tmp_path: Path) -> None:
    python = executable(tmp_path / "talker", "#!/bin/sh\necho hello there\nsleep 5\n")
    with pytest.raises(TargetError, match="something else"), open_target(f"local:python={python}") as target:
        target.hello()


def test_a_probe_that_kills_the_agent_is_an_error_and_the_next_one_is_measured(tmp_path: Path) -> None:
    with FragileTarget(tmp_path / "starts") as target:
        assert target.time_probe(PROBE)["median_us"] > 0
        assert "signal 11" in target.time_probe(b"die of it")["error"]
        assert target.time_probe(PROBE)["median_us"] > 0
    assert (tmp_path / "starts").stat().st_size == 3  # at first, for a second try, for the next probe


def test_an_agent_that_is_killed_once_is_started_again(tmp_path: Path) -> None:
    with FragileTarget(tmp_path / "starts") as target:
        assert target.time_probe(b"once")["median_us"] > 0


def test_a_device_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    with FragileTarget(tmp_path / "starts") as target:
        target.time_probe(b"die 1")
        target.time_probe(b"die 2")
        with pytest.raises(TargetError, match="3 times in a row"):
            target.time_probe(b"die 3")


def test_a_device_that_is_gone_is_given_up_after_one_restart(tmp_path: Path) -> None:
    with (
        FragileTarget(tmp_path / "starts", starts=1) as target,
        pytest.raises(TargetError, match="no more of that"),
    ):
        target.time_probe(b"die of it")


def test_a_probe_that_hangs_is_ended_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = agent.Connection.ask
    calls = []

    def impatient(self, request, blob=b"", timeout_s=120.0):
        if request["do"] != "time":
            return ask(self, request, blob, timeout_s)
        calls.append(request)
        self._give_up()
        raise agent.DisconnectedError(self.how_it_ended())

    monkeypatch.setattr(agent.Connection, "ask", impatient)
    with FragileTarget(tmp_path / "starts") as target:
        error = target.time_probe(PROBE)["error"]
    assert error.startswith("It was given up: it did not end within 60 s")
    assert len(calls) == 1


# --- SSH ----------------------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that runs the remote command here, through a shell as the real one does; its arguments are kept."""
    arguments = tmp_path / "arguments"
    code = f"""#!{sys.executable}
import os, subprocess, sys
open({str(arguments)!r}, "w").write("\\n".join(sys.argv[1:]))
if "closed" in sys.argv[-2]:
    sys.exit("ssh: connect to host closed port 22: Connection refused")
sys.exit(subprocess.call(["/bin/sh", "-c", sys.argv[-1]]))
"""
    executable(tmp_path / "ssh", code)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return arguments


def test_measures_over_ssh_and_leaves_nothing_there(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home of the board"
    home.mkdir()
    monkeypatch.chdir(home)
    (home / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    with open_target(f"ssh://pi@board:2222?python={sys.executable}&kernels=builtin") as target:
        assert target.setting.kernels == "builtin"
        assert target.time_probe(PROBE)["median_us"] > 0
        assert target.measure_network(PROBE, seconds=0.01)["samples"] >= 5
    assert board.read_text().splitlines()[-2] == "pi@board"
    assert [path.name for path in home.iterdir()] == ["numpy.py"]


def test_the_boards_shell_runs_nothing_but_python(board: Path, tmp_path: Path) -> None:
    marker = tmp_path / "injected"
    target = SshTarget("board", python=f"python3; touch {shlex.quote(str(marker))} #")
    with target, pytest.raises(TargetError):
        target.hello()
    assert not marker.exists()


def test_a_board_that_refuses_is_told_with_its_reason(board: Path) -> None:
    with (
        pytest.raises(TargetError, match=r"Connection refused.*ssh closed"),
        open_target("ssh://closed") as target,
    ):
        target.hello()


def test_without_ssh_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="Cannot run ssh"), open_target("ssh://board") as target:
        target.hello()
