import json

import pytest
from typer.testing import CliRunner

from edgetime.cli import app
from profiler import operators
from profiler.devices import Setting
from profiler.measurement import Profile
from profiler.probes import Probe

FINGERPRINT = {"machine": "paper", "cpu": "Paper 1", "cores": 2, "runtime": "made-up", "version": "1.0"}


@pytest.fixture
def profile(tmp_path):
    """Enough convolutions, too few of anything else."""
    path = tmp_path / "d.db"
    layers = [operators.conv_2d(8, 8, 4 + i % 9, 8 + i) for i in range(45)] + [
        operators.unary("gelu", (1, 8))
    ]
    with Profile.append(path) as made:
        made.register(Setting("made-up", "1.0"), FINGERPRINT)
        for i, layer in enumerate(layers):
            times = dict.fromkeys(("median_us", "min_us", "p20_us"), 10.0 + i)
            probe = Probe("layer", (layer,))
            made.add(Setting("made-up", "1.0").key, probe.key, "layer", 0, times)
    return path


def test_fit_says_of_what_there_are_too_few_probes_and_how_to_get_more(profile, tmp_path):
    result = CliRunner().invoke(
        app, ["fit", str(profile), "-o", str(tmp_path / "m.timemodel.json"), "--json"]
    )
    assert result.exit_code == 0
    (note,) = json.loads(result.stdout)["notes"]
    assert "gelu float32 (1; no model)" in note
    assert "'edgetime profile TARGET -o " in note
    assert "Too few probes" in result.stderr


def test_fit_refuses_a_profile_of_two_devices_in_one_sentence(profile, tmp_path):
    import sqlite3

    connection = sqlite3.connect(profile)
    connection.execute(
        "UPDATE settings SET fingerprint = ?", (json.dumps({**FINGERPRINT, "cpu": "Paper 2"}),)
    )
    connection.commit()
    connection.close()
    result = CliRunner().invoke(app, ["fit", str(profile), "-o", str(tmp_path / "m.timemodel.json")])
    assert result.exit_code == 1
    assert "mixes devices" in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "m.timemodel.json").exists()
