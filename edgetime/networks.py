"""Finding and reading the network files that a user names: ``.tflite``, ``.keras``, packed ``.lct``, or folders of them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.errors import DataError, EdgetimeError, MissingExtraError, ModelFileError, UsageError
from profiler.network import Network

SUFFIXES = (".tflite", ".keras", ".lct")

MADE = "edgetime-unpacked-"
"""How the folder is called in which networks lie that were made of others for a while."""

_RESULT = "result.json"
"""What is in a folder that 'edgetime compress' wrote."""

InputShape = Sequence[int] | Mapping[str, Sequence[int]]
"""Shape of a network's only input, or of each input by its name."""


@dataclass(frozen=True)
class ReadNetwork:
    """A network, and the ``.tflite`` that holds it: the user's file, or bytes made from a Keras model or a packed file."""

    network: Network
    tflite: Path | bytes


def expand(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that `paths` name; a folder stands for the networks in and below it, in order of their names.

    A folder that 'edgetime compress' wrote stands for the networks of its result: no copies, nor what it left on the way.

    Raises UsageError where a path does not exist, or a folder holds no network.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                raise UsageError(f"{path} holds no .tflite, .keras or .lct file: name a folder that does.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist: check the name.")
    return list(dict.fromkeys(found))


def _inside(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    places = sorted(file.parent for file in folder.rglob(_RESULT))
    if not places:
        return files
    from compressor.pipeline.result import CompressionResult

    made: list[Path] = []
    for place in places:
        with contextlib.suppress(DataError):  # somebody else's file of this name
            made += CompressionResult.load(place).networks()
            files = [file for file in files if place not in file.parents]
    return [*files, *(file for file in made if file.is_file())]


def parse_shapes(texts: Sequence[str]) -> InputShape | None:
    """Read ``1,32,32,3`` (the only input) or several ``NAME=1,32,32,3``; nothing gives None. UsageError for anything else."""
    if not texts:
        return None
    named = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        if not equals and len(texts) > 1:
            raise UsageError(f"Several input shapes need names, such as images={sizes}.")
        if name in named:
            raise UsageError(f"The shape of input '{name}' is given twice: give it once.")
        named[name] = _sizes(sizes, text)
    return named.get("", named)


def _sizes(sizes: str, text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in sizes.lower().replace("x", ",").strip("[]() ").split(","))
    except ValueError:
        shape = ()
    if not shape or any(size < 1 for size in shape):
        raise UsageError(
            f"'{text}' is no input shape: write positive numbers with commas, such as 1,32,32,3."
        )
    return shape


def signatures(path: str | os.PathLike[str], only: str | None = None) -> tuple[str | None, ...]:
    """The signatures of a ``.tflite`` file that has several, each a network of its own; else one None.

    `only` names the one that is meant, whatever there is: `read` refuses what a file has not.
    """
    from profiler.tflite import read_signatures

    try:
        found = () if Path(path).suffix in (".keras", ".lct") else read_signatures(path)
    except ModelFileError:
        return (None,)  # `read` says what is wrong with it
    if only is not None:
        return (only,)
    return found if len(found) > 1 else (None,)


def the_signature(path: str | os.PathLike[str], wanted: str | None = None) -> str | None:
    """The signature of the one network of a file that is meant; None where it holds one anyway.

    UsageError where it holds several and `wanted` names none of them.
    """
    several = signatures(path)
    if several == (None,):
        return None
    names = [str(name) for name in several]
    if wanted in names:
        return wanted
    which = "one of them with --signature" if wanted is None else f"one of them: it has no {wanted!r}"
    raise UsageError(f"{path} holds several networks ({', '.join(names)}): name {which}.")


def read(
    path: str | os.PathLike[str],
    input_shape: InputShape | None = None,
    signature: str | None = None,
    turns: int | None = None,
) -> ReadNetwork:
    """Read the network in `path`; a Keras model is converted first (float32), which needs TensorFlow (MissingExtraError).

    A packed network is unpacked first, which needs numba (MissingExtraError).

    Of a file with several signatures the first one is read, or the one named. `turns` is how often loops turn whose number the
    file does not tell. Raises ModelFileError where the file cannot be
    read, UsageError where `input_shape` does not fit.
    """
    from profiler.tflite import read_network

    file = Path(path)
    if signature is not None:
        content = _one_of(file, signature)
        return ReadNetwork(read_network(content, input_shape, f"{file.name}, {signature}", turns), content)
    if file.suffix == ".lct":
        content = tflite_of(file)
        return ReadNetwork(read_network(content, input_shape, file.name, turns), content)
    if file.suffix != ".keras":
        return ReadNetwork(read_network(file, input_shape, turns=turns), file)
    # find_spec instead of an import: an import that fails half-way is another error than a missing package.
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingExtraError(
            f'{file} is a Keras model, and reading it needs TensorFlow: pip install "edgetime[compress]", '
            "or give a .tflite file."
        )
    from compressor.export import to_tflite_bytes

    # The shape is needed before the conversion: afterwards nothing is open any more.
    converted = to_tflite_bytes(file, input_shape=input_shape)
    return ReadNetwork(read_network(converted, name=file.name, turns=turns), converted)


def _one_of(path: Path, signature: str) -> bytes:
    """The ``.tflite`` of one signature of a file; UsageError where it has none of this name."""
    from profiler.tflite import only_signature

    if path.suffix == ".keras":
        raise UsageError(f"{path} is a Keras model, which has no signatures: leave --signature out.")
    return only_signature(tflite_of(path) if path.suffix == ".lct" else path, signature)


def tflite_of(path: str | os.PathLike[str]) -> bytes:
    """The ``.tflite`` in a packed ``.lct``; ModelFileError where it is missing or damaged."""
    from compressor.weights.line_compress import read_lct

    return read_lct(path)


@contextlib.contextmanager
def unpacked(
    paths: Sequence[Path], signature: str | None = None, each: bool = False
) -> Iterator[tuple[list[Path], list[str]]]:
    """`paths` as ``.tflite`` files of one network, for as long as the block lasts, and what is wrong with those left out.

    A packed ``.lct`` stands unpacked in the list; with `each` a file of several signatures stands in it once for each, or for
    the one that `signature` names, and is called so.
    """
    with tempfile.TemporaryDirectory(prefix=MADE) as folder:
        files, wrong = [], []
        for number, path in enumerate(paths):
            try:
                names = signatures(path, signature) if each else (None,)
                for name in names:
                    if name is None and path.suffix != ".lct":
                        files.append(path)
                        continue
                    content = tflite_of(path) if name is None else _one_of(path, name)
                    plain = path.stem if name is None else f"{path.stem}, {name.replace('/', '_')}"
                    file = Path(folder, str(number), f"{plain}.tflite")
                    file.parent.mkdir(exist_ok=True)
                    file.write_bytes(content)
                    files.append(file)
            except EdgetimeError as error:
                if len(paths) == 1:
                    raise
                wrong.append(str(error))
        yield files, wrong


def _is_made(path: Path) -> bool:
    """Whether `unpacked` made a file; a folder of the user's may be called as it likes."""
    folder = path.parent.parent
    return folder.name.startswith(MADE) and folder.parent.resolve() == Path(tempfile.gettempdir()).resolve()


def short_names(paths: Sequence[Path]) -> list[str]:
    """Paths for a table: without the folder that all of several lie in, and without ``.tflite``."""
    made = [path for path in paths if _is_made(path)]
    named = [path for path in paths if path not in made]
    if len(paths) == 1 and named:
        return [str(paths[0])]
    common = os.path.commonpath([path.absolute().parent for path in named]) if named else ""
    return [
        (path.name if path in made else os.path.relpath(path, common)).removesuffix(".tflite")
        for path in paths
    ]


def without_made(value: Any) -> Any:
    """JSON values in which files that `unpacked` made are called by their names: their folder is gone by then."""
    if isinstance(value, dict):
        return {key: without_made(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_made(part) for part in value]
    return Path(value).name if isinstance(value, str) and _is_made(Path(value)) else value
