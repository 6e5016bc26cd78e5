"""The process that runs ZigZag's cost model, in a temporary folder of its own; equal layers are worked out once."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from profiler.devices import agent
from profiler.devices.simulated.weights import with_registers
from profiler.network import Layer
from profiler.tflite import read_network

_LOOPS = 4
"""Dimensions are split into so many loops in all, unless there are more dimensions: all orders of the loops are tried."""
_PRIME = (2, 3, 5, 7, 11, 13)
"""Kernels of one loop per side: those are put innermost, since 720 orders of six loops take a minute and find little more."""
_FILES = {"meta_prototype": "meta_prototype_like"}
_EQUATION = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
_PJ_PER_MJ = 1e9
_WEIGHTS = "I2"
"""What all designs call the weights."""


class Cost(NamedTuple):
    """What a layer takes: cycles, picojoules, and how many weights come into each register for them, and into all."""

    cycles: float
    energy_pj: float
    fills: float
    all_fills: float


Sizes = tuple[tuple[int, ...], tuple[int, int], tuple[int, int], tuple[int, int]]
"""Loop sizes (B, K, G, OX, OY, C, FX, FY), then height and width: of strides, dilations and inputs."""


class ZigZag:
    """Answers what networks take: see `profiler.devices.Target.time_probe`. `configuration` is that of `ZigZagTarget`."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        os.environ.setdefault("MPLBACKEND", "Agg")
        logging.disable(logging.CRITICAL)
        import zigzag
        from zigzag.api import get_hardware_performance_zigzag

        self._evaluate, self.configuration = get_hardware_performance_zigzag, configuration
        self.title = str(configuration["design"])
        inputs = Path(str(zigzag.__file__)).parent / "inputs"
        mapping = inputs / "mapping" / f"{_FILES.get(self.title, self.title)}.yaml"
        from zigzag.utils import open_yaml

        self.hardware = open_yaml(str(inputs / "hardware" / f"{self.title}.yaml"))
        self.mapping = open_yaml(str(mapping if mapping.exists() else inputs / "mapping" / "default.yaml"))
        self.known: dict[tuple[Sizes, int], Cost | str] = {}
        bits = "/".join(str(configuration[f"{name}_bits"]) for name in ("weight", "activation", "sum"))
        self.fingerprint = {
            "machine": "simulated",
            "cpu": self.title,
            "cores": 1,
            "max_mhz": configuration["mhz"],
            "configured": f"{configuration['mhz']} MHz, {bits} bits, least {configuration['optimise']}",
            "runtime": "zigzag-dse",
            "version": importlib.metadata.version("zigzag-dse"),
        }

    def answer(self, request: dict[str, Any], blob: bytes) -> dict[str, Any]:
        """Do what is asked for; what goes wrong is told as ``error``."""
        if request.get("do") == "hello":
            return {"protocol": agent.PROTOCOL, "fingerprint": self.fingerprint}
        try:
            layers = read_network(blob).layers
        except Exception as error:
            return {"error": str(error)}
        times: list[float | None] = []
        energy_mj = 0.0
        left, problems = set(), []
        bits = request.get("weight_bits") or []
        decoder = request.get("decoder") or (0.0, 0.0)
        for number, layer in enumerate(layers):
            sizes = loop_sizes(layer)
            of_layer = bits[number] if number < len(bits) else None
            found = None if sizes is None else self._layer(sizes, of_layer, *decoder)
            if isinstance(found, str):
                problems.append(f"{layer.op}: {found}")
                found = None
            if found is None:
                left.add(layer.op)
            times.append(None if found is None else found[0] * layer.repeat)
            energy_mj += 0.0 if found is None else found[1] * layer.repeat
        if problems or all(time_us is None for time_us in times):
            return {
                "error": problems[0]
                if problems
                else f"{self.title} leaves {', '.join(sorted(left))} to the CPU"
            }
        total_us = sum(time_us for time_us in times if time_us is not None)
        answer = {**agent.summarise_us([total_us]), "disturbed": False, "layers_us": times}
        return {**answer, "energy_mj": energy_mj, "left": sorted(left)}

    def _layer(
        self,
        sizes: Sizes,
        weight_bits: float | None = None,
        decoder_cycles: float = 0.0,
        decoder_pj: float = 0.0,
    ) -> tuple[float, float] | str:
        """Microseconds and millijoules of a layer, or what went wrong."""
        bits = float(self.configuration["weight_bits"] if weight_bits is None else weight_bits)
        below, above = (self._whole(sizes, rounded(bits)) for rounded in (math.floor, math.ceil))
        if isinstance(below, str) or isinstance(above, str):
            return below if isinstance(below, str) else str(above)
        share = bits - math.floor(bits)
        cost = Cost(*(a + share * (b - a) for a, b in zip(below, above, strict=True)))
        cycles = max(cost.cycles, decoder_cycles * cost.fills)
        energy_pj = cost.energy_pj + decoder_pj * cost.all_fills
        return cycles / self.configuration["mhz"], energy_pj / _PJ_PER_MJ

    def _whole(self, sizes: Sizes, bits: int) -> Cost | str:
        """What a layer takes with weights of a whole number of bits, or what went wrong."""
        if (sizes, bits) not in self.known:
            with tempfile.TemporaryDirectory() as folder:
                mapping, hardware = Path(folder) / "mapping.yaml", Path(folder) / "hardware.yaml"
                mapping.write_text(json.dumps(self._mapping_of(sizes)), "utf-8")  # JSON is YAML
                hardware.write_text(json.dumps(with_registers(self.hardware, _WEIGHTS, bits)), "utf-8")
                try:
                    energy_pj, cycles, found = self._evaluate(
                        [workload(sizes, {**self.configuration, "weight_bits": bits})], str(hardware), str(mapping),
                        opt=self.configuration["optimise"], dump_folder=folder,
                        pickle_filename=f"{folder}/unused.pickle", lpf_limit=_LOOPS, loma_show_progress_bar=False,
                    )  # fmt: skip
                    self.known[sizes, bits] = Cost(float(cycles), float(energy_pj), *_fills(found))
                except Exception as error:
                    lines = str(error).strip().splitlines() or [type(error).__name__]
                    self.known[sizes, bits] = f"ZigZag cannot map it ({lines[0][:200].rstrip('.')})"
        return self.known[sizes, bits]

    def _mapping_of(self, sizes: Sizes) -> list[dict[str, Any]]:
        """The design's mapping, with the kernel's loops innermost."""
        default = next(dict(entry) for entry in self.mapping if entry["name"] == "default")
        spread = {pair[0] for pairs in default.get("spatial_mapping", {}).values() for pair in pairs}
        sides = zip(("FX", "FY"), sizes[0][6:], strict=True)
        inner = [[name, "*"] for name, size in sides if size in _PRIME and name not in spread]
        return [{**default, "temporal_ordering": [*inner, ["*", "*"]]} if inner else default]


