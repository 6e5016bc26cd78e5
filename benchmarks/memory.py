"""Memory that running a network takes: predicted from the file, and taken from the allocator by a process of its own.

    python -m benchmarks.memory FOLDER|NET.tflite … [--kernels xnnpack,builtin]

Observed is what the allocator of a fresh process has handed out between loading the file and the end of the second
inference (glibc's ``mallinfo2``), less what reading the file's structure took, which both runtimes do alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from profiler.errors import EdgetimeError
from profiler.network import Footprint, footprint
from profiler.tflite import read_network

OBSERVER = """
import ctypes, json, sys
from ai_edge_litert.interpreter import Interpreter, OpResolverType

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo2 = ctypes.CDLL("libc.so.6").mallinfo2
mallinfo2.restype = Info

def handed_out():
    info = mallinfo2()
    return info.hblkhd + info.uordblks

builtin = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
kept = []
for path, kernels in json.load(sys.stdin):
    begin = handed_out()
    interpreter = Interpreter(model_path=path, num_threads=1, **({} if kernels == "xnnpack" else builtin))
    read = handed_out()
    interpreter.allocate_tensors()
    planned = handed_out()
    for _ in range(2):
        interpreter.invoke()
    ran = handed_out()
    kept.append(interpreter)
    # XNNPACK takes the file in while it is being read, up to applying itself.
    print(json.dumps([read - begin, planned - read, ran - planned]), flush=True)
"""


def observe(runs: Sequence[tuple[Path, str]]) -> list[int | None]:
    """Bytes that a process takes for each of `runs`, (file, kernels); None where the runtime cannot run the file."""
    found: list[int | None] = []
    for path, kernels in runs:
        done = subprocess.run(
            [sys.executable, "-c", OBSERVER],
            input=json.dumps([[str(path), kernels]]),
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        found.append(sum(json.loads(lines[-1])[1:]) if done.returncode == 0 and lines else None)
    return found


def has_allocator_figures() -> bool:
    """Whether this machine's C library tells what it has handed out (glibc 2.33 and later)."""
    import ctypes

    try:
        return hasattr(ctypes.CDLL("libc.so.6"), "mallinfo2")
    except OSError:
        return False


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="networks, or folders of them")
    parser.add_argument("--kernels", default="xnnpack,builtin")
    args = parser.parse_args()
    files = [f for path in args.files for f in (sorted(path.glob("*.tflite")) if path.is_dir() else [path])]
    for kernels in args.kernels.split(","):
        print(f"\n{kernels}, MB: the parts, their sum, what the process took")
        print(
            f"{'network':32s}{'arena':>9s}{'scratch':>9s}{'weights':>9s}{'tables':>9s}{'sum':>9s}{'took':>9s}{'error':>8s}"
        )
        rows: list[tuple[Footprint, int]] = []
        for path in files:
            try:
                network = read_network(path)
            except EdgetimeError as error:
                print(f"{path.stem[:31]:32s}{error}")
                continue
            (took,) = observe([(path, kernels)])
            part = footprint(network, kernels)
            parts = (
                part.activation_bytes,
                part.scratch_bytes,
                part.weight_bytes,
                part.table_bytes,
                part.total_bytes,
            )
            line = f"{path.stem[:31]:32s}" + "".join(f"{size / 1e6:9.2f}" for size in parts)
            if took is None:
                print(line + "  the runtime cannot run it")
                continue
            rows.append((part, took))
            print(f"{line}{took / 1e6:9.2f}{part.total_bytes / took - 1:+8.1%}", flush=True)
        errors = np.array([abs(part.total_bytes / took - 1) for part, took in rows if took > 1e6])
        if len(errors):
            print(
                f"{len(errors)} networks that take a megabyte or more: median error {np.median(errors):.1%}, "
                f"{np.mean(errors <= 0.05):.0%} within 5%, {np.mean(errors <= 0.1):.0%} within 10%"
            )


if __name__ == "__main__":
    main()
