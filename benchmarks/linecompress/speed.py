"""How fast weights are encoded and decoded, beside zstd, in turns in one run.

python -m benchmarks.linecompress.speed
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.csv_files import write_csv
from compressor.weights.line_compress import coding
from compressor.weights.line_compress.lines import BitCosts, cut, paper_runs

RESULTS = Path(__file__).parents[1] / "results" / "linecompress_speed.csv"
CHANNELS, SIZE = 512, 4608
ROUNDS = 7


def speeds() -> list[dict[str, Any]]:
    """MB/s of float32 weights: medians over turns, by the wall clock and by the time that the core worked for it."""
    import zstandard

    rows = np.random.default_rng(0).normal(0, 0.05, (CHANNELS, SIZE))
    steps = np.abs(rows).max(axis=1) / 15
    nbytes = 4 * rows.size
    runs = paper_runs(rows, 0.05)
    segments = cut(rows, steps, 5, 3, BitCosts.fixed(5, 3), 1e-4)
    assert segments is not None
    words = np.clip(np.rint(rows / np.abs(rows).max(axis=1, keepdims=True) * 127), -128, 127).astype(np.int8)
    floats = rows.astype(np.float32).tobytes()
    fixed, entropy = coding.encode(segments, False), coding.encode(segments, True)
    of_ints, of_floats = zstandard.compress(words.tobytes(), 3), zstandard.compress(floats, 3)
    target = np.empty(rows.size, np.float32)
    source = rows.astype(np.float32).reshape(-1)

    def decoded(data: bytes) -> Callable[[], object]:
        return lambda: coding.decode(data, CHANNELS, SIZE).weights()

    jobs: dict[str, Callable[[], object]] = {
        "copy of the float32 weights": lambda: np.copyto(target, source),
        "decode, fixed words (bytes to float32)": decoded(fixed),
        "decode, fixed words, lines drawn alone": segments.weights,
        "decode, paper's runs": runs.weights,
        "decode, entropy-coded": decoded(entropy),
        "zstd -3 decode of int8 words": lambda: zstandard.decompress(of_ints),
        "zstd -3 decode of int8 words, scaled to float32": lambda: (
            np.frombuffer(zstandard.decompress(of_ints), np.int8).reshape(rows.shape).astype(np.float32)
            * steps.astype(np.float32)[:, None]
        ),
        "zstd -3 decode of float32": lambda: zstandard.decompress(of_floats),
        "encode, paper's greedy runs": lambda: paper_runs(rows, 0.05),
        "encode, exact programme": lambda: cut(rows, steps, 5, 3, BitCosts.fixed(5, 3), 1e-4),
        "zstd -3 encode of int8 words": lambda: zstandard.compress(words.tobytes(), 3),
        "zstd -19 encode of int8 words": lambda: zstandard.compress(words.tobytes(), 19),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for number in range(ROUNDS + 1):
        for name, job in jobs.items():
            if name.startswith("zstd -19") and number > 2:
                continue
            start = time.perf_counter(), time.process_time()
            job()
            if number:
                times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    found = []
    for name, taken in times.items():
        wall, core = (nbytes / 1e6 / float(np.median(one)) for one in zip(*taken, strict=True))
        found.append({"what": name, "mb_per_s": round(wall, 1), "mb_per_core_s": round(core, 1)})
    return found


def shown(found: dict[str, Any]) -> str:
    """One line of the results."""
    by_core = f"{found['mb_per_core_s']:10,.1f} by the core's time"
    return f"{found['what']:50} {found['mb_per_s']:10,.1f} MB/s of float32 weights, {by_core}"


def main() -> None:
    rows = speeds()
    for row in rows:
        print(shown(row))
    write_csv(RESULTS, rows)


if __name__ == "__main__":
    main()
