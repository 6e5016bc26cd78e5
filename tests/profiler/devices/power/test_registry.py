"""A meter of one's own, read by the real agent: the example in ``examples/shelly_meter.py`` and a plug that is made up."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from profiler.devices import LocalTarget, list_targets, open_target, register_power_source
from profiler.devices.power import registry
from profiler.errors import TargetError, UsageError
from profiler.operators import conv_2d
from profiler.probes import Probe
from profiler.testing import check_power_source

EXAMPLE = Path(__file__).parents[4] / "examples" / "shelly_meter.py"


@pytest.fixture(scope="module")
def plug():
    """Where a made-up plug answers: a little more than 3 W, never twice the same."""
    readings = itertools.count()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"id": 0, "apower": 3.0 + 1e-4 * (next(readings) % 7)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *values: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shelly():
    """The example's class, loaded as a package's would be."""
    spec = importlib.util.spec_from_file_location("shelly_meter", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shelly_meter"] = module
    spec.loader.exec_module(module)
    yield module.Shelly
    del sys.modules["shelly_meter"]


@pytest.fixture
def registered(shelly, monkeypatch):
    """The example, known by name in this test only."""
    monkeypatch.setattr(registry, "_sources", dict(registry._sources))
    register_power_source("shelly", shelly)
    return "shelly"


def test_the_example_is_short_and_passes_the_suite(shelly, plug):
    assert len(EXAMPLE.read_text().splitlines()) < 40
    check_power_source(shelly, plug, wrong="127.0.0.1:9")


def test_the_agent_reads_a_meter_of_ones_own_beside_repeated_runs(registered, plug):
    probe = Probe("layer", (conv_2d(8, 8, 8, 8),)).build()
    with open_target(f"local:power={registered}:{plug}") as target:
        told = target.open_power()
        assert (told["source"], told["where"], told["unit"]) == ("shelly", plug, "W")
        assert told["period_s"] > 0
        work = target.measure_power(probe, 0.2)
        target.close()  # the agent starts again, and finds the meter again
        rest = target.measure_power(None, 0.2)
        wrong = target.measure_power(b"no network", 0.2)
    assert work["power_w"] == pytest.approx(3.0, rel=0.01)
    assert work["runs"] > 10
    assert (rest["runs"], rest["power_w"]) == (0, pytest.approx(3.0, rel=0.01))
    assert "error" in wrong


def test_a_meter_that_does_not_answer_is_told(registered):
    with LocalTarget(power="shelly:127.0.0.1:9") as target:
        with pytest.raises(TargetError, match=r"No energy from local: .*refused"):
            target.open_power()
        assert "sensor" in target.measure_power(None, 0.1)


def test_targets_lists_sources_with_what_they_read_or_why_they_are_missing(registered):
    rows = {row["spec"]: row["offers"] for row in list_targets()}
    assert "energy counters of Intel and AMD" in rows["local:power=rapl"]
    assert all(
        "missing: " in rows[f"local:power={name}"] or "reads " in rows[f"local:power={name}"]
        for name in ("rapl", "ina", "hwmon")
    )
    assert "missing: " in rows["local:power=shelly"]
    assert "average power" in rows["local:power=2.5W"]


class Nothing:
    """reads nothing"""


class Horses:
    """another unit"""

    unit = "hp"

    def read(self) -> float:
        return 1.0


def test_what_cannot_be_a_source_is_refused(registered):
    with pytest.raises(UsageError, match="no class with a method read"):
        register_power_source("nothing", Nothing)
    with pytest.raises(UsageError, match=r"Horses.unit must be 'W' .power now. or 'J'"):
        register_power_source("horses", Horses)
    with pytest.raises(UsageError, match="is no name of a source"):
        register_power_source("a b", Horses)
    Horses.unit = "W"
    with pytest.raises(UsageError, match="'rapl' is taken by Rapl"):
        register_power_source("rapl", Horses)
