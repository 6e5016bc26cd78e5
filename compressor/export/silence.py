"""Keeping TensorFlow's and the converter's chatter off stdout and stderr."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

from profiler.errors import EdgetimeWarning, MissingExtraError


class Chatter:
    """What was written while it was quiet; `text` is complete once the block has ended."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def quiet() -> Iterator[Chatter]:
    """Hold back everything that is written to stdout and stderr, by Python and by C++ code alike.

    C++ code writes to the file descriptors, so these are turned aside, for the whole process: use it around conversions and
    imports only. Edgetime's own warnings are given afterwards.
    """
    chatter, loud = Chatter(), sys.stderr
    with tempfile.TemporaryFile() as aside, contextlib.ExitStack() as undo:
        undo.enter_context(_own_warnings_afterwards())
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                undo.callback(_restore, os.dup(descriptor), descriptor)
                os.dup2(aside.fileno(), descriptor)
        text = undo.enter_context(open(os.dup(aside.fileno()), "w", encoding="utf-8", errors="replace"))
        undo.enter_context(contextlib.redirect_stdout(text))
        undo.enter_context(contextlib.redirect_stderr(text))
        try:
            yield chatter
        finally:
            _hand_back(text, loud)
            text.flush()
            aside.seek(0)
            chatter.text = aside.read().decode("utf-8", "replace")


@contextlib.contextmanager
def _own_warnings_afterwards() -> Iterator[None]:
    """Drop the warnings of other libraries; keep those of edgetime until the end: each is given only once."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", EdgetimeWarning)
            yield
    finally:
        for one in caught:
            warnings.warn(one.message, stacklevel=2)


def tensorflow() -> Any:
    """TensorFlow, imported without a word on any stream; MissingExtraError where it is not installed."""
    if "tensorflow" not in sys.modules:
        require("tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet():
            # Its logger has nothing to say.
            importlib.import_module("tensorflow").get_logger().setLevel("ERROR")
    return sys.modules["tensorflow"]


def require(module: str) -> None:
    """Raise MissingExtraError unless `module` is installed; nothing is imported."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f'This needs {module}, which is not installed: pip install "edgetime[compress]".'
        )


def last_complaint(chatter: str, error: BaseException, limit: int = 240) -> str:
    """One line on what went wrong in a conversion: operators that TFLite lacks, else the first error that is named."""
    text = f"{chatter}\n{error}"
    lacking = re.findall(r"'tf\.(\w+)' op is neither", text) + re.findall(r"^\s+tf\.(\w+)\(", text, re.M)
    if lacking:
        return f"TFLite has no {', '.join(sorted(set(lacking)))}"
    lines = [line.strip() for line in re.sub(r"loc\(.*?\)\)*:?", "", str(error)).splitlines() if line.strip()]
    said = [line.split(" error: ", 1)[1] for line in lines if " error: " in line]
    first = (said or lines or [type(error).__name__])[0]
    return first if len(first) <= limit else f"{first[:limit]}…"


def _hand_back(taken: Any, stream: Any) -> None:
    """Let log handlers that were made meanwhile write to `stream`: what they took for stderr is about to be closed."""
    for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is taken:
                handler.setStream(stream)


def _restore(saved: int, descriptor: int) -> None:
    os.dup2(saved, descriptor)
    os.close(saved)
