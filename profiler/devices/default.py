"""Where to measure unless the user says it: this machine, with the runtime that a time model was measured with.

A time model only names the Python that has that runtime; what is started is what the user started before, which is noted in
their own settings, and never what a file says.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from profiler.devices import agent
from profiler.errors import UsageError
from profiler.values import read_json

_FILE = "targets.json"
_PYTHONS = "pythons"


def default_target(setting: Any) -> str:
    """This machine under a time model's setting, as `open_target` takes it, with the Python that it was measured with.

    For the model of a simulator, that simulator.

    Raises UsageError where the user has never measured with that other Python.
    """
    known = getattr(setting, "setting", None) or {}
    if known.get("target"):
        return str(known["target"])
    parts = [f"{key}={known[key]}" for key in ("threads", "kernels") if key in known]
    python = _other_python(getattr(setting, "fingerprint", None) or {})
    if python is not None:
        parts.append(f"python={python}")
    return "local" + (":" + ",".join(parts) if parts else "")


def _other_python(fingerprint: dict[str, Any]) -> str | None:
    """The Python that measured, as the user wrote it then; None where it is this one, elsewhere, or gone."""
    named = fingerprint.get("executable")
    here = {"machine": platform.machine(), "cpu": agent.cpu_model(), "cores": os.cpu_count() or 1}
    if not isinstance(named, str) or named == sys.executable or "," in named:
        return None
    if any(fingerprint.get(key) != value for key, value in here.items()):
        return None
    used = _used_pythons().get(named)
    if used is not None and shutil.which(used) is not None:
        return used
    if not named.isprintable() or not os.path.exists(named):
        return None
    raise UsageError(
        f"The time model was measured with the Python {named}, which is not started because a file says so: "
        f"if you trust it, add --target {shlex.quote(f'local:python={named}')}, or use this Python by --target local."
    )


def note_python(python: str, fingerprint: dict[str, Any]) -> None:
    """Note in the user's settings, if they can be written, that they measured with `python`, whose agent gave `fingerprint`."""
    named, used = fingerprint.get("executable"), shutil.which(python)
    if python == sys.executable or not isinstance(named, str) or used is None:
        return
    known = _used_pythons()
    used = os.path.abspath(used)
    if known.get(named) == used or "," in used:
        return
    with contextlib.suppress(OSError, RuntimeError):
        folder = _settings_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{_FILE}.", dir=folder)  # only the user can read it
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump({_PYTHONS: {**known, named: used}}, file, indent=1)
            os.replace(temporary, folder / _FILE)
        except BaseException:
            os.unlink(temporary)
            raise


def _used_pythons() -> dict[str, str]:
    """By the name that each gives itself, the Pythons that the user measured with."""
    try:
        value = read_json(_settings_folder() / _FILE)[_PYTHONS]
        return {str(named): str(used) for named, used in value.items()}
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _settings_folder() -> Path:
    """``$EDGETIME_CONFIG_DIR``, else ``edgetime`` in ``$XDG_CONFIG_HOME``, else ``~/.config/edgetime``."""
    named = os.environ.get("EDGETIME_CONFIG_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgetime"
