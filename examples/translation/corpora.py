"""Pairs of lines as tokens: Multi30k, German to English, and numbers in words with typing errors, to digits."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from examples.translation.numerals import numeral_pairs
from profiler.files import write_bytes

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3

Lines = list[tuple[str, str]]
"""Pairs (source, target)."""


@dataclass(frozen=True)
class Sizes:
    """What a network is built for: tokens in each vocabulary, longest source and target, units of its layers."""

    source_tokens: int
    target_tokens: int
    source_length: int
    target_length: int
    units: int


@dataclass(frozen=True)
class Corpus:
    """A task: how its lines are cut into tokens, the longest source and target in tokens, with ends; units of a network."""

    name: str
    model_type: str
    vocabulary: int
    source_length: int
    target_length: int
    units: int


CORPORA = {
    "multi30k": Corpus("multi30k", "unigram", 3000, 40, 40, 160),
    "numerals": Corpus("numerals", "char", 64, 72, 12, 64),
}

PARTS = {
    "train": ("train",),
    "dev": ("val", "test_2016_flickr"),
    "test": ("test_2017_flickr", "test_2018_flickr"),
}
"""Which of Multi30k's files are which part: widths are chosen on dev, judged on test."""


def lines(corpus: Corpus, part: str, data: Path | None) -> Lines:
    """The pairs of one part; Multi30k is read from `data`, its folder."""
    if corpus.name == "numerals":
        return numeral_pairs(part)
    if data is None:
        raise SystemExit(
            "Multi30k is read from --data: clone https://github.com/multi30k/dataset and name it."
        )
    found: Lines = []
    for file in PARTS[part]:
        texts = []
        for language in ("de", "en"):
            with gzip.open(
                data / "data/task1/raw" / f"{file}.{language}.gz", "rt", encoding="utf-8"
            ) as stream:
                texts.append([line.strip() for line in stream])
        found += zip(*texts, strict=True)
    return found


def tokenizers(corpus: Corpus, folder: Path, data: Path | None) -> tuple[Path, Path]:
    """The files of the two SentencePiece models, made from the training lines where they are missing."""
    files = folder / f"{corpus.name}.source.model", folder / f"{corpus.name}.target.model"
    for side, file in enumerate(files):
        if not file.exists():
            out = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter([pair[side] for pair in lines(corpus, "train", data)]),
                model_writer=out,
                vocab_size=corpus.vocabulary,
                hard_vocab_limit=False,
                model_type=corpus.model_type,
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                character_coverage=1.0,
                minloglevel=2,
            )
            write_bytes(file, out.getvalue())
    return files


def sizes(corpus: Corpus, folder: Path, data: Path | None) -> Sizes:
    """What a network for a corpus is built for."""
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(file)).vocab_size()
        for file in tokenizers(corpus, folder, data)
    )
    return Sizes(source, target, corpus.source_length, corpus.target_length, corpus.units)


def tokens(
    corpus: Corpus, part: str, folder: Path, data: Path | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Source [pairs, source_length] and target [pairs, target_length] of one part, padded; too long pairs are left out.

    A source ends with END; a target begins with BEGIN and ends with END.
    """
    pairs = lines(corpus, part, data)
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(file))
        for file in tokenizers(corpus, folder, data)
    )
    sources = [[*row, END] for row in source.encode([pair[0] for pair in pairs])]
    targets = [[BEGIN, *row, END] for row in target.encode([pair[1] for pair in pairs])]
    kept = [
        index
        for index in range(len(pairs))
        if len(sources[index]) <= corpus.source_length and len(targets[index]) <= corpus.target_length + 1
    ]
    return (
        padded([sources[index] for index in kept], corpus.source_length),
        padded([targets[index] for index in kept], corpus.target_length + 1),
    )


def padded(rows: Sequence[Sequence[int]], length: int) -> NDArray[np.int32]:
    """Rows of tokens as one array [rows, length], filled up with PAD."""
    array = np.full((len(rows), length), PAD, np.int32)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array
