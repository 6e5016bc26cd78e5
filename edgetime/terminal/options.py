"""Arguments that several verbs share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from profiler.errors import UsageError

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL.timemodel.json", help="The time model that 'edgetime fit' wrote.")
]

NetworkArgument = Annotated[Path, typer.Argument(metavar="NET", help="A network file (.tflite or .keras).")]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.", show_default=False)
]

InputShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]N,H,W,C", help="Input shape, for files that leave more than the batch open."
    ),
]

SignatureOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Which network of a file with several signatures; default: each of them."
    ),
]

LoopTurnsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, help="How often loops turn whose number depends on the data; default: once."
    ),
]

SettingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which of the time model's settings, or a part of its name that no other has, such as 'builtin'; "
        "default: the first.",
    ),
]

DtypeOption = Annotated[str, typer.Option(metavar="NAMES", help="Number types to measure, with commas.")]

OpsOption = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Only these operators, such as conv_2d,add; default: all."),
]


def output_option(metavar: str, help: str, **more: Any) -> Any:
    """``-o`` or ``--output``: what is written."""
    return typer.Option("-o", "--output", metavar=metavar, help=help, **more)


def panel(title: str) -> Callable[..., Any]:
    """`typer.Option` for options that ``--help`` lists under `title`."""
    return functools.partial(typer.Option, rich_help_panel=title)


def find_setting(known: Iterable[str], wanted: str | None) -> str:
    """The setting that `wanted` names, in full or by a part that only one has (else UsageError); None means the first."""
    names = list(known)
    if wanted is None or wanted in names:
        return names[0] if wanted is None else wanted
    found = [name for name in names if wanted.lower() in name.lower()]
    if len(found) != 1:
        what = "No setting of this time model is" if not found else f"{len(found)} settings are"
        raise UsageError(f"{what} called {wanted!r}: choose from {'; '.join(found or names)}.")
    return found[0]


def split_names(text: str) -> tuple[str, ...]:
    """``float32, int8`` as a tuple of names, each once; UsageError where there is none."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"'{text}' holds no name: write names with commas, such as float32,int8.")
    return names


def parse_share(text: str, option: str) -> float:
    """``3%`` or ``0.03`` as 0.03; UsageError where it is no number, below 0, or 1 and more: then percent may be meant."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1:
        raise UsageError(f"{option} must be a share below 1, such as 0.03 or 3%, not {text!r}.")
    return share


def parse_settings(text: str) -> list[tuple[str, int]]:
    """``xnnpack:1,builtin:2`` as pairs of kernels and threads; without a number one thread. Unknown kernels are found later."""
    settings = []
    for name in split_names(text):
        kernels, _, threads = name.partition(":")
        if not (threads or "1").isdecimal():
            raise UsageError(f"'{name}' is no setting: write kernels and threads, such as xnnpack:2.")
        settings.append((kernels, int(threads or "1")))
    return settings
