"""Is a profile fit to learn from: one device, one runtime per setting, and enough probes of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ProfileError
from profiler.measurement import IDENTITY, Profile, note_on_threads
from profiler.operators import operator
from profiler.probes import ALONGSIDE
from timemodel.features import kind_of

if TYPE_CHECKING:
    import os

    from timemodel.model import TimeModel

FEW_PROBES = 15
"""With fewer, a tree is a guess, whatever its error on them says."""

SOME_PROBES, POOR_ERROR = 40, 0.2
"""With fewer than these, a model that is off by more than this on average would gain from more."""

USUAL = (
    "conv_2d", "depthwise_conv_2d", "fully_connected", "add", "mul", "mean", "pad", "concatenation", "average_pool_2d",
    "max_pool_2d", "reshape", "softmax",
)  # fmt: skip
"""Operators of which most networks have some: one that is missing altogether is worth a word."""

MOST_NAMED = 12
"""Of more operators with too few probes the first are named."""

CANARY_APART = 3.0
"""One device's canary, disturbed or throttled, hardly differs by more than this factor for long."""


@dataclass(frozen=True)
class Thin:
    """An operator of which a profile holds too few probes, and the model's mean error; None where it has no model."""

    setting: str
    op: str
    dtype: str
    probes: int
    error: float | None

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.op} {self.dtype} ({self.probes}; off by {self.error:.0%} on average)"
        return f"{self.op} {self.dtype} ({self.probes or 'none'}; no model)"


def check_one_device(path: str | os.PathLike[str], profile: Profile) -> None:
    """Refuse a profile of several devices, or of another runtime than it says: tables copied together by hand."""
    first: tuple[str, Mapping[str, Any]] | None = None
    for key, setting in profile.settings.items():
        fingerprint = profile.fingerprint_of(key)
        if setting.key != key:
            raise ProfileError(
                f"{path} is damaged (what is listed as {key!r} says that it is {setting.key!r}): "
                "profile the device again, into another file."
            )
        for part in ("runtime", "version"):
            said, found = getattr(setting, part), fingerprint.get(part)
            if found is not None and found != said:
                raise ProfileError(
                    f"{path} mixes runtimes (under {key!r} the {part} was {found!r}): "
                    "profile the device again, into another file."
                )
        first = first or ("the profile", profile.fingerprint or fingerprint)
        for part in IDENTITY:
            here, there = fingerprint.get(part), first[1].get(part)
            if here != there:
                raise ProfileError(
                    f"{path} mixes devices (the {part} of {first[0]} is {there!r}, under {key!r} it is {here!r}): "
                    "give each device a file of its own, and fit each."
                )


def thin_operators(model: TimeModel, profile: Profile) -> list[Thin]:
    """Operators of which `profile` holds too few probes, those without a model first."""
    found = []
    for key in profile.settings:
        counts: dict[tuple[str, str], int] = {}
        for row in profile.measurements(key):
            if row.kind != "layer":
                continue
            name = kind_of(row.probe.layers[0])
            counts[name] = counts.get(name, 0) + (row.time_us is not None)
        operators = model.settings[key].operators if key in model.settings else {}
        for dtype in ("float32", "int8"):
            if sum(count for (_, kind), count in counts.items() if kind == dtype) >= FEW_PROBES:
                counts = {**{(op, dtype): 0 for op in USUAL}, **counts}
        for (op, dtype), count in sorted(counts.items()):
            known = operators.get((op, dtype))
            error = None if known is None else known.error.mean_error
            if (op, dtype) not in _usual() and _planned(op, dtype) < FEW_PROBES:
                continue  # an operator that few networks have: its interval says how little is known
            if error is None or count < FEW_PROBES or (count < SOME_PROBES and error > POOR_ERROR):
                found.append(Thin(key, op, dtype, count, error))
    return sorted(found, key=lambda thin: thin.error is not None)


def _usual() -> frozenset[tuple[str, str]]:
    return frozenset((op, dtype) for op in USUAL for dtype in ("float32", "int8"))


def _planned(op: str, dtype: str) -> int:
    """How many probes of `op` an ordinary profile holds."""
    if dtype in ALONGSIDE:
        return 0
    draws = operator(op).draws.get(dtype)
    return draws.count if draws else 0


def notes_on(path: str | os.PathLike[str], model: TimeModel) -> list[str]:
    """What to know before trusting `model`, learned from the profile at `path`: each one sentence with the mend."""
    with Profile.open(path) as profile:
        thin = thin_operators(model, profile)
        notes = _canary_notes(path, profile)
        for key, setting in model.settings.items():
            crowded = note_on_threads(profile.fingerprint_of(key) or {}, setting.threads)
            notes += [f"{key}, where this was measured: {crowded}"] if crowded else []
    for key, setting in model.settings.items():
        again = f"'edgetime profile TARGET -o {path}'"
        warning = setting.conditions.warning(again) if setting.conditions else None
        if warning:
            notes.append(
                f"Under {key!r}: {warning[0].lower()}{warning[1:]}" if len(model.settings) > 1 else warning
            )
    for key in dict.fromkeys(one.setting for one in thin):
        mine = [one for one in thin if one.setting == key]
        ops = ",".join(dict.fromkeys(one.op.partition(":")[0] for one in mine))
        dtypes = ",".join(dict.fromkeys(one.dtype for one in mine))
        named, others = mine[:MOST_NAMED], len(mine) - MOST_NAMED
        which = ", ".join(map(str, named)) + (f" and {others} others" if others > 0 else "")
        # A command that names dozens of operators does not fit a terminal; a longer profile has more of all of them.
        only = f" --ops {ops} --dtype {dtypes}" if others <= 0 else ""
        notes.append(
            f"Too few probes under {key!r} of {which}: measure more with "
            f"'edgetime profile TARGET -o {path}{only}', naming the target that it was measured on."
        )
    return notes


def _canary_notes(path: str | os.PathLike[str], profile: Profile) -> list[str]:
    """The canary is the same work each time: a device on which it takes several times as long is another one."""
    notes = []
    for key in profile.settings:
        times = np.array([canary for row in profile.raw(key) for canary in row.canaries_us])
        if len(times) < 20:
            continue
        fast, slow = np.quantile(times, [0.1, 0.9])
        if slow > CANARY_APART * fast:
            notes.append(
                f"{path} looks like two devices mixed (under {key!r} the same work took {fast:.3g} us at times and "
                f"{slow:.3g} us at others): profile the device again, into another file, with nothing else running."
            )
    return notes
