"""Opening a `.lct` for running it."""

from __future__ import annotations

import os
from typing import Any

from compressor.export import interpreter_class
from compressor.weights.line_compress.container import read_lct


def open_lct(path: str | os.PathLike[str], threads: int = 1) -> Any:
    """A LiteRT interpreter of a `.lct` with decoded weights, its tensors allocated.

    Raises ModelFileError where the file is missing or damaged, MissingExtraError where what decodes it is not installed.

    Examples
    --------
    >>> interpreter = open_lct("net.lct")                                        # doctest: +SKIP
    >>> interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)   # doctest: +SKIP
    """
    interpreter = interpreter_class()(model_content=read_lct(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter
