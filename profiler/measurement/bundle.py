"""Bundles: probes for a board that only takes a USB stick, and the results that come back."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profiler.devices import KERNELS, Setting, agent, canary
from profiler.errors import EdgetimeError, ProfileError, UsageError
from profiler.files import replacing, write_bytes
from profiler.measurement.profiling import EMPTY_EVERY
from profiler.measurement.store import Profile
from profiler.probes import Probe, empty_probe, weight_pool
from profiler.progress import ProgressCallback, silent
from profiler.records import Records

_AGENT_MARK = b'"""The agent: the one file that runs on the device and measures there.'
_SHORTEST_CUT = 1024
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, EdgetimeError)


@dataclass(frozen=True)
class BundleSummary:
    """Result of `write_bundle`; `left_out` counts probes that could not be built."""

    path: str
    agent_path: str
    probes: int
    passes: int
    size_bytes: int
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        name = Path(self.path).name
        return (
            f"{self.path} ({self.size_bytes / 1e6:.1f} MB, {self.probes:,} probes) and {self.agent_path}: copy both to the board "
            f"and run there: python3 agent.py {name} -o out.jsonl"
        )


@dataclass(frozen=True)
class ImportSummary:
    """Result of `import_results`: numbers of new and of known measurements, and the lines that were left out."""

    path: str
    device: str
    imported: int
    known: int
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "problems": list(self.problems)}

    def __str__(self) -> str:
        known = f", {self.known:,} were there already" if self.known else ""
        return f"{self.device}: {self.imported:,} measurements imported into {self.path}{known}"


def write_bundle(
    path: str | os.PathLike[str],
    probes: Sequence[Probe],
    passes: int = 3,
    settings: Sequence[tuple[str, int]] = (("xnnpack", 1),),
    progress: ProgressCallback = silent,
) -> BundleSummary:
    """Pack probes for a board without a connection, and put the agent beside them.

    Parameters
    ----------
    path
        The zip file to write; ``agent.py`` is written into the same folder.
    probes
        In an order in which every prefix is a good sample: results can be taken from the board at any time.
    passes
        How often each is measured.
    settings
        Kernels and number of threads, measured one after the other in each pass.

    Raises
    ------
    UsageError
        There is nothing to measure, or another ``agent.py`` is in the way.
    """
    path = Path(path)
    if not probes:
        raise UsageError("There is nothing to measure: name at least one dtype and operator.")
    if passes < 1:
        raise UsageError(f"passes must be at least 1, not {passes}.")
    for kernels, threads in settings:
        if kernels not in KERNELS or threads < 1:
            raise UsageError(
                f"There is no setting {kernels!r} with {threads} threads: kernels are {', '.join(KERNELS)}."
            )
    beside = path.parent / "agent.py"
    source = Path(agent.__file__).read_bytes()
    if beside.exists() and not beside.read_bytes().startswith(_AGENT_MARK):
        raise UsageError(
            f"{beside} is another program than edgetime's agent: write the bundle into another folder."
        )
    ordered = list(_with_empty(probes))
    pools = [np.ascontiguousarray(weight_pool(kind, 0)).tobytes() for kind in ("float", "int8")]
    rows: list[dict[str, Any]] = []
    left_out = 0
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, pool in enumerate(pools):
            archive.writestr(f"pools/{number}.bin", pool)
        archive.writestr("canary.tflite", canary())
        for position, probe in enumerate(ordered):
            try:
                content = probe.build()
            except EdgetimeError:
                left_out += 1
                continue
            skeleton, cuts = cut_out(content, pools)
            file = f"probes/{position:05d}.bin"
            archive.writestr(file, skeleton)
            rows.append({"file": file, "cuts": cuts, "kind": probe.kind, "key": probe.key})
            progress((position + 1) / len(ordered), f"{position + 1:,} of {len(ordered):,} probes")
        manifest = {
            "format": agent.BUNDLE_FORMAT,
            "id": hashlib.sha256(json.dumps([rows, passes, list(settings)]).encode()).hexdigest()[:16],
            "passes": passes,
            "settings": [{"kernels": kernels, "threads": threads} for kernels, threads in settings],
            "canary": "canary.tflite",
            "pools": [f"pools/{number}.bin" for number in range(len(pools))],
            "probes": rows,
        }
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("agent.py", source)
    write_bytes(beside, source)
    return BundleSummary(str(path), str(beside), len(rows), passes, path.stat().st_size, left_out)


def _with_empty(probes: Sequence[Probe]) -> Iterator[Probe]:
    """Put the probe that shows what a call costs between the others."""
    for position, probe in enumerate(probes):
        if position % EMPTY_EVERY == 0:
            yield empty_probe()
        yield probe


