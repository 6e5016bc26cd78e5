"""Arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from profiler.errors import UsageError

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL.timemodel.json", help="The time model that 'edgetime fit' wrote.")
]

NetworkArgument = Annotated[Path, typer.Argument(metavar="NET", help="A network file (.tflite or .keras).")]

InputShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]N,H,W,C", help="Input shape, for files that leave more than the batch open."
    ),
]


def split_names(text: str) -> tuple[str, ...]:
    """``float32, int8`` as a tuple of names, each once.

    Raises
    ------
    UsageError
        No name in it.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"'{text}' holds no name: write names with commas, such as float32,int8.")
    return names


def parse_settings(text: str) -> list[tuple[str, int]]:
    """``xnnpack:1,builtin:2`` as pairs of kernels and threads; without a number one thread.

    Raises
    ------
    UsageError
        The threads are no number. Unknown kernels are found later.
    """
    settings = []
    for name in split_names(text):
        kernels, _, threads = name.partition(":")
        if not (threads or "1").isdecimal():
            raise UsageError(f"'{name}' is no setting: write kernels and threads, such as xnnpack:2.")
        settings.append((kernels, int(threads or "1")))
    return settings
