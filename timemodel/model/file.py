"""The file of a time model: read whole, and only as it was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from profiler.errors import TimeModelError, UsageError
from profiler.files import write_json

FORMAT = "edgetime.timemodel"
VERSION = 4


def checksum(value: Mapping[str, Any]) -> str:
    """SHA-256 of all but the field ``checksum``, however the JSON is laid out: an exchanged number is not seen otherwise."""
    rest = {key: part for key, part in value.items() if key != "checksum"}
    # Through JSON, so that tuples and lists, 8 and 8.0 count as the same, as they do in the file.
    plain = json.loads(json.dumps(rest, allow_nan=False), parse_int=float)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def signed(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with its `checksum`."""
    return {**value, "checksum": checksum(value)}


def write(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write `value` with its checksum, whole or not at all."""
    write_json(path, signed(value), indent=None)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write` wrote."""
    file = Path(path)
    anew = "make it anew with 'edgetime fit'"
    name_it = "name the .timemodel.json file that 'edgetime fit' wrote"
    try:
        value = json.loads(file.read_text("utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise UsageError(f"There is no time model {file}: make one with 'edgetime fit'.") from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder: {name_it}.") from error
    except OSError as error:
        raise TimeModelError(f"Cannot read {file} ({error.strerror}): check that you may read it.") from error
    except (ValueError, RecursionError) as error:
        # Bytes that are no UTF-8, text that is no JSON, numbers of 5000 digits.
        raise TimeModelError(f"{file} is damaged or no time model: {anew}.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TimeModelError(f"{file} is no time model: {name_it}.")
    version = value.get("version")
    if isinstance(version, bool) or not isinstance(version, (int, float)):
        raise TimeModelError(f"{file} is damaged (its format version is {version!r}): {anew}.")
    if version > VERSION:
        raise TimeModelError(
            f"{file} was written by a newer edgetime (format version {version}, this one reads {VERSION}): "
            f"install the newer edgetime, or {anew} of this one."
        )
    if version != VERSION:
        reads = f"this edgetime reads version {VERSION}"
        raise TimeModelError(f"{file} has format version {version}, {reads}: {anew}.")
    return value


def check_unchanged(file: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Refuse `value`, read from `file`, if it is not what was written."""
    same = False
    with contextlib.suppress(ValueError, RecursionError):
        same = value.get("checksum") == checksum(value)
    if not same:
        how = "differs" if "checksum" in value else "is missing"
        raise TimeModelError(
            f"{file} was changed after 'edgetime fit' wrote it (its checksum {how}): "
            "take the unchanged file, or make it anew with 'edgetime fit'."
        )


def _refuse(constant: str) -> float:
    raise ValueError(constant)
