"""How Keras writes tensors in the configuration of a model, and the keys that stand for them here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TensorKey:
    """One result of one call of one layer."""

    layer: str
    call: int = 0
    index: int = 0


def leaves(value: Any) -> Iterator[tuple[str, int, int]]:
    """The ``[name, call, index]`` that Keras writes for tensors, nested as they may be, in the order of ``keras.tree.flatten``."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield from leaves(value[name])
    elif len(value) == 3 and isinstance(value[0], str):
        yield value[0], value[1], value[2]
    else:
        for item in value:
            yield from leaves(item)


def is_tensor(value: Any) -> bool:
    """Whether that is how Keras writes a tensor among the arguments of a call."""
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def histories(value: Any) -> Iterator[tuple[Any, Any]]:
    """Of each tensor in nested arguments its ``[name, call, index]`` and its shape."""
    if is_tensor(value):
        yield value["config"]["keras_history"], value["config"]["shape"]
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from histories(item)


def with_keys(value: Any, key_of: Callable[[Any], TensorKey]) -> Any:
    """Nested arguments with keys in place of tensors."""
    if is_tensor(value):
        return key_of(value["config"]["keras_history"])
    if isinstance(value, dict):
        return {name: with_keys(item, key_of) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(with_keys(item, key_of) for item in value)
    return value


def tensor_keys(value: Any) -> Iterator[TensorKey]:
    """The keys in nested arguments, in their order."""
    if isinstance(value, TensorKey):
        yield value
    elif isinstance(value, (Mapping, tuple, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensor_keys(item)
