"""`Target`, a place that measures, and `Setting`, how it runs networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from profiler.errors import UsageError
from profiler.probes import Probe, plan_probes


@dataclass(frozen=True)
class Setting:
    """How a device runs networks: the runtime, its kernels, the number of threads.

    `target` is set for simulators only: their specification, by which the same one is opened again.
    """

    runtime: str
    version: str
    kernels: str = "xnnpack"
    threads: int = 1
    target: str = ""

    @property
    def key(self) -> str:
        """One line that names the setting, such as ``ai-edge-litert 2.3.0, xnnpack, 1 thread``."""
        if self.simulated:
            return f"{self.runtime} {self.version}, {self.kernels}"
        plural = "" if self.threads == 1 else "s"
        return f"{self.runtime} {self.version}, {self.kernels}, {self.threads} thread{plural}"

    @property
    def simulated(self) -> bool:
        """Whether times are worked out and not measured: the same each time, with nothing that could disturb them."""
        return bool(self.target)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        value = asdict(self)
        return value if self.target else {key: part for key, part in value.items() if key != "target"}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Setting:
        """Read what `to_dict` wrote."""
        names = str(value["runtime"]), str(value["version"]), str(value["kernels"])
        return cls(*names, int(value["threads"]), str(value.get("target", "")))


def device_name(fingerprint: Mapping[str, Any]) -> str:
    """Name a device by its processor and cores, the same under every setting."""
    cores = int(fingerprint.get("cores", 1))
    return f"{fingerprint.get('cpu', 'unknown')}, {cores} core{'' if cores == 1 else 's'}"


class Target:
    """A place that measures under one setting. A context manager: `close` frees what it holds.

    Subclasses implement `setting`, `hello`, `time_probe` and `measure_network`, and the others where they have
    more to offer. See `profiler.devices.register_target` for a target of your own, and
    `profiler.testing.check_target` for the suite that it must pass.

    Attributes
    ----------
    name : str
        Stands in messages.
    dtypes : tuple of str
        Number types that it runs, where those are not all of `profiler.operators.DTYPES`.
    specs : dict
        How a user may write such a target, and what each way offers: rows of ``edgetime targets``.
    calm_below_us : float or None
        Below which time of its canary the device is calm, as known by who measures; a target may try again where it is not.
    time_limit_s : float or None
        After how long to give a whole network up, besides what sending it takes; by default some minutes.
    """

    name: str
    calm_below_us: float | None = None
    time_limit_s: float | None = None
    dtypes: ClassVar[tuple[str, ...]] = ()
    specs: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def listed(cls) -> Mapping[str, str]:
        """`specs`, or what they are just now."""
        return cls.specs

    @classmethod
    def from_options(cls, options: str) -> Target:
        """Make a target from what follows ``PREFIX:`` in its specification; the device is not contacted yet.

        Raises
        ------
        UsageError
            An unknown option or value; the message names those that there are.
        """
        if options:
            raise UsageError(f"there are no options, such as {options!r}.")
        return cls()

    def plan(self, dtypes: Sequence[str], ops: Sequence[str] | None = None, seed: int = 0) -> list[Probe]:
        """What to measure here, in an order in which every prefix is a fair sample: see `profiler.probes.plan_probes`."""
        return plan_probes(dtypes, ops, seed)

    @property
    def setting(self) -> Setting:
        """How this target runs networks; asks the device where that is not known yet."""
        raise NotImplementedError

    def hello(self) -> dict[str, Any]:
        """Return the device's fingerprint: processor, clock, memory, system, runtime."""
        raise NotImplementedError

    def time_probe(self, content: bytes) -> dict[str, Any]:
        """Time one small network given as the bytes of a `.tflite` file.

        Returns
        -------
        dict
            ``median_us``, ``min_us``, ``p20_us`` (20th percentile), ``spread`` (interquartile range relative to the
            median), ``samples`` and ``disturbed`` (its times are not to be trusted); where there is a canary, a fixed small
            network, ``canaries_us``: its times just before and after; where it is known, ``waited``: the share of the time
            in which others had the core; now and then ``clock``: the processor's ``mhz``, and how often heat ``throttled`` it;
            where they are known, ``layers_us``, times of the layers as they ran there (None for what ran elsewhere), and
            ``energy_mj``. Or ``error`` where the runtime cannot run it.

        Raises
        ------
        TargetError
            The device is gone.
        """
        raise NotImplementedError

    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Measure a whole network given as the bytes of a `.tflite` file.

        Parameters
        ----------
        content
            The file.
        seconds
            How long to run it; at least 5 runs are made.
        shapes
            Of its inputs, where the file leaves them open.

        Returns
        -------
        dict
            As for `time_probe`, with ``p90_us``, ``load_ms`` (making it ready) and ``first_ms`` (the first run).
        """
        raise NotImplementedError

    def open_power(self) -> dict[str, Any] | None:
        """Get ready to measure energy; None where this target was given no source of power.

        Returns
        -------
        dict
            ``source``, ``where`` (what is read), and ``period_s`` (how often that says something new) with ``least_s`` (how long a
            window lasts at least); or ``given_w``, an average power that the user gave, and no window can be measured.

        Raises
        ------
        TargetError
            There is nothing to read; the message says why.
        """
        return None

    def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
        """What the device draws while a small network runs again and again, or at rest.

        Parameters
        ----------
        content
            The bytes of a `.tflite` file; None for rest.
        seconds
            How long; up to twice as long while little is calm.

        Returns
        -------
        dict
            ``power_w`` with its ``spread_w`` over ``readings``, ``runs``, ``seconds``, ``others`` (how many cores' worth other
            processes ran meanwhile), ``canaries_us`` and ``disturbed``. Or ``error`` where the runtime cannot run it, ``sensor``
            where there is nothing to read any more.
        """
        return {"sensor": f"{self.name} reads no power"}

    def profile_layers(
        self, content: bytes, seconds: float = 1.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Return one run's ``events`` of the runtime's profiler, or ``error``: why there are none.

        An event is ``[name, type, node, graph, us]``, see `profiler.measurement.Event`.
        """
        return {"error": f"{self.name} has no profiler"}

    def run_policy(self, content: bytes, policy: str, seconds: float, on_drift: str) -> dict[str, Any]:
        """Run a policy on rows there, and measure it.

        Parameters
        ----------
        content
            A zip of the files that run it, of its folder and of the rows, see `selector.runtime.board`.
        policy
            Name of its JSON file.
        seconds
            About how long to measure.
        on_drift
            ``"warn"`` or ``"single"``.

        Returns
        -------
        dict
            ``result``, ``arrays`` and ``warnings``; or ``error``: why it does not run there.
        """
        return {"error": f"{self.name} runs no policies"}

    def close(self) -> None:
        """Free what the target holds; further use opens it again."""

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
