"""What `edgetime` offers beyond the packages' own functions: the same with file names in place of objects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from profiler.errors import UsageError
from profiler.network import Network
from profiler.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from profiler.devices import Target
    from profiler.measurement import Events, Measurement, NextProbes, ProbeTime, ProfileSummary
    from timemodel import TimeModel
    from timemodel.model import NetworkPrediction

PathLike = str | os.PathLike[str]


def profile(
    target: str | Target,
    output: PathLike,
    minutes: float = 3.0,
    progress: ProgressCallback = silent,
    *,
    goal: float = 0.03,
    **options: Any,
) -> ProfileSummary:
    """Measure layers on `target`, such as ``"local"``, into the profile `output`.

    Ends early once networks are predicted with a mean error of at most `goal` (0: never); else layers are added where
    that makes it less. See `profiler.measurement.profile`, which gets the `options`.
    """
    if not 0 <= goal < 1:
        raise UsageError(f"goal must be a share below 1, such as 0.03 for 3%, not {goal}.")
    from profiler.devices import open_target
    from profiler.measurement import profile as measure_probes

    place = open_target(target) if isinstance(target, str) else target

    def adviser(times: Sequence[ProbeTime], events: Events, progress: ProgressCallback) -> NextProbes:
        # Loaded when it is asked: what learns takes a while to load, and short runs never ask.
        from timemodel.fitting import advise_probes

        return advise_probes(times, events, progress, goal=goal, seed=options.get("seed", 0))

    return measure_probes(
        place,
        output,
        minutes=minutes,
        progress=progress,
        **{"adviser": adviser, "goal": goal, **options},
    )


def fit(profile: PathLike, progress: ProgressCallback = silent) -> TimeModel:
    """Learn a device's time model from its profile; see `timemodel.fitting.profile.fit_profile`."""
    from timemodel.fitting import fit_profile

    return fit_profile(profile, progress)


def load_time_model(path: PathLike) -> TimeModel:
    """Read what `edgetime fit` or `TimeModel.save` wrote.

    Raises
    ------
    TimeModelError
        The file is missing, damaged, or was written by another version of edgetime.
    """
    from timemodel import TimeModel

    return TimeModel.load(path)


def predict(
    time_model: TimeModel | PathLike, network: Network | PathLike, input_shape: Any = None
) -> NetworkPrediction:
    """Predict how long `network` takes on the device of `time_model`.

    Parameters
    ----------
    time_model
        A time model or the file of one.
    network
        A network, or a ``.tflite`` or ``.keras`` file.
    input_shape
        For files that leave more than the batch open; see `edgetime.read_network`.

    Returns
    -------
    NetworkPrediction
        Times in ms, per layer and in total.
    """
    from edgetime.networks import read

    model = load_time_model(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    known = network if isinstance(network, Network) else read(network, input_shape).network
    return model.predict(known)


def measure(network: PathLike | bytes, target: str | Target = "local", seconds: float = 2.0) -> Measurement:
    """Run `network` on `target`; see `profiler.measurement.whole_network.measure_network`."""
    from profiler.devices import open_target
    from profiler.measurement import measure_network

    with open_target(target) if isinstance(target, str) else target as place:
        return measure_network(network, place, seconds=seconds)
