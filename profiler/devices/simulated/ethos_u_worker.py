"""The process that runs Arm's compiler for the Ethos-U: it stays, since a start takes a second and a small network milliseconds."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.devices import agent
from profiler.devices.simulated.weights import stored_in
from profiler.tflite import read_network

_PRODUCT_PJ, _ON_CHIP_PJ, _OFF_CHIP_PJ = 0.3, 12.5, 162.5
"""Of a product of 8 bits with its addition, of a byte of a 1 MB memory, and of a byte of DRAM (Horowitz, ISSCC 2014; 45 nm)."""

_PJ_PER_MJ = 1e9
_SHARE_A_WEIGHT = 4
"""Positions of the map whose products with one weight are made at once, so that its decoder serves them all (two or four)."""

_LEFT = "Passthrough"
"""What the compiler calls an operator that it leaves to the CPU."""


class EthosU:
    """Answers what networks take: see `profiler.devices.Target.time_probe`. `configuration` is that of `EthosUTarget`."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        from ethosu import regor
        from ethosu.vela import architecture_features

        self._compile, self.title = regor.compile, str(configuration["design"]).title()
        default = architecture_features.ArchitectureFeatures.DEFAULT_CONFIG
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                known = architecture_features.ArchitectureFeatures(
                    vela_config_files=None,
                    system_config=configuration["system_config"] or default,
                    memory_mode=configuration["memory_mode"] or default,
                    accelerator_config=configuration["design"],
                    max_blockdep=architecture_features.ArchitectureFeatures.MAX_BLOCKDEP,
                    verbose_config=False,
                    arena_cache_size=None,
                )
        except Exception as error:
            raise agent.AgentError(_bad_configuration(configuration, error)) from error
        self.hertz = float(known.core_clock)
        self.decoders = int(known.num_macs_per_cycle) * int(known.ncores) // _SHARE_A_WEIGHT
        areas = type(known.permanent_storage_mem_area)
        self.bytes_per_cycle = {
            area.name: float(known.memory_bandwidths_per_cycle[area]) for area in areas if area < areas.Size
        }
        self.storage = known.permanent_storage_mem_area.name
        self.family = "".join(part.capitalize() for part in configuration["design"].split("-")[:-1])
        files = "".join(Path(file).read_text("utf-8") for file in known.vela_config_files)
        self.system = (
            f"[architecture]\nmacs={known.num_macs_per_cycle}\ncores={known.ncores}\n"
            f"[vela]\nsystem_config_name={known.system_config}\nmemory_mode_name={known.memory_mode}\n{files}"
        )
        self.settings = (
            "\n[compiler]\nenable_db=true\noutput_format=TFLite\ncop_format=COP1\n"
            f"\n[scheduler]\noptimize=Performance\narena_size_limit={known.arena_cache_size}\ndisable_feature=\n"
            "cpu_tensor_alignment=16\ntensor_allocator=HillClimb\n\n[graph]\n"
        )
        self.fingerprint = {
            "machine": "simulated",
            "cpu": self.title,
            "cores": 1,
            "max_mhz": round(self.hertz / 1e6),
            "memory_mode": known.memory_mode,
            "system_config": known.system_config,
            # Where the arena lies in the same memory, all activations have room there.
            "fast_bytes": known.arena_cache_size if known.is_spilling_enabled() else 0,
            "configured": f"{known.system_config}, {known.memory_mode}",
            "runtime": "ethos-u-vela",
            "version": importlib.metadata.version("ethos-u-vela"),
        }
        self._time = functools.lru_cache(maxsize=4)(self._compiled)
        self._run = functools.lru_cache(maxsize=2)(self._compiled_anew)

    def answer(self, request: dict[str, Any], blob: bytes) -> dict[str, Any]:
        """Do what is asked for; what goes wrong is told as ``error``."""
        if request.get("do") == "hello":
            return {"protocol": agent.PROTOCOL, "fingerprint": self.fingerprint}
        try:
            if request.get("weight_bits"):
                return self._stored(blob, request["weight_bits"], *(request.get("decoder") or (0.0, 0.0)))
            return self._time(blob)
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return {"error": f"the compiler cannot compile it: {lines[0][:200]}"}

    def _stored(
        self, content: bytes, weight_bits: Sequence[float | None], decoder_cycles: float, decoder_pj: float
    ) -> dict[str, Any]:
        """What a network takes when the compiler's codec stores each layer's weights in so many bits.

        Energy is an estimate from what the compiler counts, and prices of products and bytes.
        """
        content = stored_in(content, weight_bits, _encoded_bits)
        answer = dict(self._time(content))
        if "error" in answer:
            return answer
        layers = read_network(content).layers
        weights = [sum(one.size for one in layer.weights if len(one.shape) > 1) for layer in layers]
        waits_us = [
            max(0.0, 1e6 * decoder_cycles * count / self.decoders / self.hertz - (time_us or 0.0))
            for count, time_us in zip(weights, answer["layers_us"], strict=False)
        ]
        energy_pj = self._traffic_pj(self._run(content)) + decoder_pj * sum(weights)
        total_us = answer["median_us"] + sum(waits_us)
        return {**answer, **agent.summarise_us([total_us]), "energy_mj": energy_pj / _PJ_PER_MJ}

    def _traffic_pj(self, compiled: Any) -> float:
        """Energy of all products, and of all bytes on and off the chip; each weight comes at least once."""
        report, table = compiled.perf_report, compiled.opt_database.tables["perf"]
        total = report.macCount * _PRODUCT_PJ
        for at, name in enumerate(table.header):
            area = name.removesuffix("_ac")
            if area in self.bytes_per_cycle:
                moved = self.bytes_per_cycle[area] * sum(int(row[at]) for row in table.data)
                if area == self.storage:
                    moved = max(moved, float(report.encodedWeights))
                total += moved * (_OFF_CHIP_PJ if area in ("Dram", "OffChipFlash") else _ON_CHIP_PJ)
        return total

    def _compiled_anew(self, content: bytes) -> Any:
        """Compile a file."""
        return self._compile(
            self.family, content, "TFLITE", self.system, options=self.settings, verbose=False
        )

    def _compiled(self, content: bytes) -> dict[str, Any]:
        """Compile a file, and read what the compiler says of it."""
        compiled = self._run(content)
        tables = compiled.opt_database.tables
        cycles = layer_cycles(tables)
        names = {_key(tables, row): str(row[1]) for row in tables["source"].data}
        left = sorted({names[key] for key, each in cycles.items() if each is None})
        if all(count is None for count in cycles.values()):
            return {"error": f"{self.title} leaves {', '.join(left) or 'it'} to the CPU"}
        # What the compiler lists no more runs inside another operator, or needs not run at all.
        each = [cycles.get(index, 0) for index in range(max([*cycles, *names]) + 1)]
        layers_us = [None if count is None else 1e6 * count / self.hertz for count in each]
        total_us = 1e6 * compiled.perf_report.totalCycles / self.hertz
        return {**agent.summarise_us([total_us]), "disturbed": False, "layers_us": layers_us, "left": left}


