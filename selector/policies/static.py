"""Policies: files that say which network to run, beside the `.tflite` files that they name."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError, ModelFileError, missing
from profiler.files import write_json

FORMAT = "edgetime-policy"
VERSION = 1


@dataclass(frozen=True)
class StaticPolicy:
    """Always run the same network, chosen for a device under a budget (None where there was none).

    `sha256` is that of its file when it was chosen, empty where unknown; `candidates` are as `NetworkOption.to_dict` gives them.
    """

    network: Path
    device: str
    budget_ms: float | None = None
    sha256: str = ""
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy as JSON; networks are named relative to its folder, so that both can be moved together."""
        folder = Path(path).resolve().parent
        write_json(
            path,
            {
                "format": FORMAT,
                "version": VERSION,
                "kind": "static",
                "device": self.device,
                "budget_ms": self.budget_ms,
                "network": _relative(self.network, folder),
                "sha256": self.sha256 or digest(self.network),
                "candidates": [
                    {**candidate, "network": _relative(Path(candidate["network"]), folder)}
                    for candidate in self.candidates
                ],
            },
        )


def load_policy(path: str | os.PathLike[str]) -> StaticPolicy:
    """Read what `StaticPolicy.save` wrote.

    Raises EdgetimeError where it is missing, damaged, of another kind, or names a network that is missing or was changed.
    """
    file = Path(path)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(
            EdgetimeError(f"{file} does not exist: write it with 'edgetime select … -o {file}'.")
        ) from None
    except (OSError, ValueError) as error:
        raise EdgetimeError(f"{file} is no policy ({error}): write it with 'edgetime select'.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise EdgetimeError(f"{file} is no policy of edgetime: write it with 'edgetime select'.")
    if value.get("version") != VERSION or value.get("kind") != "static":
        raise EdgetimeError(
            f"{file} is a policy of kind {value.get('kind')!r}, version {value.get('version')!r}, and "
            f"this edgetime reads 'static', {VERSION}: write it again with this edgetime, or install a newer one."
        )
    try:
        policy = StaticPolicy(
            network=file.parent / value["network"],
            device=str(value["device"]),
            budget_ms=None if value["budget_ms"] is None else float(value["budget_ms"]),
            sha256=str(value["sha256"]),
            candidates=[
                {**candidate, "network": str(file.parent / candidate["network"])}
                for candidate in value["candidates"]
            ],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdgetimeError(
            f"{file} is damaged ({error!r}): write it again with 'edgetime select'."
        ) from error
    if digest(policy.network) != policy.sha256:
        raise EdgetimeError(
            f"{policy.network} is not the file that {file} was made for: run 'edgetime select' again."
        )
    return policy


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; ModelFileError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"Cannot read {path} ({error.strerror or error}): check the name.") from error


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
