"""A process that reads mutated files one after the other, as the verbs do, and tells what came of each."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import resource
import shutil
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from robustness.mutations import mutated

from profiler.errors import EdgetimeError


def _tflite(path: Path, seeds: Path) -> None:
    from edgetime import networks
    from edgetime.terminal import views
    from timemodel.advise import advise

    model = _model(seeds)
    for signature in networks.signatures(path):
        network = networks.read(path, signature=signature).network
        result = {**model.predict(network).to_dict(), "measured_ms": None, "load_ms": None, "first_ms": None}
        result |= {"measured_p90_ms": None, "setting": "", "signature": signature, "measured_in": {}}
        json.dumps(result, allow_nan=False)
        _show(*views.prediction(result, views.Layers.all))
        if len(network.layers) < 50:
            advise(model, network).rows()


def _timemodel(path: Path, seeds: Path) -> None:
    from profiler.tflite import read_network
    from timemodel import TimeModel

    model = TimeModel.load(path)
    json.dumps(model.predict(read_network(seeds / "tflite" / "many.tflite")).to_dict(), allow_nan=False)


def _db(path: Path, seeds: Path) -> None:
    from profiler.measurement import Profile
    from timemodel import fit_profile

    with Profile.open(path) as profile:
        for setting in profile.settings:
            profile.reading(setting)
            profile.events(setting)
    if zlib.crc32(path.read_bytes()) % 20 == 0:  # takes as long as all others
        fit_profile(path)


def _import(path: Path, seeds: Path) -> None:
    from profiler.measurement import import_results

    import_results(path, path.with_name("imported.db"))


def _report(path: Path, seeds: Path) -> None:
    from edgetime.report.reading import collect
    from edgetime.report.results import page_of

    page_of(collect(path.parent), "title")


def _policy(path: Path, seeds: Path) -> None:
    from selector.runtime import load_policy

    policy = load_policy(next(one for one in (path.parent, *path.parents) if (one / "policy.json").exists()))
    with np.errstate(all="ignore"):
        policy(np.zeros((2, 6), np.float32))


def _npz(path: Path, seeds: Path) -> None:
    from compressor.data import load_data

    load_data(path)


def _csv(path: Path, seeds: Path) -> None:
    from timemodel.fitting.tables import read_table

    read_table(path).distinct()


def _lct(path: Path, seeds: Path) -> None:
    from compressor.weights.line_compress import read_lct

    read_lct(path)


def _keras_outside(path: Path, seeds: Path) -> None:
    from compressor.export.keras_files import refuse_other_files

    refuse_other_files(path)


def _keras(path: Path, seeds: Path) -> None:
    from compressor.export.keras_files import input_specs, load_keras

    input_specs(load_keras(path))


READERS: dict[str, Callable[[Path, Path], None]] = {
    "tflite": _tflite, "timemodel": _timemodel, "db": _db, "import": _import, "report": _report, "policy": _policy,
    "policy_static": _policy, "npz": _npz, "csv": _csv, "lct": _lct, "keras_outside": _keras_outside, "keras": _keras,
}  # fmt: skip


@functools.lru_cache
def _model(seeds: Path) -> Any:
    from timemodel import TimeModel

    return TimeModel.load(seeds / "timemodel" / "device.timemodel.json")


def _show(*parts: Any) -> None:
    from edgetime.terminal import Terminal

    with contextlib.redirect_stdout(io.StringIO()) as shown:
        Terminal().show(*parts)
    if "\x1b" in shown.getvalue() or "\u202e" in shown.getvalue():
        raise AssertionError("a raw code reached the terminal")


def written(kind: str, number: int, seeds: Path, folder: Path) -> Path:
    """The file that is `number` of its kind, in `folder` with what it belongs to: the same in every run."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
    shutil.rmtree(folder, ignore_errors=True)
    source = seeds / kind.removesuffix("_outside")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    chosen = files[int(rng.integers(len(files)))]
    if kind.startswith("policy"):
        shutil.copytree(source, folder)
    target = folder / chosen.relative_to(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(mutated(chosen.read_bytes(), chosen, rng))
    return target


def outcome(kind: str, number: int, seeds: Path, folder: Path) -> dict[str, Any]:
    """Read one file: ``read``, ``refused`` in a sentence, or ``bug``."""
    path = written(kind, number, seeds, folder)
    _forget_peak()
    begin, what, text = time.process_time(), "read", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[kind](path, seeds)
    except EdgetimeError as error:
        what, text = "refused", str(error)
        if not text.strip() or "\x1b" in str(path):
            what = "bug"
    except BaseException:
        what, text = "bug", traceback.format_exc()[-1500:]
    seconds = round(time.process_time() - begin, 3)
    more = {"what": what, "text": text, "seconds": seconds, "peak_mb": _peak_mb()}
    return {"kind": kind, "number": number, **more}


def _forget_peak() -> None:
    """Making a damaged file may take more memory than reading it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Answer lines ``KIND NUMBER`` on stdin with lines of JSON on stdout, in the folder that is named."""
    seeds, folder = Path(sys.argv[1]), Path(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        kind, number = line.split()
        answers.write(json.dumps(outcome(kind, int(number), seeds, folder)) + "\n")
        answers.flush()
