"""Sequence policies as JSON files, what they name beside them; `load_sequence_policy` gets one ready."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from profiler.errors import EdgetimeError, UsageError, missing
from profiler.files import replacing, write_json
from profiler.values import read_json
from selector.sequence.loaded import LoadedSequencePolicy
from selector.sequence.network import SequenceNetwork
from selector.sequence.policy import SequencePolicy

FORMAT = "edgetime.sequence"
VERSION = 1

_ROLES = ("network", "source_tokens", "target_tokens")

_AGAIN = "write it again with edgetime.sequence.export or 'edgetime tune-beam'"


def save_sequence_policy(
    policy: SequencePolicy,
    path: str | os.PathLike[str],
    network: Path,
    source_tokens: Path | None = None,
    target_tokens: Path | None = None,
    then: Path | None = None,
) -> Path:
    """Write a policy; network and tokens are copied beside it where they lie elsewhere.

    `then` is the policy, in the same folder, that answers what this one is not sure of.

    Returns
    -------
    Path
        The JSON file; it is written last.
    """
    target = Path(path)
    names: dict[str, str | None] = {}
    checksums = {}
    for role, file in zip(_ROLES, (network, source_tokens, target_tokens)):  # noqa: B905 (Python 3.9)
        names[role] = None if file is None else _beside(file, target)
        if file is not None:
            checksums[role] = _digest(file)
    if then is not None:
        if then.resolve().parent != target.resolve().parent:
            raise UsageError(
                f"{then} answers what {target} is not sure of, and lies elsewhere: write both to one folder."
            )
        names["then"], checksums["then"] = then.name, _digest(then)
    whole = replace(policy, **names)  # type: ignore[arg-type]
    write_json(target, {"format": FORMAT, "version": VERSION, **whole.to_dict(), "sha256": checksums})
    return target


def is_sequence_policy(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it is a sequence policy."""
    try:
        return f'"{FORMAT}"' in Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def load_sequence_policy(path: str | os.PathLike[str], threads: int = 1) -> LoadedSequencePolicy:
    """Read a sequence policy and get its network ready; needs numpy, LiteRT, and for text SentencePiece.

    Raises
    ------
    EdgetimeError
        It is missing, damaged, of another version, names what was changed, or is for another network.

    Examples
    --------
    >>> policy = load_sequence_policy("policy.json")                             # doctest: +SKIP
    >>> policy("Ein Hund läuft.").text                                           # doctest: +SKIP
    """
    return _loaded(Path(path), threads, ())


def _loaded(file: Path, threads: int, before: tuple[Path, ...]) -> LoadedSequencePolicy:
    if file.resolve() in before:
        raise EdgetimeError(f"{file} asks itself where it is not sure: {_AGAIN}.")
    policy = read_sequence_policy(file)
    content = (file.parent / policy.network).read_bytes()
    network = SequenceNetwork(
        content,
        policy.begin,
        policy.end,
        policy.longest,
        file.parent / policy.network,
        threads,
        policy.palette,
    )
    if network.palette != policy.palette or network.vocabulary != policy.vocabulary:
        raise EdgetimeError(
            f"{file} is for a decoder of widths {_listed(policy.palette)} and {policy.vocabulary:,} tokens, and {network.file} has "
            f"{_listed(network.palette)} and {network.vocabulary:,}: {_AGAIN}."
        )
    then = (
        None
        if policy.then is None
        else _loaded(file.parent / policy.then, threads, (*before, file.resolve()))
    )
    return LoadedSequencePolicy(policy, file, network, then)


def read_sequence_policy(path: str | os.PathLike[str]) -> SequencePolicy:
    """Read a policy and check the files that it names; see `load_sequence_policy`."""
    file = Path(path)
    try:
        value = read_json(file)
    except FileNotFoundError:
        raise missing(EdgetimeError(f"{file} does not exist: {_AGAIN}.")) from None
    except (OSError, ValueError) as error:
        raise EdgetimeError(f"{file} is no sequence policy ({error}): {_AGAIN}.") from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise EdgetimeError(f"{file} is no sequence policy: {_AGAIN}.")
    version = value.pop("version", None)
    if version != VERSION:
        raise EdgetimeError(
            f"{file} is a sequence policy of version {version!r}, and this edgetime reads {VERSION}: {_AGAIN}."
        )
    try:
        checksums = value.pop("sha256")
        policy = SequencePolicy.from_dict(value)
        for role in (*_ROLES, "then"):
            name = getattr(policy, role)
            if name is None:
                continue
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"it names {name}, which is not in its folder")
            if _digest(file.parent / name) != checksums[role]:
                raise EdgetimeError(
                    f"{file.parent / name} is not the file that {file} was made with: {_AGAIN}."
                )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        detail = " ".join(str(error).split())
        raise EdgetimeError(f"{file} is damaged ({detail}): {_AGAIN}.") from error
    return policy


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise EdgetimeError(f"Cannot read {file} ({error.strerror or error}): check the name.") from error


def _beside(file: Path, target: Path) -> str:
    """Name of a file in the folder of `target`, where it is copied to if it lies elsewhere."""
    copy = target.parent / file.name
    if copy.resolve() != file.resolve() and not (copy.exists() and _digest(copy) == _digest(file)):
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    return copy.name


def _listed(widths: Sequence[int]) -> str:
    return ", ".join(map(str, widths))
