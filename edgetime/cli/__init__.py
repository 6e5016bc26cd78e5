"""The command line: one thin module per verb, imported when that verb is asked for."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.core
import typer.main

from edgetime import __version__
from edgetime.terminal import failures, keeping_inputs

VERBS = {
    "demo": "demo",
    "profile": "profile",
    "fit": "fit",
    "explain": "explain",
    "predict": "predict",
    "advise": "advise",
    "compare": "compare",
    "compress": "compress",
    "export": "export",
    "pack": "pack",
    "unpack": "unpack",
    "footprint": "footprint",
    "exits": "exits",
    "select": "select",
    "tune-beam": "tune_beam",
    "run": "run",
    "bundle": "bundle",
    "import": "import_",
    "targets": "targets",
    "report": "report",
}
"""Verb and the module of this package whose ``command`` function it runs, in the order of a day's work."""


_TYPERS_STOP = 130
"""What Typer makes of Ctrl-C while it reads the arguments."""


def _load(verb: str) -> Any:
    """The command of a verb, whose module is imported for it."""
    command = importlib.import_module(f"{__name__}.{VERBS[verb]}").command
    holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
    holder.command(verb, help=_help_text(command))(keeping_inputs(command))
    return typer.main.get_command(holder)


def _help_text(command: Any) -> str:
    """The docstring with each paragraph on one line, except those that begin with a line ``\\b``."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(
        text.removeprefix("\b\n") if text.startswith("\b") else " ".join(text.split("\n"))
        for text in paragraphs
    )


class VerbGroup(typer.core.TyperGroup):
    """The group of verbs: imports them late and turns every failure into one sentence and an exit status."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: dict[str, Any] = dict.fromkeys(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb; None where there is no such verb."""
        if cmd_name in VERBS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a failure is reported in one sentence and ends with its exit status."""
        with failures.reported():
            return super().invoke(ctx)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run the command line and leave with status 0, 1 or 2."""
        standalone = extra.pop("standalone_mode", True)
        try:
            with failures.reported(), failures.plain_warnings():
                status = super().main(args, prog_name or "edgetime", standalone_mode=False, **extra)
        except typer.Exit as ended:
            status = ended.exit_code
        status = status if isinstance(status, int) else 0
        if status == _TYPERS_STOP:
            failures.say_stopped()
            status = 1
        if standalone:
            sys.exit(status)
        return status


app = typer.Typer(cls=VerbGroup, add_completion=False, rich_markup_mode="rich", no_args_is_help=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _edgetime(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """How long does this network take on that device, why, and how do I make it faster?

    Measure a device once with [bold]profile[/], learn its time model with [bold]fit[/]; all other verbs use
    that model.
    [bold]edgetime demo[/] shows the whole story on this machine.
    """


def main() -> None:
    """Run the command line; `edgetime.entry` does it for the ``edgetime`` command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    failures.stop_on_terminate()
    app()
