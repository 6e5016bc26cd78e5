"""``python -m examples.translation train gru --data multi30k -o work``: see README.md of this folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from examples.translation import corpora


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m examples.translation", description=__doc__)
    parser.add_argument("verb", choices=("train", "export"))
    parser.add_argument("network", help="gru, lstm or transformer")
    parser.add_argument("--corpus", default="multi30k", choices=tuple(corpora.CORPORA))
    parser.add_argument("--data", type=Path, help="folder of the Multi30k repository")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=240.0, help="stop after so long; the next call goes on"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("translation"))
    return parser.parse_args()


def main() -> None:
    """Train or export one network."""
    given = arguments()
    until = time.monotonic() + 60 * given.minutes
    import keras
    import tensorflow as tf

    from examples.translation import networks, training

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(given.seed)
    corpus = corpora.CORPORA[given.corpus]
    sizes = corpora.sizes(corpus, given.output, given.data)
    network = networks.NETWORKS[given.network](sizes)
    folder = given.output / f"{corpus.name}-{given.network}-{given.seed}"
    if given.verb == "train":
        train, dev = (corpora.tokens(corpus, part, given.output, given.data) for part in ("train", "dev"))
        done = training.train(
            network.trained,
            train,
            dev,
            training.SCHEDULES[corpus.name],
            folder,
            given.seed,
            until,
            lambda line: print(line, flush=True),
        )
        raise SystemExit(0 if done else 3)


if __name__ == "__main__":
    main()
