"""What ``edgetime run POLICY.json --text …`` does: lines to lines by a sequence policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetime import units
from edgetime.terminal import Terminal

if TYPE_CHECKING:
    from selector.sequence import Translated


def run_texts(policy: Path, text: str | None, lines: Path | None, output: Path | None, json: bool) -> None:
    """Translate one text, the lines of a file, or those of standard input (``-``)."""
    from profiler.errors import UsageError
    from profiler.files import check_writable, write_bytes
    from selector.sequence import is_sequence_policy, load_sequence_policy

    with Terminal(json) as out:
        if (text is None) == (lines is None):
            raise UsageError("Give either --text or --lines, not both.")
        if policy.exists() and not is_sequence_policy(policy):
            raise UsageError(
                f"{policy} is no sequence policy: --text and --lines are for what 'edgetime tune-beam' writes."
            )
        if output is not None:
            check_writable(output)
        loaded = load_sequence_policy(policy)
        given = [text] if text is not None else read_lines(lines)
        found: list[Translated] = []
        with out.progress("Run") as progress:
            for number, line in enumerate(given):
                progress(number / len(given), f"{number + 1:,} of {len(given):,}")
                found.append(loaded(line, cut=True))
        texts = "".join(f"{one.text}\n" for one in found)
        if output is not None:
            write_bytes(output, texts.encode())
        rows = [{"source": line, **one.to_dict()} for line, one in zip(given, found, strict=True)]
        out.json(
            {
                "policy": str(policy),
                "output": None if output is None else str(output),
                **summary(found),
                "lines": rows,
            }
        )
        if output is None:
            out.show(texts.rstrip("\n"))
        if len(found) > 1:
            out.note(_words(summary(found)))


def read_lines(file: Path | None) -> list[str]:
    """Lines of a file, or of standard input for ``-``."""
    from profiler.errors import DataError, missing

    if file is None or str(file) == "-":
        content = sys.stdin.read()
    else:
        try:
            content = file.read_text("utf-8")
        except FileNotFoundError:
            raise missing(DataError(f"{file} does not exist: check the name.")) from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read as text ({error}).") from error
    found = content.removesuffix("\n").split("\n")
    if not content:
        raise DataError("There are no lines: write one input per line.")
    return found


def summary(found: list[Translated]) -> dict[str, Any]:
    """Means over all lines."""
    steps = [width for one in found for width in one.found.widths]
    predicted = [one.predicted_ms for one in found if one.predicted_ms is not None]
    return {
        "mean_measured_ms": sum(1e3 * one.timing.whole_s for one in found) / len(found),
        "mean_predicted_ms": sum(predicted) / len(predicted) if len(predicted) == len(found) else None,
        "mean_width": sum(steps) / len(steps) if steps else 0.0,
        "mean_steps": len(steps) / len(found),
    }


def _words(means: dict[str, Any]) -> str:
    predicted = means["mean_predicted_ms"]
    beside = "" if predicted is None else f", encoder and steps predicted {units.ms(predicted)}"
    return (
        f"{units.ms(means['mean_measured_ms'])} a line{beside}; {means['mean_steps']:.1f} steps of "
        f"{means['mean_width']:.2f} hypotheses"
    )
