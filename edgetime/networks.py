"""Finding and reading the network files that a user names: ``.tflite``, ``.keras``, or folders of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import MissingExtraError, UsageError
from profiler.network import Network

SUFFIXES = (".tflite", ".keras")


@dataclass(frozen=True)
class ReadNetwork:
    """A network and a ``.tflite`` file that holds it: the user's own, or a temporary one made of a Keras model."""

    network: Network
    tflite: Path


def expand(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that `paths` name; a folder stands for the networks in it and below it, in order of their names.

    Raises
    ------
    UsageError
        A path does not exist, or a folder holds no network.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            if not inside:
                raise UsageError(f"{path} holds no .tflite or .keras file: name a folder that does.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist: check the name.")
    return list(dict.fromkeys(found))


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Read ``1,32,32,3`` or ``1x32x32x3``; None stays None.

    Raises
    ------
    UsageError
        Not positive whole numbers with commas.
    """
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.lower().replace("x", ",").strip("[]() ").split(","))
    except ValueError:
        shape = ()
    if not shape or any(size < 1 for size in shape):
        raise UsageError(
            f"'{text}' is no input shape: write positive numbers with commas, such as 1,32,32,3."
        )
    return shape


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], input_shape: tuple[int, ...] | None = None) -> Iterator[ReadNetwork]:
    """Read the network in `path`; a Keras model is converted first (float32), which needs TensorFlow.

    Raises
    ------
    ModelFileError
        Neither a readable TFLite file nor a readable Keras model.
    MissingExtraError
        A Keras model, and TensorFlow is not installed.
    """
    from profiler.tflite_reader import read_network

    file = Path(path)
    if file.suffix != ".keras":
        yield ReadNetwork(read_network(file, input_shape), file)
        return
    try:
        import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'{file} is a Keras model, and reading it needs TensorFlow: pip install "edgetime[compress]", '
            "or give a .tflite file."
        ) from error
    from compressor.export import to_tflite_bytes

    with tempfile.TemporaryDirectory(prefix="edgetime-") as folder:
        # The same name, so that what is printed and measured carries the name that the user gave.
        converted = Path(folder) / f"{file.stem}.tflite"
        converted.write_bytes(to_tflite_bytes(file))
        network = read_network(converted, input_shape)
        yield ReadNetwork(network, converted)
