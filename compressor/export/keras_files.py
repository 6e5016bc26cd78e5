"""Reading Keras models, safely, and the shapes that they take."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compressor.data import format_shape
from compressor.export.bounded import bounded_weights, check_archive
from compressor.export.silence import quiet, tensorflow
from compressor.graph import load_rules
from compressor.training import input_names
from profiler.archives import TooLargeError
from profiler.errors import ModelFileError, UsageError, missing
from profiler.files import replacing

InputShape = Sequence[int] | Mapping[str, Sequence[int]]
"""Shape of the only input, or of each input by its name; the batch stands first."""


_HALF = frozenset({"float16", "bfloat16"})
_HALF_NAMES = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def load_keras(path: str | os.PathLike[str]) -> Any:
    """Read a ``.keras`` file with Keras' safe mode on, for inference (not compiled).

    Raises ModelFileError where it is missing, damaged, of another format, or needs code that is not in Keras.
    """
    file = Path(path)
    stored_bytes = refuse_other_files(file)
    tensorflow()
    import keras

    load_rules()  # their packages register the layers' classes with Keras
    try:
        with quiet(), bounded_weights(stored_bytes):
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except TooLargeError as error:
        raise _too_large(file, error) from error
    except (Exception, MemoryError) as error:  # Keras raises whatever its layers raise
        raise _explained(file, error) from error
    return model


def save_keras(model: Any, path: Path) -> None:
    """Write a ``.keras`` file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        model.save(temporary)


def input_specs(model: Any, input_shape: InputShape | None = None) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape, batch 1 first, and dtype of each input of a Keras model, by name and in the model's order.

    Raises UsageError where inputs are not fixed, `input_shape` does not fit, or it does not say what the model leaves open.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise UsageError(
            "The Keras model has no fixed inputs (it is subclassed, or was never built): "
            "build it from keras.Input, as Sequential and Functional models are."
        )
    names = input_names(model)
    given = _given_shapes(names, input_shape)
    specs = {}
    for name, tensor in zip(names, inputs, strict=True):
        known = tuple(tensor.shape)
        shape = given.get(name, known)
        fits = len(shape) == len(known) and all(
            k is None or k == g or i == 0 for i, (k, g) in enumerate(zip(known, shape, strict=True))
        )
        if not fits:
            raise UsageError(
                f"Input '{name}' takes {format_shape(known)}, and {format_shape(shape)} does not fit."
            )
        if any(size is None for size in shape[1:]):
            example = ",".join("1" if i == 0 else str(size or "N") for i, size in enumerate(shape))
            raise UsageError(
                f"Input '{name}' leaves more than the batch open, {format_shape(known)}: "
                f"say its shape with --input-shape, such as {example}."
            )
        dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
        specs[name] = ((1, *shape[1:]), dtype)
    return specs


def in_float32(model: Any) -> Any:
    """The same model computing in float32, as TFLite does; ModelFileError where it cannot be built anew."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else []
    if all(getattr(layer, "compute_dtype", None) not in _HALF for layer in layers):
        return model
    import keras

    try:
        with quiet():
            config = keras.saving.serialize_keras_object(model)
            config.pop("compile_config", None)
            copy = keras.saving.deserialize_keras_object(_full_precision(config), safe_mode=True)
            copy.set_weights(model.get_weights())
    except Exception as error:  # whatever its layers raise
        raise ModelFileError(
            f"The model '{model.name}' computes in half precision and cannot be built anew in float32 "
            f"({type(error).__name__}): set the dtype policy 'float32' and save it again."
        ) from error
    return copy


def _full_precision(config: Any) -> Any:
    """A model's configuration with every half precision replaced by float32."""
    if isinstance(config, dict):
        return {
            key: "float32" if value in _HALF_NAMES and key in ("dtype", "name") else _full_precision(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_full_precision(value) for value in config)
    return config


def _given_shapes(names: Sequence[str], given: InputShape | None) -> dict[str, tuple[Any, ...]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(names) > 1:
            raise UsageError(f"The network has the inputs {', '.join(names)}: give each shape with its name.")
        return {names[0]: tuple(given)}
    unknown = [name for name in given if name not in names]
    if unknown:
        raise UsageError(f"The network has no input '{unknown[0]}', only {', '.join(names)}: check the name.")
    return {name: tuple(shape) for name, shape in given.items()}


def refuse_other_files(file: Path) -> int:
    """Refuse what is no ``.keras`` file, or is damaged; else the bytes of its weights."""
    if file.is_dir():
        raise ModelFileError(f"{file} is a folder: save the model with model.save('net.keras').")
    if not file.exists():
        raise missing(ModelFileError(f"{file} does not exist: check the name."))
    try:
        with open(file, "rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise ModelFileError(f"Cannot read {file} ({error.strerror or error}).") from error
    if start[4:8] == b"TFL3":
        raise ModelFileError(f"{file} is already a TFLite file: name the .keras file that it was made from.")
    if start.startswith(b"\x89HDF"):
        raise ModelFileError(f"{file} is in the old HDF5 format: load it and save it as .keras.")
    if not zipfile.is_zipfile(file):
        kind = "is cut off" if start.startswith(b"PK") else "is no .keras file" if start else "is empty"
        raise ModelFileError(f"{file} {kind}: save the model again with model.save('net.keras').")
    try:
        return check_archive(file)
    except TooLargeError as error:
        raise _too_large(file, error) from error
    except KeyError as error:
        raise ModelFileError(f"{file} is a zip file without a Keras model: name a .keras file.") from error
    except Exception as error:  # zipfile, zlib and h5py raise what they like on damaged files
        raise _explained(file, error) from error


def _too_large(file: Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"{file} holds {error}, which no model does that Keras saved: it is damaged or made to fill memory; "
        "take another copy, or save the model again with model.save('net.keras')."
    )


def _explained(file: Path, error: BaseException) -> ModelFileError:
    text = " ".join(str(error).split())
    if "Lambda" in text and ("safe" in text or "arbitrary code" in text or "lambda" in text):
        return ModelFileError(
            f"{file} holds a Lambda layer, whose code edgetime does not run: "
            "replace it by layers of Keras and save the model again."
        )
    unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
    if unknown:
        return ModelFileError(
            f"{file} uses '{unknown[1]}', whose code is not in the file: build the model from Keras' "
            "own layers, pass the model itself to edgetime.export in Python, or, for 'edgetime compress', register the "
            "layer in the Python data file."
        )
    detail = text if len(text) <= 200 else f"{text[:200]}…"
    return ModelFileError(
        f"{file} is damaged or was written by another version of Keras ({type(error).__name__}: {detail}): "
        "save the model again with model.save('net.keras')."
    )