def _encoded_bits(weights: npt.NDArray[np.int8]) -> float:
    """Bits that the compiler's codec takes for each of some weights."""
    from ethosu import mlw_codec

    return 8 * len(mlw_codec.encode(weights.tolist())) / weights.size


def layer_cycles(tables: Any) -> dict[int, int | None]:
    """Cycles by the position of an operator in the file; None where the compiler leaves it to the CPU."""
    keys = {row[0]: _key(tables, row) for row in tables["source"].data}
    table = tables["perf"]
    source, operator, cycles = (table.header.index(name) for name in ("source_id", "operator", "op_cycles"))
    found: dict[int, int | None] = {}
    for row in table.data:
        key = keys.get(row[source])
        if key is None:
            continue
        before = found.get(key)
        if row[operator] == _LEFT:
            found.setdefault(key, None)
        else:
            found[key] = (before or 0) + int(row[cycles])
    return found


def _key(tables: Any, row: Any) -> int:
    """The position in the file of a row of the compiler's list of operators."""
    return int(row[tables["source"].header.index("ext_key")])


def _bad_configuration(configuration: dict[str, Any], error: Exception) -> str:
    given = [
        f"{name}={configuration[name]}" for name in ("memory_mode", "system_config") if configuration[name]
    ]
    lines = str(getattr(error, "data", error)).strip().splitlines() or [type(error).__name__]
    return f"the compiler knows no {' with '.join(given) or configuration['design']} ({lines[0][:200].rstrip('.')})"


def main(configuration: str) -> None:
    """Serve on standard input and output."""
    agent.serve_standard_streams(lambda: EthosU(json.loads(configuration)))
