"""`TimeModel`: what `edgetime fit` learned of a device, and the file it is kept in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from profiler.errors import TimeModelError, UsageError
from profiler.network import Layer, Network
from timemodel.model import file as model_file
from timemodel.model.checking import table, text
from timemodel.model.differences import ChangeErrors
from timemodel.model.layer_times import FALLBACK
from timemodel.model.operator_model import OperatorError
from timemodel.model.prediction import NetworkPrediction
from timemodel.model.setting_model import SettingModel

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
        return [model.error for (op, _), model in sorted(self.setting().operators.items()) if op != FALLBACK]

    def predict(self, network: Network, setting: str | None = None) -> NetworkPrediction:
        """Predict one inference of `network`: see `SettingModel.predict`."""
        return self.setting(setting).predict(network, self.device)

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """Time in ms of one inference of `network`, without what `predict` works out besides."""
        return self.setting(setting).predict_total_ms(network)

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own, in one batch."""
        return self.setting(setting).predict_layers_ms(layers)

    def change_errors(self, setting: str | None = None) -> ChangeErrors:
        """By how much predicted differences between layers or networks may be off."""
        return ChangeErrors(self.setting(setting))

    def operators(self, setting: str | None = None) -> list[tuple[str, str]]:
        """What was measured: (operator, dtype)."""
        return [key for key in sorted(self.setting(setting).operators) if key[0] != FALLBACK]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        settings = {key: model.to_dict() for key, model in self.settings.items()}
        head = {"format": model_file.FORMAT, "version": model_file.VERSION}
        return {**head, "device": self.device, "settings": settings}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        model_file.write(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TimeModel:
        """Read what `save` wrote.

        Raises
        ------
        TimeModelError
            The file is missing, damaged, was edited, or is of another version of edgetime.
        """
        value = model_file.read(path)
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
        model_file.check_unchanged(path, value)
        return model
