"""``python -m benchmarks.beam.random_network WORK transformer --tokens 8000``: networks of random weights, for their times.

Writes ``transformer-float32.tflite``, with --dynamic ``transformer-dynamic.tflite``, and of the transformer the same weights for
CTranslate2 by its specification classes, in the folder ``transformer-ctranslate2``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from examples.translation.corpora import Sizes


def main() -> None:
    """Write one network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beam.random_network", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("network", help="gru, lstm or transformer")
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--widths", default="1,2,3,5")
    parser.add_argument(
        "--dynamic", action="store_true", help="also with weights in int8, as CTranslate2 has them"
    )
    given = parser.parse_args()
    import keras

    from benchmarks.beam.ctranslate import to_ctranslate2
    from compressor.sequence import export_sequence
    from examples.translation.networks import NETWORKS

    keras.utils.set_random_seed(0)
    sizes = Sizes(given.tokens, given.tokens, 40, 40, given.units)
    network = NETWORKS[given.network](sizes)
    widths = [int(width) for width in given.widths.split(",")]
    given.work.mkdir(parents=True, exist_ok=True)
    if given.network == "transformer":
        to_ctranslate2(network.trained, sizes, given.work / "transformer-ctranslate2")
    generator = np.random.default_rng(0)
    sources = [generator.integers(4, given.tokens, 12).tolist() for _ in range(8)]
    for dtype in ("float32", *(("dynamic",) if given.dynamic else ())):
        out = given.work / f"{given.network}-{dtype}.tflite"
        quantize = "none" if dtype == "float32" else dtype
        print(export_sequence(network.encoder, network.step, out, widths, quantize, sources), flush=True)


if __name__ == "__main__":
    main()
