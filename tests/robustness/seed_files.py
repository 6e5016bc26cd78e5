"""Whole files of every format that edgetime reads, small and made anew: what is mutated."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from tiny_lines import classifier
from tiny_policies import network, picks, saved, two_stages

from profiler.devices import Setting, agent
from profiler.measurement import Profile
from profiler.operators import conv_2d, unary
from profiler.probes import Probe, empty_probe, plan_probes

SETTING = Setting("ai-edge-litert", "2.3.0")
FINGERPRINT = {
    "machine": "x86_64", "cpu": "A made-up processor", "cores": 4, "runtime": "ai-edge-litert", "version": "2.3.0",
}  # fmt: skip
OPS = ("conv_2d", "fully_connected", "add")


def make(folder: Path, few: bool = False) -> None:
    """Write a folder for each kind, each file of which is a seed; `few` of them leave out what takes long to make."""
    for name, content in _networks(few).items():
        _write(folder / "tflite" / f"{name}.tflite", content)
    _write_profile(folder / "db" / "device.db")
    _write_model(folder / "db" / "device.db", folder / "timemodel" / "device.timemodel.json")
    _write(folder / "import" / "out.jsonl", _board_results())
    for name, value in results().items():
        _write(folder / "report" / name, value)
    saved(folder / "policy", two_stages(), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))
    saved(folder / "policy_static", _static(), quick=picks([0, 1, 2]))
    _write(folder / "npz" / "data.npz", _arrays())
    _write(folder / "csv" / "layers.csv", _table())
    _write(folder / "keras" / "net.keras", keras_file())
    if not few:
        _write(folder / "lct" / "net.lct", _packed(folder))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _networks(few: bool) -> dict[str, bytes]:
    """One network per operator that probes are made of, and two of several layers."""
    found = {"classifier": classifier(), "many": _chain()}
    for probe in plan_probes(("float32",) if few else ("float32", "int8"), scale=0.1 if few else 1.0):
        if probe.kind in ("layer", "pair"):
            found.setdefault(f"{probe.kind}-{probe.layers[0].op}-{probe.layers[0].dtype}", probe.build)  # type: ignore[arg-type]
    small = {}
    for name, content in found.items():
        built = content if isinstance(content, bytes) else content()
        if len(built) < 50_000:
            small[name.replace(":", "_")] = built
    return small


def _chain() -> bytes:
    layers = [conv_2d(8, 8, 4, 8, activation="relu"), conv_2d(8, 8, 8, 8), unary("tanh", (1, 8, 8, 8))]
    return Probe("chain", tuple(layers)).build()


def _times(probe: Probe) -> dict[str, object]:
    us = 1.0 + sum(
        2e-5 * layer.macs + 1e-4 * (layer.input_bytes + layer.output_bytes) for layer in probe.layers
    )
    return {
        "median_us": us, "min_us": us, "p20_us": us, "spread": 0.0, "samples": 9, "canaries_us": [10.0, 10.0],
        "waited": 0.1, "disturbed": False, "at": 1.5e9,
    }  # fmt: skip


def _probes(most: int) -> list[Probe]:
    layers = [probe for probe in plan_probes(("float32",), OPS) if probe.kind == "layer"]
    return [empty_probe(), *layers[:: max(1, len(layers) // most)]]


def _write_profile(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with Profile.append(path) as profile:
        profile.register(SETTING, FINGERPRINT)
        for probe in _probes(90):
            profile.add(SETTING.key, probe.key, probe.kind, 0, _times(probe))


def _write_model(profile: Path, path: Path) -> None:
    from timemodel import fit_profile

    path.parent.mkdir(parents=True)
    fit_profile(profile).save(path)


def _board_results() -> bytes:
    header = {
        "type": "header", "protocol": agent.PROTOCOL, "fingerprint": FINGERPRINT,
        "settings": [{"kernels": "xnnpack", "threads": 1}],
    }  # fmt: skip
    lines = [
        {"type": "time", "key": probe.key, "kind": probe.kind, "pass": 0, "setting": 0, **_times(probe)}
        for probe in _probes(4)
    ]
    return "".join(json.dumps(line) + "\n" for line in (header, *lines)).encode()


def results() -> dict[str, bytes]:
    option = {"width": 14, "saving_share": 0.1}
    advice = {
        "network": "net.tflite", "predicted_ms": 1.0,
        "groups": [{"name": "a;b", "width": 16, "wider": [option], "narrower": [option], "fixed": ""}],
    }  # fmt: skip
    layer = {"index": 0, "op": "conv_2d", "name": "a", "predicted_ms": 1.0, "measured_ms": 1.1}
    line = {
        "network": "net.tflite", "device": "d", "dtype": "float32", "predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1,
        "coverage": 1.0, "measured_ms": 1.05, "layers": [layer],
    }  # fmt: skip
    candidate = {
        "network": "net.tflite", "predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1, "coverage": 1.0, "dtype": "float32",
        "file_bytes": 1000, "peak_memory_bytes": 500, "accuracy": 0.9, "energy_mj": None, "at_least": False,
        "on_front": True, "over": [],
    }  # fmt: skip
    selection = {
        "device": "d", "budget_ms": 2.0, "recommended": "net.tflite", "judged_on": "100 rows",
        "candidates": [candidate, {**candidate, "network": "other.tflite", "on_front": False}],
    }  # fmt: skip
    values = {"advice.json": advice, "selection.json": selection, "result.json": _compression()}
    found = {name: json.dumps(value).encode() for name, value in values.items()}
    return {**found, "predictions.jsonl": (json.dumps(line) + "\n").encode() * 3}


def _compression() -> dict[str, object]:
    costs = {"predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1, "measured_ms": 1.0, "measured_p90_ms": 1.1}
    costs |= {"parameters": 100, "macs": 1000, "peak_memory_bytes": 10, "energy_mj": None}
    facts = {
        **costs, "tflite": "a.tflite", "keras": "a.keras", "quantize": "none", "score": 0.9, "scores": [0.9],
        "validation_score": 0.9, "file_bytes": 1000, "mean_score": 0.9, "score_spread": None,
    }  # fmt: skip
    point = {
        **costs, "keras": "a.keras", "tflite": "a.tflite", "chosen": True, "widths": {"a": 4}, "validation_score": 0.9,
        "score": 0.9, "seeds": 1, "size_bytes": 1000, "on_front": True,
    }  # fmt: skip
    layer = {
        "name": "a", "op": "conv_2d", "index_before": 0, "index_after": 0, "channels_before": 8, "channels_after": 4,
        "before_ms": 1.0, "after_ms": 0.5, "saved_ms": 0.5, "measured_before_ms": 1.0, "measured_after_ms": 0.5,
        "reason": "fewer", "evidence": "leaf 3",
    }  # fmt: skip
    return {
        "folder": "out", "method": "optuna", "device": "d", "setting": "s", "quantize": "int8", "seed": 0, "seeds": 1,
        "budget_ms": 1.0, "max_accuracy_drop": None, "met": True, "score_name": "accuracy", "test_rows": 100,
        "before": facts, "quantized": facts, "after": facts, "speedup_measured": 1.5, "speedup_low": 1.4,
        "speedup_high": 1.6, "widths": [{"layer": "a", "group": "g", "before": 8, "after": 4}], "frozen": [],
        "trials": [{"score": 0.9, "predicted_ms": 1.0}], "seconds": 1.0, "notes": ["n"],
        "points": [point, {**point, "chosen": False}], "layers": [layer], "limits": {}, "validation_rows": 100,
        "missed": "", "minutes": None, "overrun_minutes": 0.0, "speedup_predicted": 1.0, "drop_points": 0.0,
    }  # fmt: skip


def _static() -> object:
    from selector.runtime import Specification

    return Specification("static", "board", (network("quick", 1.0),), classes=0, expected={"rows": 10})


def _arrays() -> bytes:
    content = io.BytesIO()
    x = np.linspace(0, 1, 20 * 6, dtype=np.float32).reshape(20, 6)
    np.savez_compressed(content, x=x, y=np.arange(20) % 3, groups=np.arange(20) % 4)
    return content.getvalue()


def _table() -> bytes:
    rows = [
        "op,dtype,in_height,in_width,in_channels,out_channels,kernel_height,kernel_width,time_ms,time_std_ms"
    ]
    for channels in range(4, 40):
        rows.append(f"conv_2d,float32,8,8,{channels},16,3,3,{0.01 * channels + 0.1:.4f},0.01")
        rows.append(f"fully_connected,float32,,,{channels},16,,,{0.001 * channels + 0.01:.4f},0.001")
    return "\n".join(rows).encode()


def _packed(folder: Path) -> bytes:
    from compressor.weights.line_compress import pack

    source, packed = folder / "tflite" / "classifier.tflite", folder / "packed.lct"
    pack(source, packed, "paper", tolerance=0.05, coding="fixed")
    content = packed.read_bytes()
    packed.unlink()
    return content


def keras_file() -> bytes:
    """A ``.keras`` as Keras 3 writes it, of an input, a flattening and a dense layer; made without TensorFlow."""
    import h5py

    def layer(kind: str, name: str, **config: object) -> dict[str, object]:
        return {
            "module": "keras.layers",
            "class_name": kind,
            "registered_name": None,
            "config": {"name": name, **config},
        }

    config = {
        "module": "keras", "class_name": "Sequential", "registered_name": None,
        "config": {"name": "net", "trainable": True, "dtype": "float32", "layers": [
            layer("InputLayer", "in", batch_shape=[None, 2, 3], dtype="float32"),
            layer("Flatten", "flat"), layer("Dense", "head", units=4, activation="softmax"),
        ]},
        "build_config": {"input_shape": [None, 2, 3]},
    }  # fmt: skip
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for number, array in enumerate((np.ones((6, 4), np.float32), np.zeros(4, np.float32))):
            file.create_dataset(f"layers/dense/vars/{number}", data=array)
        file.create_group("layers/flatten/vars")
        file.create_group("layers/input_layer/vars")
        file.create_group("vars")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0", "date_saved": "2025-01-01"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
    return content.getvalue()
