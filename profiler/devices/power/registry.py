"""Which sources of power there are, by name: those of this package and those that others register."""

from __future__ import annotations

import functools
import inspect
import io
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from profiler.devices.power import meter, sensors
from profiler.errors import UsageError
from profiler.plugins import register_plugins

ENTRY_POINTS = "edgetime.power"
UNITS = {"mW": 1e-3, "W": 1.0}
_GIVEN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(mW|W)")


class Sensor(Protocol):
    """What reads power on the device: see `register_power_source`."""

    unit: str
    where: str

    def read(self) -> float:
        """Watts now (`unit` is ``W``), or joules so far (``J``)."""


_sources: dict[str, type[Any]] = dict(sensors.SOURCES)


def register_power_source(name: str, source: type[Sensor]) -> None:
    """Make a source of power known, so that ``power=NAME`` and ``power=NAME:TEXT`` read it in the options of any target.

    The file that the class stands in is sent to the device and runs there: it needs Python 3.7 and may import what the device has,
    and nothing of edgetime. For the command line to find it, a package names it as an entry point in its ``pyproject.toml``; it
    then needs no call of this function::

        [project.entry-points."edgetime.power"]
        mymeter = "mymeter:MyMeter"

    Parameters
    ----------
    name
        Letters, digits, ``-`` and ``_``.
    source
        A class that is made with TEXT (empty where there is none), with `unit` (``"W"`` or ``"J"``), `where` (what is read, in
        words) and `read`. Making it raises OSError or ValueError, with a sentence, where there is nothing to read. The first
        line of its docstring says what it is for.

    Raises
    ------
    UsageError
        The name is taken by another class or is none, or the class cannot be used.

    Examples
    --------
    A meter at a serial port, in the file ``mymeter.py``::

        class MyMeter:
            "a USB meter; power=mymeter:/dev/ttyUSB0"

            unit = "W"

            def __init__(self, argument):
                self.where = argument
                self.port = open(argument)

            def read(self):
                return float(self.port.readline())
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise UsageError(f"{name!r} is no name of a source of power: take letters, digits, - and _.")
    if not isinstance(source, type) or not callable(getattr(source, "read", None)):
        raise UsageError(
            f"{source!r} is no class with a method read: see profiler.devices.register_power_source."
        )
    if getattr(source, "unit", None) not in ("W", "J"):
        raise UsageError(f"{source.__name__}.unit must be 'W' (power now) or 'J' (energy so far).")
    if _sources.setdefault(name, source) is not source:
        raise UsageError(
            f"The source of power {name!r} is taken by {_sources[name].__qualname__}: take another name."
        )


@dataclass(frozen=True)
class PowerOption:
    """What ``power=…`` says: a source by its name and the text behind it, or an average power that the user gives."""

    name: str
    argument: str = ""
    given_w: float | None = None

    @classmethod
    def parse(cls, text: str) -> PowerOption:
        """Read ``rapl``, ``hwmon:ina219`` or ``2.5W``.

        Raises
        ------
        UsageError
            There is no such source; the message names those that there are.
        """
        given = _GIVEN.fullmatch(text)
        if given is not None:
            watts = float(given[1]) * UNITS[given[2]]
            if not watts > 0:
                raise UsageError(f"power must be above 0, not {text}.")
            return cls("given", text, watts)
        name, _, argument = text.partition(":")
        if name not in _sources:
            _load_plugins()
        if name not in _sources:
            raise UsageError(
                f"there is no source of power {name!r}: write power={', power='.join(_sources)}, or an average such as power=2.5W."
            )
        return cls(name, argument)

    @property
    def request(self) -> tuple[dict[str, Any], bytes]:
        """What an agent is asked to read, and the code that does it there."""
        source = _sources[self.name]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("meter.py", Path(meter.__file__).read_bytes())
            archive.writestr("sensor.py", source_code(source))
        names = {"source": self.name, "class": source.__name__, "argument": self.argument}
        return {"do": "meter", **names}, packed.getvalue()


def source_code(source: type[Any]) -> str:
    """The file that a source stands in."""
    try:
        return inspect.getsource(sys.modules[source.__module__])
    except (OSError, KeyError, TypeError) as error:
        raise UsageError(
            f"The file of the source of power {source.__qualname__} cannot be read ({error})."
        ) from error


def list_power_sources() -> list[dict[str, str]]:
    """Rows for ``edgetime targets``: how to read a source on this machine, and what it reads or why it is missing."""
    _load_plugins()
    rows = []
    for name, source in _sources.items():
        about = (source.__doc__ or name).strip().split("\n")[0].rstrip(".")
        rows.append({"spec": f"local:power={name}", "offers": f"energy by {about} ({_state(source)})"})
    given = "energy as time times an average power in mW or W that you know"
    return [*rows, {"spec": "local:power=2.5W", "offers": given}]


def _state(source: type[Any]) -> str:
    try:
        sensor = source("")
        sensor.read()
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return f"missing: {lines[0].rstrip('.')}"
    if callable(getattr(sensor, "close", None)):
        sensor.close()
    return f"reads {sensor.where}"


@functools.cache
def _load_plugins() -> None:
    """Register the sources of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_power_source, _sources)
