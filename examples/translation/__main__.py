"""``python -m examples.translation train gru --data multi30k -o work``: see README.md of this folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.translation import corpora

if TYPE_CHECKING:
    from examples.translation.networks import Seq2Seq

WIDTHS = tuple(range(1, 13))

CALIBRATION = 60
"""Development sources that int8 is calibrated on."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m examples.translation", description=__doc__)
    parser.add_argument("verb", choices=("train", "export", "lines"))
    parser.add_argument("network", nargs="?", default="gru", help="gru, lstm or transformer")
    parser.add_argument("--corpus", default="multi30k", choices=tuple(corpora.CORPORA))
    parser.add_argument("--data", type=Path, help="folder of the Multi30k repository")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=240.0, help="stop after so long; the next call goes on"
    )
    parser.add_argument("--quantize", default="none", choices=("none", "dynamic", "int8"))
    parser.add_argument(
        "--widths",
        help="widths to compile the decoder for, with commas; default: by the time model, or 1 to 12",
    )
    parser.add_argument(
        "--time-model", type=Path, help="the device's, which says which widths are worth having"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("translation"))
    return parser.parse_args()


def main() -> None:
    """Train or export one network, or write development and test lines."""
    given = arguments()
    until = time.monotonic() + 60 * given.minutes
    corpus = corpora.CORPORA[given.corpus]
    if given.verb == "lines":
        for part in ("dev", "test"):
            pairs = corpora.lines(corpus, part, given.data)
            file = given.output / f"{corpus.name}.{part}.tsv"
            file.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
            print(file)
        return
    import keras
    import tensorflow as tf

    from examples.translation import networks, training

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(given.seed)
    network = networks.NETWORKS[given.network](corpora.sizes(corpus, given.output, given.data))
    folder = given.output / f"{corpus.name}-{given.network}-{given.seed}"
    if given.verb == "export":
        training.load_best(network.trained, folder)
        export(given, corpus, network)
        return
    train, dev = (corpora.tokens(corpus, part, given.output, given.data) for part in ("train", "dev"))
    schedule = training.schedule_of(corpus.name, given.network)
    done = training.train(network.trained, train, dev, schedule, folder, given.seed, until, say)
    raise SystemExit(0 if done else 3)


def export(given: argparse.Namespace, corpus: corpora.Corpus, network: Seq2Seq) -> None:
    """Write the network with its tokens and a policy of a fixed width."""
    import edgetime.sequence as sequence

    dtype = "float32" if given.quantize == "none" else given.quantize
    out = given.output / f"{corpus.name}-{given.network}-{given.seed}-{dtype}.json"
    time_model: Any = None
    widths = WIDTHS
    if given.time_model is not None:
        from timemodel import TimeModel

        time_model = TimeModel.load(given.time_model)
        widths = sequence.palette_of(time_model, network.step)
        say(f"palette of {time_model.device}: {widths}")
    if given.widths:
        widths = tuple(int(width) for width in given.widths.split(","))
    dev, _ = corpora.tokens(corpus, "dev", given.output, given.data)
    source, target = corpora.tokenizers(corpus, given.output, given.data)
    written = sequence.export(
        network.encoder,
        network.step,
        out,
        widths,
        given.quantize,
        [row[row != corpora.PAD].tolist() for row in dev[:CALIBRATION]],
        source_tokens=source,
        target_tokens=target,
        longest=corpus.target_length,
        search=sequence.SearchOptions(forbidden=(corpora.PAD, corpora.UNKNOWN, corpora.BEGIN)),
        time_model=time_model,
        progress=lambda share, note: say(f"{share:4.0%} {note}"),
    )
    say(f"{written}, {written.with_suffix('.tflite').stat().st_size / 1e6:.2f} MB")


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
