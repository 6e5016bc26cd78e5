"""Write docs/command-line.md from the help of every verb: ``make docs``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgetime.cli import VERBS

PAGE = Path(__file__).parent / "command-line.md"

HEAD = """# Command line

Made by `make docs` from `edgetime VERB --help`; do not edit.

Every verb has `--json`: stdout then carries only JSON; progress and warnings go to stderr. Exit status:
0 done, 1 the work failed, 2 bad arguments. Ctrl-C leaves everything that was finished usable.
`EDGETIME_DEBUG=1` shows where an error came from.
"""


def help_text(*verb: str) -> str:
    """What ``edgetime VERB --help`` prints, 96 columns wide and without colours."""
    environment = {**os.environ, "TERMINAL_WIDTH": "96", "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-c", "from edgetime.cli import main; main()", *verb, "--help"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return "\n".join(line.rstrip() for line in output.strip("\n").splitlines()).strip("\n")


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"```\n{help_text()}\n```"]
    parts += [f"\n## {verb}\n\n```\n{help_text(verb)}\n```" for verb in VERBS]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
