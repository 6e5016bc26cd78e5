"""The script that rebuilds networks reads the same data as compress does."""

import sys
from types import ModuleType

import numpy as np
import pytest

from compressor.data import Data
from compressor.pipeline.result.rebuilding import write_rebuilding
from compressor.training import Schedule, Task

X, Y = np.arange(6.0).reshape(3, 2), np.arange(3)


def several(name):
    return {f"{name}.left": X, f"{name}.right": X + 1}


@pytest.mark.parametrize("arrays", [{"x": X, "y": Y}, {**several("x"), "y": Y}, {"x": X, **several("y")}])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_rebuilding_script_reads_arrays_of_a_file_or_a_folder(tmp_path, monkeypatch, arrays, as_folder):
    data = tmp_path / ("data" if as_folder else "data.npz")
    if as_folder:
        data.mkdir()
        for name, array in arrays.items():
            np.save(data / f"{name}.npy", array)
    else:
        np.savez(data, **arrays)
    write_rebuilding(tmp_path, [], Task("softmax", Data(X, Y)), Schedule())
    text = (tmp_path / "rebuild.py").read_text()
    assert len(text.splitlines()) < 40
    pretended = ModuleType("keras")
    pretended.ops = None
    monkeypatch.setitem(sys.modules, "keras", pretended)
    monkeypatch.setattr(sys, "argv", ["rebuild.py", "01.json", "net.keras", str(data), "out.keras"])
    found = {}
    exec(text.partition("def log_p")[0], found)
    for name in ("x", "y"):
        expected = arrays[name] if name in arrays else {k[2:]: v for k, v in several(name).items()}
        np.testing.assert_equal(found[name], expected)
