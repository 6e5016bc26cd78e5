"""A trained Keras network and its data, to try the README's commands on: ``digits.keras`` and ``digits.npz``.

``python examples/digits.py [FOLDER]``: scikit-learn's scanned digits and a small convolutional network.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgetime.demo import load_digits, train_network


def main(folder: Path) -> None:
    """Train, then write both files."""
    digits = load_digits()
    digits.save(folder / "digits.npz")
    model = train_network(digits, progress=lambda share, note: print(note, file=sys.stderr))
    model.save(folder / "digits.keras")
    print(folder / "digits.keras", folder / "digits.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
