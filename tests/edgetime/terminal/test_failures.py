"""Every failure is one sentence on stderr and status 1 or 2, never a traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from edgetime.terminal import failures
from profiler.errors import BudgetError, EdgetimeError, UsageError


def reported(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended, failures.reported():
        raise error
    return ended.value.exit_code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            EdgetimeError("net.tflite is damaged: export it again."),
            1,
            "net.tflite is damaged: export it again.",
        ),
        (UsageError("A budget of 0 ms cannot be met."), 2, "A budget of 0 ms cannot be met."),
        (BudgetError("0.3 ms short."), 1, "0.3 ms short."),
        (KeyboardInterrupt(), 1, "Stopped."),
        (MemoryError(), 1, "Out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "big.db"), 1, "No disk space left (big.db)"),
        (PermissionError(errno.EACCES, "Permission denied", "x.db"), 1, "Permission denied (x.db)"),
        (
            ModuleNotFoundError("No module named 'optuna'", name="optuna"),
            1,
            'pip install "edgetime[compress]"',
        ),
        (typer.BadParameter("not a number"), 2, "not a number (see 'edgetime --help')."),
        (ZeroDivisionError("division\nby zero"), 1, "Unexpected ZeroDivisionError (division by zero)"),
    ],
)
def test_one_sentence_and_a_status(error, status, words, capsys):
    code, shown = reported(error, capsys)
    assert code == status
    assert words in shown
    assert len(shown.strip().splitlines()) == 1
    assert shown.startswith("edgetime: ")
    assert "Traceback" not in shown


def test_a_bug_says_how_to_see_where(capsys, monkeypatch):
    _, shown = reported(RuntimeError("x"), capsys)
    assert "EDGETIME_DEBUG=1" in shown
    monkeypatch.setenv("EDGETIME_DEBUG", "1")
    _, shown = reported(RuntimeError("x"), capsys)
    assert "Traceback" in shown


def test_an_exit_passes_with_its_status(capsys):
    assert reported(typer.Exit(1), capsys) == (1, "")


def test_stopping_names_what_is_kept(tmp_path: Path):
    kept = tmp_path / "device.db"
    with pytest.raises(failures.StoppedError, match="nothing was finished"), failures.keeping(kept):
        raise KeyboardInterrupt
    kept.touch()
    with (
        pytest.raises(failures.StoppedError, match=r"kept in .*device\.db; run the same command again"),
        failures.keeping(kept),
    ):
        raise KeyboardInterrupt


WAIT = """
import sys, time, typer
from pathlib import Path
import edgetime.cli as cli
from edgetime.cli import failures
def command():
    with failures.keeping(Path("kept.db")):
        Path("kept.db").touch()
        time.sleep(60)
module = type(sys)("edgetime.cli.wait"); module.command = command
sys.modules["edgetime.cli.wait"] = module
cli.VERBS["wait"] = "wait"
sys.argv = ["edgetime", "wait"]
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_with_one_sentence(number: signal.Signals, tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, SIGINT is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    for _ in range(600):
        if (tmp_path / "kept.db").exists():
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == 1
    assert shown.strip() == (
        "edgetime: Stopped; what was finished is kept in kept.db; run the same command again to go on."
    )


def test_a_reader_that_goes_away_is_no_traceback():
    code = "from edgetime.cli import main; main()"
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", code, "--version"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
