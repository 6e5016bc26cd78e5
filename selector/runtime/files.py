"""Policy folders: one JSON file, the networks and arrays beside it, and a checksum of each."""

from __future__ import annotations

import hashlib
import io
import math
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.archives import read_arrays_of
from profiler.errors import EdgetimeError, ModelFileError, UsageError, missing
from profiler.files import replacing, write_bytes, write_json
from profiler.values import read_json
from selector.runtime.confidence import KINDS
from selector.runtime.specification import PolicyNetwork, Specification, Stage

FORMAT = "edgetime-policy"
VERSION = 2
NAME = "policy.json"
"""What a policy is called in a folder."""

_AGAIN = "write it again with 'edgetime select'"


def save_policy(
    specification: Specification, files: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]
) -> Path:
    """Write a policy; networks that lie outside its folder are copied into it.

    Parameters
    ----------
    specification
        The policy; `file` and `sha256` of its networks are filled in here.
    files
        The ``.tflite`` file of each of its networks, in their order.
    path
        The JSON file, or a folder, where it is called ``policy.json``.

    Returns
    -------
    Path
        The JSON file. It is written last, so that a crash leaves the policy before it whole.

    Raises
    ------
    UsageError
        Its parts do not fit together.
    EdgetimeError
        A network is not the one that was chosen, or the place cannot be written to.
    """
    target = Path(path)
    if target.is_dir() or target.suffix != ".json":
        target = target / NAME
    folder = target.resolve().parent
    if len(files) != len(specification.networks):
        raise UsageError(
            f"{len(files)} files for {len(specification.networks)} networks: give one for each, in their order."
        )
    networks = []
    for network, file in zip(specification.networks, map(Path, files)):  # noqa: B905 (Python 3.9)
        sha256 = digest(file)
        if network.sha256 and network.sha256 != sha256:
            raise EdgetimeError(f"{file} changed since it was chosen: run 'edgetime select' again.")
        networks.append(replace(network, file=_inside(file, sha256, folder), sha256=sha256))
    candidates = tuple(
        {**one, "network": _relative(Path(one["network"]), folder)} if "network" in one else one
        for one in specification.candidates
    )
    whole = replace(specification, networks=tuple(networks), candidates=candidates)
    try:
        check(whole)
    except ValueError as error:
        raise UsageError(f"This policy cannot be written to {target}: {error}.") from error
    arrays = None
    if whole.arrays:
        content = packed(whole.arrays)
        sha256 = hashlib.sha256(content).hexdigest()
        # A name of its own for every content: an older policy of this name stays whole until it is replaced.
        arrays = {"file": f"{target.stem}.{sha256[:12]}.npz", "sha256": sha256}
        write_bytes(target.parent / arrays["file"], content)
    value = {f.name: getattr(whole, f.name) for f in fields(whole) if f.name != "arrays"}
    value["networks"] = [asdict(network) for network in whole.networks]
    value["stages"] = [asdict(stage) for stage in whole.stages]
    plain = {"format": FORMAT, "version": VERSION, **value, "arrays": arrays}
    write_json(target, plain)
    for old in target.parent.glob(f"{target.stem}.*.npz"):
        if arrays is None or old.name != arrays["file"]:
            old.unlink()
    return target


def find_policy(path: str | os.PathLike[str]) -> Path:
    """The JSON file of a policy that is named by it or by its folder."""
    file = Path(path)
    if not file.is_dir():
        return file
    if (file / NAME).exists():
        return file / NAME
    found = [one for one in sorted(file.glob("*.json")) if FORMAT in one.read_text("utf-8", "replace")]
    if len(found) != 1:
        what = "no policy" if not found else f"{len(found)} policies ({', '.join(f.name for f in found)})"
        raise missing(EdgetimeError(f"The folder {file} holds {what}: name the JSON file of one."))
    return found[0]


def read_policy(path: str | os.PathLike[str]) -> tuple[Specification, dict[str, bytes]]:
    """Read a policy and its networks, and check everything.

    Parameters
    ----------
    path
        Its JSON file.

    Returns
    -------
    tuple
        The policy, and the content of each of its networks' files by its name: what was checked is what will run. The files
        of remote networks are left out: see `read_network_file`.

    Raises
    ------
    EdgetimeError
        It is missing, damaged, of another version, or names what is missing or was changed.
    """
    file = Path(path)
    value = _read_json(file)
    try:
        stored = value.pop("arrays", None)
        specification = _specification(value)
        specification = replace(specification, arrays=_read_arrays(file, stored))
        check(specification)
        contents: dict[str, bytes] = {}
        for network in specification.networks:
            if network.file not in contents and not network.remote:
                contents[network.file] = _checked(file, network.file, network.sha256)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise EdgetimeError(f"{file} is damaged ({detail}): {_AGAIN}.") from error
    return specification, contents


def read_network_file(path: Path, network: PolicyNetwork) -> bytes:
    """Content of one network's file, checked; EdgetimeError where it is missing or was changed."""
    return _checked(path, network.file, network.sha256)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = read_json(file)
    except FileNotFoundError:
        raise missing(
            EdgetimeError(f"{file} does not exist: write it with 'edgetime select … -o {file}'.")
        ) from None
    except (OSError, ValueError) as error:
        raise EdgetimeError(f"{file} is no policy ({error}): {_AGAIN}.") from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise EdgetimeError(f"{file} is no policy of edgetime: {_AGAIN}.")
    version = value.pop("version", None)
    if version != VERSION:
        raise EdgetimeError(
            f"{file} is a policy of version {version!r}, and this edgetime reads {VERSION}: "
            "write it again with this edgetime, or install the one that wrote it."
        )
    return value


