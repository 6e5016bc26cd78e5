"""A model's configuration, to be changed before Keras makes a model of it again."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from compressor.graph.surgery import ValueOf, fill, forget_shapes, from_config
from compressor.graph.topology import configuration, find, is_tensor, kind_of
from profiler.errors import UsageError


class Editing:
    """The configuration of a model and of the models inside it; `made` gives the new model its weights."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config = copy.deepcopy(configuration(model))
        forget_shapes(self.config)
        self._models = dict(_models(self.config, ""))

    def made(self, value_of: ValueOf | None = None) -> Any:
        """The new model, its weights as in `fill`, else those that it had. UsageError where Keras cannot make it."""
        made = from_config(self._model, self.config)
        fill(made, self._model, value_of or (lambda layer, variable, value: value))
        return made

    def model_at(self, prefix: str) -> dict[str, Any]:
        """The configuration of the model whose layers' addresses begin with this."""
        if prefix not in self._models:
            raise UsageError(f"There is no model {prefix.rstrip('/')!r} in model {self._model.name!r}.")
        return self._models[prefix]

    def entry(self, address: str) -> dict[str, Any]:
        """All that Keras wrote of a layer."""
        prefix = prefix_of(address)
        for entry in self.model_at(prefix)["layers"]:
            if prefix + entry_name(entry) == address:
                return dict_of(entry)
        raise UsageError(f"There is no layer {address!r} to change.")

    def settings(self, address: str) -> dict[str, Any]:
        """The configuration of a layer, which may be changed."""
        return dict_of(self.entry(address)["config"])

    def insert_before(self, reader: str, operand: int, layer: Any) -> None:
        """Put a new layer between a layer and what it reads: its input number `operand`, in its first use."""
        import keras

        prefix = prefix_of(reader)
        own = self.model_at(prefix)
        made = {**keras.saving.serialize_keras_object(layer), "name": layer.name}
        made.pop("build_config", None)
        place = [prefix + entry_name(entry) for entry in own["layers"]].index(reader)
        if "input_layers" in own:
            node = self.entry(reader)["inbound_nodes"][0]
            tensor = list(find((node["args"], node["kwargs"]), is_tensor))[operand]
            made["inbound_nodes"] = [{"args": [copy.deepcopy(tensor)], "kwargs": {}}]
            tensor["config"]["keras_history"] = [layer.name, 0, 0]
        else:
            made.pop("name")
        own["layers"].insert(place, made)

    def pass_on(self, prefix: str, instead: Mapping[str, tuple[str, int]], gone: set[str]) -> None:
        """Drop layers of one model; what read the result of a layer in `instead` reads what another one reads there.

        All names without the prefix; `instead`: by layer another layer and the number of one of its inputs.
        """
        config = self.model_at(prefix)
        entries = {entry_name(entry): entry for entry in config["layers"]}
        missing = sorted(gone - entries.keys())
        if missing:
            raise UsageError(f"There is no layer {missing[0]!r} to remove.")
        if "input_layers" in config:
            read = {}
            for result, (reader, operand) in instead.items():
                node = entries[reader]["inbound_nodes"][0]
                read[result] = list(find((node["args"], node["kwargs"]), is_tensor))[operand]
            for name, entry in entries.items():
                for tensor in find([(n["args"], n["kwargs"]) for n in entry["inbound_nodes"]], is_tensor):
                    while name not in gone and tensor["config"]["keras_history"][0] in read:
                        tensor["config"] = copy.deepcopy(read[tensor["config"]["keras_history"][0]]["config"])
        config["layers"] = [entry for entry in config["layers"] if entry_name(entry) not in gone]


def prefix_of(address: str) -> str:
    """The models that a layer stands in, with a ``/`` behind each."""
    return address[: address.rfind("/") + 1]


def entry_name(entry: Mapping[str, Any]) -> str:
    """The name of a layer, by what Keras wrote of it."""
    own = entry["config"]
    return str(entry.get("name") or own.get("name") or own["config"]["name"])


def free_name(taken: Collection[str], name: str) -> str:
    """The name, with a number behind it where it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def dict_of(value: Any) -> dict[str, Any]:
    """The same object, known to be a dictionary."""
    assert isinstance(value, dict)
    return value


def _models(config: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield prefix, config
    for entry in config["layers"]:
        own = entry["config"]
        if kind_of(entry) in ("Functional", "Sequential") and "layers" in own:
            yield from _models(own, f"{prefix}{entry_name(entry)}/")