def cut_out(content: bytes, pools: Sequence[bytes]) -> tuple[bytes, list[list[int]]]:
    """Cut the longest prefixes of `pools` out of `content`; `profiler.devices.agent.restore` puts them back.

    Returns
    -------
    skeleton : bytes
        What is left.
    cuts : list
        ``[position, pool, length]`` in ascending order.
    """
    found: list[tuple[int, int, int]] = []
    data = np.frombuffer(content, np.uint8)
    for number, pool in enumerate(pools):
        whole = np.frombuffer(pool, np.uint8)
        at = content.find(pool[:64])
        while at >= 0:
            size = min(len(pool), len(content) - at)
            differing = np.flatnonzero(data[at : at + size] != whole[:size])
            length = int(differing[0]) if differing.size else size
            if length >= _SHORTEST_CUT:
                found.append((at, number, length))
            at = content.find(pool[:64], at + length)
    parts = []
    cuts: list[list[int]] = []
    end = 0
    for at, number, length in sorted(found):
        if at < end:
            continue
        parts.append(content[end:at])
        cuts.append([at, number, length])
        end = at + length
    parts.append(content[end:])
    return b"".join(parts), cuts


def import_results(
    results: str | os.PathLike[str], db_path: str | os.PathLike[str], progress: ProgressCallback = silent
) -> ImportSummary:
    """Read results of ``agent.py`` on a board into a profile.

    Lines that are torn or were edited are left out and named in the summary. Measurements are imported once, so
    results may be fetched from the board again and again.

    Raises
    ------
    UsageError
        `results` cannot be read.
    ProfileError
        It holds no measurement that can be read, or the profile belongs to another device.
    """
    results = Path(results)
    problems: list[str] = []

    def leave_out(number: int, why: object) -> None:
        problems.append(f"{results}, line {number}: left out, for it is torn or was edited ({why}).")

    try:
        total = results.read_bytes().count(b"\n") + 1
    except OSError as error:
        raise UsageError(
            f"Cannot read {results} ({error.strerror}): name the file that agent.py wrote."
        ) from error
    lines = Records(results).numbered(leave_out, foreign=True)
    fingerprint, settings = _read_header(results, *next(lines, (0, None)))
    imported = known = 0
    with Profile.append(db_path) as store:
        for setting in settings:
            store.register(setting, fingerprint)
        before = {(row.setting, row.probe_key, row.pass_number, row.at) for row in store.raw()}
        for number, line in lines:
            try:
                found = _read_line(line, settings)
            except _UNREADABLE as error:
                leave_out(number, error)
                continue
            if found is None:
                continue
            setting, probe, pass_number, result = found
            if (setting.key, probe.key, pass_number, result["at"]) in before:
                known += 1
                continue
            try:
                store.add(setting.key, probe.key, probe.kind, pass_number, result)
            except _UNREADABLE as error:
                if isinstance(error, EdgetimeError):  # of the profile, not of the line
                    raise
                leave_out(number, error)
                continue
            imported += 1
            progress(number / total, f"{imported:,} measurements")
        if not imported and not known:
            raise ProfileError(
                f"{results} holds no measurements that can be read: run agent.py on the board first."
            )
        return ImportSummary(str(db_path), store.device, imported, known, tuple(problems))


def _read_header(results: Path, number: int, header: Any) -> tuple[dict[str, Any], list[Setting]]:
    """Return the device's fingerprint and the settings, from the first line of a file of results."""
    try:
        if number != 1:
            raise ValueError("it is no JSON")
        if header["type"] != "header" or header["protocol"] != agent.PROTOCOL:
            raise ValueError("it is of another version")
        fingerprint = dict(header["fingerprint"])
        runtime, version = str(fingerprint["runtime"]), str(fingerprint["version"])
        settings = [
            Setting(runtime, version, str(s["kernels"]), int(s["threads"])) for s in header["settings"]
        ]
        if not settings:
            raise ValueError("it names no setting")
    except (ValueError, KeyError, TypeError) as error:
        raise ProfileError(
            f"{results} does not begin as agent.py writes it, line 1 ({error}): name the file that it wrote, unchanged."
        ) from error
    return fingerprint, settings


def _read_line(line: Any, settings: Sequence[Setting]) -> tuple[Setting, Probe, int, dict[str, Any]] | None:
    """Read one line of results; None for one that holds no measurement."""
    if line["type"] != "time":
        return None
    probe = Probe.from_key(line["key"])
    if probe.key != line["key"] or probe.kind != line["kind"]:
        raise ValueError("its key is no probe")
    number, setting = line["pass"], line["setting"]
    if not isinstance(number, int) or number < 0 or not isinstance(setting, int) or setting < 0:
        raise ValueError("its pass or setting is no number")
    if not isinstance(line["at"], float) or not math.isfinite(line["at"]):
        raise ValueError("it has no time of day")
    if "error" not in line:
        for name in ("median_us", "min_us", "p20_us"):
            value = line[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is no time")
        if len(line.get("canaries_us") or ()) not in (0, 2):
            raise ValueError("canaries_us is no pair")
    return settings[setting], probe, number, line
