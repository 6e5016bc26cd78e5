"""A suite that every source of power must pass, those of this package and your own."""

from __future__ import annotations

import ast
import math
from typing import Any

from profiler.devices.power import source_code

_OURS = ("profiler", "timemodel", "compressor", "selector", "edgetime")
_READINGS = 20


def check_power_source(source: type[Any], argument: str = "", wrong: str = "/no/such/place") -> None:
    """Put a source of power through everything that is asked of one.

    In a project of your own this is one test::

        def test_my_meter_passes_the_suite():
            check_power_source(MyMeter, "/dev/ttyUSB0")

    Parameters
    ----------
    source
        The class.
    argument
        What stands behind its name where there is something to read.
    wrong
        The same where there is nothing to read.

    Raises
    ------
    AssertionError
        It does something wrong; the message says what.
    """
    assert (source.__doc__ or "").strip(), (
        "its docstring says nothing: 'edgetime targets' lists its first line"
    )
    assert source.unit in ("W", "J"), f"its unit is {source.unit!r}, not 'W' or 'J'"
    alone = _alone(source)
    why = _refusal(alone, wrong)
    assert why is not None, f"it can be made where there is nothing to read ({wrong})"
    assert why, "where there is nothing to read it does not say why"
    sensor = alone(argument)
    assert isinstance(sensor.where, str), "`where` is no text"
    assert sensor.where, "`where` does not say what is read"
    values = [float(sensor.read()) for _ in range(_READINGS)]
    assert all(math.isfinite(value) and value >= 0 for value in values), f"it reads {min(values)}"
    if source.unit == "J":
        assert values == sorted(values), (
            "energy so far became less: a counter that begins again must be taken on"
        )
    if hasattr(sensor, "close"):
        sensor.close()


def _refusal(made: Any, wrong: str) -> str | None:
    try:
        made(wrong)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _alone(source: type[Any]) -> Any:
    """The class as it is on the device, where nothing of edgetime is."""
    code = source_code(source)
    tree = ast.parse(code, feature_version=(3, 7))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    ours = sorted(name for name in imported if name.partition(".")[0] in _OURS)
    assert not ours, f"its file imports {', '.join(ours)}, which is not on the device"
    space: dict[str, Any] = {"__name__": "sensor"}
    exec(compile(code, "sensor.py", "exec"), space)
    return space[source.__name__]
