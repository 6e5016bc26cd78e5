"""Reading times of whole networks, and the layers that they are made of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import DataError
from profiler.network import Layer, Tensor
from profiler.operators import fully_connected, window_params
from profiler.tflite import read_network
from profiler.values import parse_json
from timemodel.fitting.tables import TIME_COLUMNS, UNITS, Csv, read_csv, read_text


@dataclass(frozen=True)
class Totals:
    """Times of networks, each a row of layers, on devices: ``[networks, devices]``, NaN where a cell was empty."""

    names: tuple[str, ...]
    networks: tuple[tuple[Layer, ...], ...]
    devices: tuple[str, ...]
    times_ms: np.ndarray
    notes: tuple[str, ...] = ()


def read_totals(
    path: str | os.PathLike[str], networks: str | os.PathLike[str], unit: str | None = None
) -> Totals:
    """Read a table with a column ``network`` and one column of times per device, and the networks' layers (`read_layers`).

    A cell may be empty where a device did not run a network. Times are in `unit` (``us``, ``s``), by default in ms.
    """
    table = read_csv(path, "table of totals")
    if "network" not in table.columns:
        raise table.fail("there is no column network", "name the networks in it", 1)
    devices = [name for name in table.columns if name != "network"]
    if not devices:
        raise table.fail("there is no column of times", "add one per device", 1)
    layers = read_layers(networks, [record.cells["network"] for record in table.records])
    rows: dict[str, list[float]] = {}
    for record in table.records:
        name = record.cells["network"]
        if name not in layers:
            raise table.fail(f"{networks} has no network {name!r}", "add its layers", record.line, "network")
        row = [table.amount(record, d) if record.cells[d] else np.nan for d in devices]
        if not np.array_equal(rows.setdefault(name, row), row, equal_nan=True):
            problem = f"network {name!r} stands in the table twice with different times"
            mend = "keep one line, or give the second measurement a column of its own"
            raise table.fail(problem, mend, record.line, "network")
    repeated = len(table.records) - len(rows)
    repeat = f"{table.path}: {repeated} lines repeat an earlier one, times and all: counted once."
    units = [unit or (d.removeprefix("time_") if d in TIME_COLUMNS else "ms") for d in devices]
    times = np.array(list(rows.values())) * [UNITS[own] for own in units]
    empty = [d for d, column in zip(devices, times.T, strict=True) if not np.isfinite(column).any()]
    if empty:
        raise table.fail("there is no time in it", "take the column out", column=empty[0])
    if unit is None:
        _check_units(table, list(rows), devices, times)
    notes = (repeat,) if repeated else ()
    return Totals(tuple(rows), tuple(layers[name] for name in rows), tuple(devices), times, notes)


_MIXED = 150.0


def _check_units(table: Csv, names: Sequence[str], devices: Sequence[str], times: np.ndarray) -> None:
    """Refuse tables in which a cell or a column is about a thousand times off."""
    logs = np.log(times)
    ask = "say with --time-unit ms|us|s what all of it is in, or mend it"
    expected = np.nanmedian(logs, axis=0)
    residual = logs - expected
    residual -= np.nanmedian(residual, axis=1)[:, None] if times.shape[1] > 2 else 0.0
    worst = np.nanmax(np.abs(residual)) if np.isfinite(residual).any() else 0.0
    if worst > np.log(_MIXED):
        row, column = np.argwhere(np.abs(residual) == worst)[0]
        off = f"is about {np.exp(worst):.0f} times off the rest of its column, as if units were mixed"
        problem = f"{times[row, column]:.4g} ms of network {names[row]} {off}"
        raise table.fail(problem, ask, column=devices[column])
    order = np.argsort(expected)
    gaps = np.diff(expected[order])
    if len(gaps) and gaps.max() > np.log(_MIXED):
        below, above = (devices[i] for i in order[gaps.argmax() : gaps.argmax() + 2])
        problem = (
            f"its times are more than {np.exp(gaps.max()):.0f} times those of {below}, as if units were mixed"
        )
        raise table.fail(problem, ask, column=above)


def read_layers(path: str | os.PathLike[str], wanted: Sequence[str] = ()) -> dict[str, tuple[Layer, ...]]:
    """Layers of networks by name, from a folder of ``.tflite`` files with `wanted` names or from a file of JSON lines.

    A line is ``{"network": …, "layers": [{"op": …, "in_hw": …, "out_hw": …, "in_channels": …, "out_channels": …, "kernel": …,
    "stride": …}, …]}``, in the order in which they run. Heights and widths that differ are ``in_height``, ``in_width`` and so
    on. An activation right behind a layer that can do it itself is taken as done by it, as TFLite does; a 1x1 convolution of
    a single pixel is taken as fully connected.
    """
    place = Path(path)
    if place.is_dir():
        files = {name: place / f"{name}.tflite" for name in wanted if (place / f"{name}.tflite").is_file()}
        return {name: tuple(read_network(file).layers) for name, file in files.items()}
    found: dict[str, tuple[Layer, ...]] = {}
    text = read_text(place, "file of networks' layers", ".jsonl, or a folder")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            raise DataError(f"{where}: this is no JSON; write one object per line.") from error
        if not isinstance(value, dict) or "network" not in value or not isinstance(value.get("layers"), list):
            raise DataError(f'{where}: write {{"network": NAME, "layers": […]}}.')
        name = str(value["network"])
        if name in found:
            raise DataError(f"{where}: network {name!r} stands in it twice; keep one.")
        layers: list[Layer] = []
        for position, row in enumerate(value["layers"], 1):
            _append(layers, row, f"{where}, layer {position}")
        if not layers:
            raise DataError(f"{where}: network {name!r} has no layers; list them.")
        found[name] = tuple(replace(layer, index=i) for i, layer in enumerate(layers))
    if not found:
        raise DataError(f"{place} is empty: write one network per line, with its layers.")
    return found


_ACTIVATIONS = frozenset({"relu", "relu6", "relu_n1_to_1"})
_OPS = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected", "add", "mul", "pool_2d", *_ACTIVATIONS})
_MOST = 2**24


def _append(layers: list[Layer], row: Any, where: str) -> None:
    """Add the layer that `row` describes to `layers`, or fuse it into the last one."""
    if not isinstance(row, Mapping) or not isinstance(row.get("op"), str):
        raise DataError(f"{where}: write an object with op, sizes and channels.")
    op = row["op"]

    def size(name: str, short: str = "", default: int | None = None) -> int:
        value = row.get(name, row.get(short, default))
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
            what = "is missing" if value is None else f"is {value!r}, which is no size"
            raise DataError(f"{where}: {short or name} {what}; write a whole number above 0.")
        return value

    batch = size("batch", default=1)
    before = (batch, size("in_height", "in_hw", 1), size("in_width", "in_hw", 1), size("in_channels"))
    after = (batch, size("out_height", "out_hw", before[1]), size("out_width", "out_hw", before[2]),
             size("out_channels", default=before[3]))  # fmt: skip
    source, result = Tensor(before), Tensor(after)
    if op in _ACTIVATIONS:
        last = layers[-1] if layers else None
        if last is not None and last.params.get("activation") == "none" and _same_result(last, result):
            layers[-1] = replace(last, params={**last.params, "activation": op})
        else:
            layers.append(Layer(op, (source,), (result,)))
        return
    if op in ("add", "mul"):
        layers.append(Layer(op, (source, source), (result,), {"activation": "none"}))
        return
    if op == "fully_connected" or (
        op == "conv_2d" and before[1:3] == (1, 1) == after[1:3] and row.get("kernel", 1) == 1
    ):
        layers.append(fully_connected(before[3], after[3], rows=batch))
        return
    if op not in ("conv_2d", "depthwise_conv_2d", "pool_2d", "average_pool_2d", "max_pool_2d"):
        raise DataError(
            f"{where}: {op!r} is no operator that totals can hold; take one of {', '.join(sorted(_OPS))}."
        )
    kernel = size("kernel_height", "kernel"), size("kernel_width", "kernel")
    stride = size("stride_height", "stride", 1), size("stride_width", "stride", 1)
    same = all(-(-n // s) == o for n, s, o in zip(before[1:3], stride, after[1:3], strict=True))
    params = window_params(kernel, stride, (1, 1), "same" if same else "valid", "none")
    if "pool" in op:
        if op == "pool_2d":
            # A window as large as the image is the average before the last layers, smaller ones take the largest.
            op = "average_pool_2d" if kernel == before[1:3] else "max_pool_2d"
        layers.append(Layer(op, (source,), (result,), params))
        return
    weights = (after[3], *kernel, before[3])
    if op == "depthwise_conv_2d":
        weights = (1, *kernel, after[3])
        params["depth_multiplier"] = max(1, after[3] // before[3])
    operands = (source, Tensor(weights, constant=True), Tensor((after[3],), constant=True))
    layers.append(Layer(op, operands, (result,), params))


def _same_result(layer: Layer, result: Tensor) -> bool:
    shape = layer.outputs[0].shape
    if len(shape) == 2:
        shape = (shape[0], 1, 1, shape[1])
    return shape == result.shape
