"""Text to tokens and back, by SentencePiece; and lines of numbers, for networks whose tokens are made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.errors import DataError, EdgetimeError


class Tokenizer:
    """One side's SentencePiece model; without a file a line is numbers with spaces in between.

    Parameters
    ----------
    file
        Of SentencePiece; None for lines of numbers.
    vocabulary
        How many tokens the network has on this side; None where that is not known.

    Raises
    ------
    EdgetimeError
        SentencePiece is not installed, or the file is missing, damaged, or of another vocabulary.
    """

    def __init__(self, file: Path | None, vocabulary: int | None = None) -> None:
        self.file = file
        self._model: Any = None
        if file is None:
            return
        try:
            import sentencepiece
        except ModuleNotFoundError:
            raise EdgetimeError('Text needs SentencePiece: pip install "edgetime[sequence]".') from None
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=file.read_bytes())
        except (OSError, RuntimeError) as error:
            raise EdgetimeError(
                f"{file} is no SentencePiece model ({error}): name the one of the network."
            ) from error
        if vocabulary is not None and self._model.vocab_size() != vocabulary:
            raise EdgetimeError(
                f"{file} has {self._model.vocab_size()} tokens, and the network {vocabulary}: name the tokens it was trained with."
            )

    def encode(self, line: str) -> list[int]:
        """Tokens of a line; unknown characters become the model's unknown token."""
        if self._model is not None:
            return [int(token) for token in self._model.encode(line.strip())]
        try:
            return [int(token) for token in line.split()]
        except ValueError:
            raise DataError(
                f"'{line.strip()[:60]}' is no line of token numbers, and the policy names no SentencePiece model for text."
            ) from None

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        if self._model is not None:
            return str(self._model.decode([int(token) for token in tokens]))
        return " ".join(str(token) for token in tokens)
