"""`TimeModel`: what `edgetime fit` learned of a device, and the file it is kept in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import TimeModelError, UsageError
from profiler.files import write_json
from profiler.network import Layer, Network
from profiler.values import read_json
from timemodel.model.checking import table, text
from timemodel.model.differences import ChangeErrors
from timemodel.model.layer_times import is_estimate
from timemodel.model.operator_model import OperatorError
from timemodel.model.prediction import NetworkPrediction
from timemodel.model.setting_model import SettingModel

FORMAT = "edgetime.timemodel"
VERSION = 8

_DAMAGED = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading a file that was edited ends in."""


class TimeModel:
    """The time model of one device, under one or several settings.

    Parameters
    ----------
    device
        The device's name.
    settings
        By name; the first one is used where none is asked for.
    """

    def __init__(self, device: str, settings: Mapping[str, SettingModel]) -> None:
        if not settings:
            raise TimeModelError("A time model needs at least one setting.")
        self.device = device
        self.settings = dict(settings)

    def setting(self, name: str | None = None) -> SettingModel:
        """The model of setting `name`, by default the first.

        Raises
        ------
        UsageError
            There is no such setting.
        """
        if name is None:
            return next(iter(self.settings.values()))
        if name not in self.settings:
            raise UsageError(f"No setting {name!r} in this time model: it knows {'; '.join(self.settings)}.")
        return self.settings[name]

    def only(self, setting: str) -> TimeModel:
        """The same without its other settings."""
        return TimeModel(self.device, {setting: self.setting(setting)})

    @property
    def errors(self) -> list[OperatorError]:
        """Cross-validated error per operator and dtype, the first setting's."""
        return [
            model.error for (op, _), model in sorted(self.setting().operators.items()) if not is_estimate(op)
        ]

    def predict(self, network: Network, setting: str | None = None) -> NetworkPrediction:
        """Predict one inference of `network`: see `SettingModel.predict`."""
        return self.setting(setting).predict(network, self.device)

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """Time in ms of one inference of `network`, without what `predict` works out besides."""
        return self.setting(setting).predict_total_ms(network)

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own, in one batch."""
        return self.setting(setting).predict_layers_ms(layers)

    def predict_layers_mj(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray | None:
        """Energies ``[n]`` in mJ of `layers` on their own; None where the device's energy is not known."""
        return self.setting(setting).predict_layers_mj(layers)

    def change_errors(self, setting: str | None = None) -> ChangeErrors:
        """By how much predicted differences between layers or networks may be off."""
        return ChangeErrors(self.setting(setting))

    def operators(self, setting: str | None = None) -> list[tuple[str, str]]:
        """What was measured: (operator, dtype)."""
        return [key for key in sorted(self.setting(setting).operators) if not is_estimate(key[0])]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        settings = {key: model.to_dict() for key, model in self.settings.items()}
        return {"format": FORMAT, "version": VERSION, "device": self.device, "settings": settings}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, signed(self.to_dict()), indent=None)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TimeModel:
        """Read what `save` wrote.

        Raises
        ------
        TimeModelError
            The file is missing, damaged, was edited, or is of another version of edgetime.
        """
        value = _read(path)
        try:
            rows = table(value["settings"], "its list of settings")
            if not rows:
                raise ValueError("it holds no setting")
            settings = {key: SettingModel.from_dict(key, table(row, key)) for key, row in rows.items()}
            model = cls(text(value["device"], "the device's name"), settings)
        except _DAMAGED as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise TimeModelError(
                f"{path} is damaged ({reason}): make it anew with 'edgetime fit'."
            ) from error
        _check_unchanged(path, value)
        return model


def checksum(value: Mapping[str, Any]) -> str:
    """SHA-256 of all but the field ``checksum``, however the JSON is laid out: an exchanged number is not seen otherwise."""
    rest = {key: part for key, part in value.items() if key != "checksum"}
    # Through JSON, so that tuples and lists, 8 and 8.0 count as the same, as they do in the file.
    plain = json.loads(json.dumps(rest, allow_nan=False), parse_int=float)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def signed(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with its `checksum`."""
    return {**value, "checksum": checksum(value)}


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `TimeModel.save` wrote; `_check_unchanged` looks at its content."""
    file = Path(path)
    anew = "make it anew with 'edgetime fit'"
    name_it = "name the .timemodel.json file that 'edgetime fit' wrote"
    try:
        value = read_json(file)
    except FileNotFoundError as error:
        raise UsageError(f"There is no time model {file}: make one with 'edgetime fit'.") from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder: {name_it}.") from error
    except OSError as error:
        raise TimeModelError(f"Cannot read {file} ({error.strerror}): check that you may read it.") from error
    except ValueError as error:
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


def _check_unchanged(file: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
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
