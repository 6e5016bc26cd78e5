"""Numbers in English words with typing errors, and their digits: a task that needs no data."""

from __future__ import annotations

import numpy as np

_ONES = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

ERRORS = 0.12
"""Share of the letters at which somebody mistypes."""

_ROWS = {"train": (24_000, 1), "dev": (2_000, 2), "test": (2_000, 3)}


def in_words(number: int) -> str:
    """A number below a thousand million in words: 1205 is ``one thousand two hundred five``."""
    for scale, name in _SCALES:
        if number >= scale:
            rest = number % scale
            return f"{in_words(number // scale)} {name}" + (f" {in_words(rest)}" if rest else "")
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def mistyped(words: str, generator: np.random.Generator, errors: float = ERRORS) -> str:
    """A line with letters left out, doubled, swapped with the next one, or hit wrongly; spaces may go too."""
    typed: list[str] = []
    for letter in words:
        if generator.random() >= errors:
            typed.append(letter)
            continue
        kind = generator.integers(4)
        if kind == 1:
            typed += [letter, letter]
        elif kind == 2 and typed:
            typed.insert(-1, letter)
        elif kind == 3:
            typed.append(_LETTERS[generator.integers(26)])
    return " ".join("".join(typed).split()) or words


def numeral_pairs(part: str) -> list[tuple[str, str]]:
    """Pairs (mistyped words, digits) of one part, always the same; numbers of all lengths up to six digits."""
    rows, seed = _ROWS[part]
    generator = np.random.default_rng(seed)
    pairs = []
    while len(pairs) < rows:
        digits = int(generator.integers(1, 7))
        number = int(generator.integers(10 ** (digits - 1), 10**digits))
        words = in_words(number)
        pairs.append((mistyped(words, generator), str(number)))
    return pairs