def _fills(found: Any) -> tuple[float, float]:
    """How many weights come into one of the innermost registers, and into all of them."""
    from zigzag.datatypes import LayerOperand
    from zigzag.mapping.data_movement import DataDirection, DataMoveAttr

    cost = found[0][1][0][0]
    weights = LayerOperand("W")
    moved = cost.mapping.unit_mem_data_movement[weights][0]
    each = moved.get_attribute(DataMoveAttr.DATA_TRANS_AMOUNT_PER_PERIOD).get(DataDirection.WR_IN_BY_HIGH)
    count = moved.get_attribute(DataMoveAttr.DATA_TRANS_PERIOD_COUNT).get(DataDirection.WR_IN_BY_HIGH)
    return each * count, each * count * cost.mapping.spatial_mapping.unit_count[weights][1]


def loop_sizes(layer: Layer) -> Sizes | None:
    """The loops of a layer; None where it is no product with weights, or not of integers."""
    if layer.dtype not in ("int8", "int16") or not layer.outputs:
        return None
    source, out, p = layer.inputs[0].shape, layer.outputs[0].shape, layer.params
    kernel = int(p.get("kernel_height", 1)), int(p.get("kernel_width", 1))  # type: ignore[arg-type]
    if layer.op in ("conv_2d", "depthwise_conv_2d") and len(source) == len(out) == 4:
        weights = layer.inputs[1].shape
        depthwise = layer.op == "depthwise_conv_2d"
        groups = source[3] if depthwise else source[3] // max(1, weights[3])
        kernel = (weights[1], weights[2])
        strides, dilations = (
            (int(p.get(f"{name}_height", 1)), int(p.get(f"{name}_width", 1)))  # type: ignore[arg-type]
            for name in ("stride", "dilation")
        )
        loops = (out[0], out[3] // groups, groups, out[2], out[1], source[3] // groups, kernel[1], kernel[0])
        return loops, strides, dilations, (source[1], source[2])
    if layer.op == "fully_connected":
        rows = layer.outputs[0].size // max(1, out[-1])
        deep = layer.inputs[1].shape[1]
        return (1, out[-1], 1, rows, 1, deep, 1, 1), (1, 1), (1, 1), (1, rows)
    if layer.op == "batch_matmul" and len(out) >= 2:
        heads = layer.outputs[0].size // max(1, out[-1] * out[-2])
        deep = layer.macs // max(1, layer.outputs[0].size)
        return (1, out[-1], heads, out[-2], 1, deep, 1, 1), (1, 1), (1, 1), (1, out[-2])
    return None


def workload(sizes: Sizes, configuration: dict[str, Any]) -> dict[str, Any]:
    """A layer as ZigZag takes it."""
    loops, strides, dilations, (height, width) = sizes
    _, _, _, out_width, out_height, _, kernel_width, kernel_height = loops
    padding = []
    for i, (inside, outside, kernel) in enumerate(
        ((width, out_width, kernel_width), (height, out_height, kernel_height))
    ):
        needed = (outside - 1) * strides[1 - i] + (kernel - 1) * dilations[1 - i] + 1
        padded = max(0, needed - inside)
        padding.append([padded // 2, padded - padded // 2])
    data, sums = configuration["activation_bits"], configuration["sum_bits"]
    return {
        "id": 0,
        "name": "layer",
        "operator_type": "Conv",
        "equation": _EQUATION,
        "operand_source": {"W": 0, "I": 0},
        "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
        "loop_sizes": list(loops),
        "dimension_relations": [
            f"ix={strides[1]}*ox+{dilations[1]}*fx",
            f"iy={strides[0]}*oy+{dilations[0]}*fy",
        ],
        "operand_precision": {"W": configuration["weight_bits"], "I": data, "O_final": data, "O": sums},
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [width, height],
        "padding": padding,
    }


def main(configuration: str) -> None:
    """Serve on standard input and output."""
    agent.serve_standard_streams(lambda: ZigZag(json.loads(configuration)))
