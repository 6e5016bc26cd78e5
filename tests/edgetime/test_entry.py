"""The command as a process: its streams, its width, and signals before it has begun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgetime import entry
from profiler.operators import unary
from profiler.probes import Probe
from profiler.tflite import ModelPlan, OperatorPlan, TensorPlan, encode

RUN = "from edgetime.entry import main; main()"


def run(*arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = 'exec "$0" "$@" ' + shell
    return subprocess.run(
        ["sh", "-c", command, sys.executable, "-c", RUN, *arguments], capture_output=True, text=True,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "sentence"),
    [(">&-", "Standard output is closed"), (">/dev/full", "No disk space left")],
)
def test_a_stdout_that_takes_nothing_is_one_sentence_and_status_1(shell: str, sentence: str):
    done = run("--version", shell=shell)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgetime: {sentence}")
    assert done.stderr.count("\n") == 1


def test_without_stdin_and_stderr_results_are_the_same():
    assert run("--version", shell="<&- 2>&-").stdout == run("--version").stdout


def test_without_stdin_nobody_is_asked_and_nothing_fails():
    code = "import sys; from edgetime import entry; entry._open_streams(); print(sys.stdin.isatty(), sys.stdin.read())"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False \n", "")


@pytest.mark.parametrize("columns", ["0", "1", "-5", "many", "99999999999"])
def test_a_width_in_which_nothing_can_be_printed_counts_as_none(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    from edgetime.terminal import Terminal, table

    monkeypatch.setenv("COLUMNS", columns)
    with Terminal() as out:
        out.show(table(["operator", "time"], [["conv_2d", "1 ms"]]), "all")
    assert capsys.readouterr().out.split() == ["operator", "time", "conv_2d", "1", "ms", "all"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_anything_has_begun_is_one_sentence_and_status_1(number: int):
    code = (
        "import os, signal, sys; from edgetime import entry\n"
        # What runs in the background (nohup, &) hands down that signals are ignored.
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "entry._stop_at_once()\n"
        f"os.kill(os.getpid(), {int(number)})\n"
        "print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "edgetime: Stopped.\n")


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    kept = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        entry._stop_at_once()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        for number, handler in kept:
            signal.signal(number, handler)


NAMES = ("a\x1b]0:owned\x07b", "\u202etxet", "</script><script>\x1b[2J")


def test_names_in_a_network_never_reach_the_terminal_raw(tmp_path: Path, time_model_file: Path, capfd):
    from edgetime.cli import app

    layers = [unary("tanh", (1, 8))] * len(NAMES)
    tensors = [TensorPlan(name, (1, 8), "float32") for name in ("x", *NAMES)]
    operators = [OperatorPlan(layer, [i], [i + 1]) for i, layer in enumerate(layers)]
    plan = ModelPlan(tensors=tensors, operators=operators, inputs=[0], outputs=[len(NAMES)])
    (tmp_path / "net.tflite").write_bytes(encode(plan))
    odd = tmp_path / "no\x1b[31m.tflite"
    for path in (tmp_path / "net.tflite", odd):
        app(["predict", str(time_model_file), str(path)], standalone_mode=False)
        app(["predict", str(time_model_file), str(path), "--json"], standalone_mode=False)
    shown = capfd.readouterr()
    assert r"a\x1b]0:owned" in shown.out
    assert r"no\x1b[31m.tflite does not exist" in shown.err
    assert not set("\x1b\x07\u202e") & set(shown.out + shown.err)
    lines = [json.loads(line) for line in shown.out.splitlines() if line.startswith("{")]
    assert [row["name"] for row in lines[0]["layers"]] == list(NAMES)


def test_an_operator_that_gives_no_result_is_a_damaged_file(tmp_path: Path, time_model_file: Path, capfd):
    from edgetime.cli import app
    from profiler.tflite.objects import to_bytes, to_objects

    model = to_objects(Probe("layer", (unary("tanh", (1, 8)),)).build())
    model.subgraphs[0].operators[0].outputs = []
    (tmp_path / "net.tflite").write_bytes(to_bytes(model))
    assert app(["predict", str(time_model_file), str(tmp_path / "net.tflite")], standalone_mode=False) == 1
    assert "is damaged (an operator tanh gives no result)" in capfd.readouterr().err
