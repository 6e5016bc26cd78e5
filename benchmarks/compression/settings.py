"""The settings that networks are compressed for, and the time model of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from profiler.devices import open_target
from profiler.measurement import Profile, profile
from timemodel.fitting import fit_profile
from timemodel.model import TimeModel


@dataclass(frozen=True)
class Setting:
    """How exported files run.

    Attributes
    ----------
    quantize
        As in `compress`.
    target
        As in ``open_target``.
    profile
        Which profile the time model is learned from; settings of one target share it.
    about
        For the report.
    """

    quantize: str
    target: str
    profile: str
    about: str


SETTINGS: dict[str, Setting] = {
    "float32": Setting("none", "local", "xnnpack", "float32, XNNPACK, one thread"),
    "int8": Setting("int8", "local", "xnnpack", "int8, XNNPACK, one thread"),
    "builtin-float32": Setting("none", "local:kernels=builtin", "builtin", "float32, built-in kernels"),
    "builtin-int8": Setting("int8", "local:kernels=builtin", "builtin", "int8, built-in kernels"),
}
DEFAULT_SETTINGS = ("float32", "int8")
DTYPES = ("float32", "int8")


def model_path(work: Path, setting: str) -> Path:
    """Where the time model of a setting is kept."""
    return work / f"{SETTINGS[setting].profile}.timemodel.json"


def learn(
    work: Path, setting: str, given: Mapping[str, Path], minutes: float, say: Callable[[str], None] = print
) -> TimeModel:
    """The time model of a setting: from the work folder, else of the profile that was given, else of one made now."""
    kept = model_path(work, setting)
    if kept.exists():
        return TimeModel.load(kept)
    name = SETTINGS[setting].profile
    db = given.get(name, work / f"{name}.db")
    if name not in given:
        with open_target(SETTINGS[setting].target) as target:
            say(str(profile(target, db, minutes=minutes, dtypes=DTYPES)))
    with Profile.open(db) as store:
        probes = len(store.raw())
    model = fit_profile(db)
    model.save(kept)
    say(f"{name}: time model fitted to {db.name} ({probes:,} measurements)")
    return model