def _specification(value: dict[str, Any]) -> Specification:
    networks = tuple(
        PolicyNetwork(**{**one, "feeds": tuple(one.get("feeds", ()))}) for one in value.pop("networks")
    )
    stages = tuple(_stage(one) for one in value.pop("stages"))
    candidates = tuple(dict(one) for one in value.pop("candidates", ()))
    return Specification(**value, networks=networks, stages=stages, candidates=candidates)


def _stage(value: dict[str, Any]) -> Stage:
    as_tuples = {
        name: tuple(value[name]) if isinstance(value.get(name), list) else value.get(name)
        for name in ("weights", "threshold", "answers")
    }
    return Stage(**{**value, **as_tuples})


def _read_arrays(file: Path, stored: Any) -> dict[str, NDArray[Any]]:
    if stored is None:
        return {}
    content = _checked(file, stored["file"], stored["sha256"])
    try:
        return unpacked(content)
    except Exception as error:  # a damaged archive raises all kinds of things
        raise ValueError(f"the arrays in {stored['file']} cannot be read: {error}") from error


def _checked(policy: Path, name: str, sha256: str) -> bytes:
    """The content of a member, which is what it was when the policy was made."""
    if not isinstance(name, str) or not isinstance(sha256, str):
        raise ValueError("a member has no name or no checksum")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"it names {name}, which is not in its folder")
    member = policy.parent / name
    content = _content(member)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EdgetimeError(f"{member} is not the file that {policy} was made with: {_AGAIN}.")
    return content


def check(policy: Specification) -> None:
    """Raise ValueError, which says what is wrong, where the parts of a policy do not fit together."""
    count = len(policy.networks)
    if not isinstance(policy.kind, str) or not isinstance(policy.device, str):
        raise ValueError("its kind or its device is no text")
    if not count:
        raise ValueError("it has no networks")
    if not isinstance(policy.single, int) or not 0 <= policy.single < count:
        raise ValueError(f"its single network is number {policy.single} of {count}")
    for network in policy.networks:
        if not all(
            isinstance(one, str) for one in (network.file, network.name, network.answer, network.dtype)
        ):
            raise ValueError("a network has a name that is no text")
        if network.form not in ("probabilities", "logits"):
            raise ValueError(f"network {network.name} gives {network.form!r}, not probabilities or logits")
        _check_number(network.predicted_ms, f"the predicted time of {network.name}", least=0)
    _check_number(policy.decide_ms, "the time of deciding", least=0)
    for position, stage in enumerate(policy.stages):
        _check_stage(policy, position, stage)
    if policy.stages and policy.classes < 1:
        raise ValueError("its stages answer no classes")
    shares = policy.expected.get("stop_shares")
    if shares is not None:
        if policy.stages and len(shares) != len(policy.stages):
            raise ValueError(f"it has {len(shares)} stop shares for {len(policy.stages)} stages")
        for share in shares:
            _check_number(share, "a stop share", 0, 1)
        _check_number(policy.expected.get("rows"), "the number of rows that it was fitted on", 1)
    for name, array in policy.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"its array {name} holds NaN or infinity")
        if array.dtype.kind == "O":
            raise ValueError(f"its array {name} holds objects, not numbers")


def _check_stage(policy: Specification, position: int, stage: Stage) -> None:
    where = f"stage {position + 1}"
    if not isinstance(stage.network, int) or not 0 <= stage.network < len(policy.networks):
        raise ValueError(f"{where} runs network {stage.network} of {len(policy.networks)}")
    if len(stage.weights) != position + 1:
        raise ValueError(f"{where} has {len(stage.weights)} weights, not {position + 1}")
    for weight in stage.weights:
        _check_number(weight, f"a weight of {where}")
    if stage.confidence not in KINDS:
        raise ValueError(f"{where} has the confidence {stage.confidence!r}, not one of {', '.join(KINDS)}")
    last = position == len(policy.stages) - 1
    if (stage.threshold is None) != last:
        raise ValueError(f"{where} has {'a' if last else 'no'} threshold")
    several = isinstance(stage.threshold, tuple)
    thresholds = stage.threshold if isinstance(stage.threshold, tuple) else (stage.threshold,)
    for threshold in thresholds:
        if threshold is not None or several:
            _check_number(threshold, f"a threshold of {where}")
    classes = policy.classes if stage.answers is None else len(stage.answers)
    if several and len(thresholds) != classes:
        raise ValueError(f"{where} has {len(thresholds)} thresholds for {classes} classes")
    for meant in stage.answers or ():
        if meant is not None and not (isinstance(meant, int) and 0 <= meant < policy.classes):
            raise ValueError(f"{where} answers class {meant} of {policy.classes}")


def _check_number(value: Any, what: str, least: float = -math.inf, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}, which is no number")
    if not least <= value <= most:
        raise ValueError(f"{what} is {value:g}")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; ModelFileError where it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"Cannot read {path} ({error.strerror or error}): check the name.") from error


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a ``.npz``, the same for the same arrays; a name may be empty."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            plain = io.BytesIO()
            np.lib.format.write_array(plain, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), plain.getvalue(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unpacked(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of what `packed` gave."""
    return read_arrays_of(io.BytesIO(content))


def _inside(file: Path, sha256: str, folder: Path) -> str:
    """Name of a network in the policy's folder, where it is copied to if it lies elsewhere."""
    if folder in file.resolve().parents:
        return file.resolve().relative_to(folder).as_posix()
    copy, number = folder / file.name, 1
    while copy.exists() and (not copy.is_file() or digest(copy) != sha256):
        number += 1
        copy = folder / f"{file.stem}-{number}{file.suffix}"
    if not copy.exists():
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    return copy.name


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
