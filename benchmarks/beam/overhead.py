"""The search's own work per step, beside the decoder's step and beside CTranslate2, for networks of random weights.

CTranslate2 has no GRU, so the transformer is what both can run: the same weights and widths, one thread, int8 and float32. Its step
is the time of a sentence over its steps, search included, as it gives no times of its parts. All times are of
the processor, not of the clock on the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from selector.sequence import FixedWidth, SearchOptions, SearchTimes, SequenceNetwork, beam_search

STEPS = 24
SENTENCES = 30


def report(file: Path, ctranslate2: Path | None, say: Callable[[str], None]) -> None:
    """Print the times of a file, and of CTranslate2 where its network is given."""
    network = SequenceNetwork(file.read_bytes(), 2, 3, file=file)
    say(f"{file.name}: {network.vocabulary:,} tokens")
    widths = tuple(width for width in (1, 2, 3, 5) if width <= network.palette[-1])
    search_times(network, widths, say)
    if ctranslate2 is not None:
        for compute_type in ("float32", "int8"):
            ctranslate2_times(ctranslate2, widths, compute_type, say)


def search_times(
    network: SequenceNetwork, widths: tuple[int, ...], say: Callable[[str], None]
) -> dict[int, tuple[float, float]]:
    """Microseconds per step of decoder and search by width, medians over sentences, widths in turns; END never comes by itself."""
    generator = np.random.default_rng(0)
    options = SearchOptions(longest_ratio=0, longest_more=STEPS, shortest=STEPS)
    rows: dict[int, list[tuple[float, float]]] = {width: [] for width in widths}
    for _ in range(SENTENCES):
        source = generator.integers(4, 100, 12).tolist()
        for width in widths:
            timing = SearchTimes(clock=time.thread_time)
            found = beam_search(network, source, FixedWidth(width), options, timing)
            steps = len(found.widths)
            rows[width].append(
                (
                    1e6 * timing.decoder_s / steps,
                    1e6 * (timing.whole_s - timing.decoder_s - timing.encoder_s) / steps,
                )
            )
    medians = {width: tuple(np.median(np.array(found), axis=0).tolist()) for width, found in rows.items()}
    for width, (decoder, search) in medians.items():
        say(
            f"  width {width}: decoder {decoder:.0f} us a step, search {search:.0f} us ({search / decoder:.0%})"
        )
    return medians


def ctranslate2_times(
    folder: Path, widths: tuple[int, ...], compute_type: str, say: Callable[[str], None]
) -> dict[int, float]:
    """Microseconds per step of CTranslate2's whole search by width, of the transformer that was converted to `folder`."""
    import ctranslate2

    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=1
    )
    generator = np.random.default_rng(0)
    rows: dict[int, list[float]] = {width: [] for width in widths}
    for _ in range(SENTENCES):
        source = [[f"t{token}" for token in generator.integers(4, 100, 12)]]
        for width in widths:
            begin = time.process_time()
            translator.translate_batch(
                source,
                beam_size=width,
                min_decoding_length=STEPS,
                max_decoding_length=STEPS,
                max_batch_size=1,
            )
            rows[width].append(1e6 * (time.process_time() - begin) / STEPS)
    medians = {width: float(np.median(found)) for width, found in rows.items()}
    for width, value in medians.items():
        say(f"  CTranslate2 {compute_type}, width {width}: {value:.0f} us a step, encoder included")
    return medians
