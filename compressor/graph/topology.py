"""The layers of a Keras model and what flows between them, read from the configuration that Keras rebuilds it from.

Models inside the model (a backbone) are read through: their layers stand in the same list, as ``backbone/conv1``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from profiler.errors import UsageError


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


def find(value: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """What is `wanted` in nested arguments, in their order."""
    if wanted(value):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from find(item, wanted)


def tensor_keys(value: Any) -> Iterator[TensorKey]:
    """The keys in nested arguments, in their order."""
    return find(value, lambda item: isinstance(item, TensorKey))


def with_keys(value: Any, key_of: Callable[[Any], TensorKey]) -> Any:
    """Nested arguments with keys in place of tensors."""
    if is_tensor(value):
        return key_of(value["config"]["keras_history"])
    if isinstance(value, dict):
        return {name: with_keys(item, key_of) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(with_keys(item, key_of) for item in value)
    return value


Shape = tuple[int | None, ...]

Variables = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each weight of a layer."""


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer (or operation such as ``x + y``). A layer that is used twice has two.

    `name` is the layer's address: the names of the models that it stands in, then its own, with ``/`` between. `kind` is the
    built-in class (``Conv2D``); with ``ops.`` before it for an operation, ``applications.`` for one of Keras' published
    networks; ``custom:`` and the name that Keras saves it under for all else. `weights` are named as by `weight_names`.
    `arguments` and `keywords` are what it is called with, a `TensorKey` in place of each tensor; `inputs` and `input_shapes`
    all tensors among them, in order, and their shapes with batch; `output_shapes` those of results that are used, by index
    (empty where Keras does not say). Of a layer inside a wrapper `path` are the keys to go down in the wrapper's
    configuration, and `aliases` what its weights are called among the wrapper's.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    weights: Variables = ()
    index: int = 0
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorKey, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    output_shapes: Mapping[int, Shape] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the layer's weights by name."""
        return dict(self.weights)

    def inner(self, key: str, variables: Mapping[str, tuple[str, tuple[int, ...]]], **changes: Any) -> Call:
        """The call of a layer that stands in this one's configuration under `key`.

        `variables`: what each of its weights is called here, and its shape.
        """
        entry = self.config[key]
        plain = tuple((name, shape) for name, (_, shape) in variables.items())
        aliases = {name: self.aliases.get(full, full) for name, (full, _) in variables.items()}
        return replace(
            self,
            kind=kind_of(entry),
            config=entry["config"],
            weights=plain,
            path=(*self.path, key, "config"),
            aliases=aliases,
            **changes,
        )


@dataclass(frozen=True)
class Topology:
    """A model as calls of layers in an order in which each follows what it reads.

    `shapes` are those of the tensors that something reads, and of the model's outputs, with batch.
    """

    calls: tuple[Call, ...]
    outputs: tuple[TensorKey, ...]
    shapes: dict[TensorKey, Shape]

    @property
    def layers(self) -> dict[str, Variables]:
        """The weights of each layer, in the order of their first calls."""
        return {call.name: call.weights for call in self.calls}


def read_topology(model: Any) -> Topology:
    """Read the layers of a Sequential or Functional Keras 3 model; UsageError as `configuration`."""
    reader = _Reader()
    outputs = reader.read(model, configuration(model), "", None)
    return reader.finish(outputs)


def configuration(model: Any) -> dict[str, Any]:
    """What Keras would rebuild the model from, a copy of its own.

    Raises UsageError where the model is subclassed or was never built, or a layer does not say how it is to be rebuilt.
    """
    name = getattr(model, "name", type(model).__name__)
    try:
        config = model.get_config()
    except NotImplementedError as reason:
        if getattr(model, "layers", None) and hasattr(model, "_operations"):
            text = " ".join(str(reason).split()) or "a layer has no get_config"
            raise UsageError(f"Model {name!r} cannot be taken apart: {text[:200]}") from reason
        config = {}
    if "layers" not in config:
        raise UsageError(
            f"Model {name!r} is a subclassed model, whose layers cannot be told apart: rebuild it with "
            "keras.Sequential or keras.Model(inputs, outputs)."
        )
    try:
        built = model.built and bool(model.inputs)
    except AttributeError:
        built = False
    if not built:
        raise UsageError(
            f"Model {name!r} has no input shape yet: give its first layer one, or call it once, then save it."
        )
    return dict(config)


def layers_of(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All layers of a model with their addresses (`Call.name`), those of models inside it included."""
    for layer in model.layers:
        name = prefix + layer.name
        if is_model(layer):
            yield from layers_of(layer, f"{name}/")
        else:
            yield name, layer


def weight_names(layer: Any) -> list[str]:
    """A name for each weight of a layer, in the order of ``layer.weights``.

    Its own, or where several have it as much of its path as tells it apart (``query/kernel``).
    """
    variables = layer.weights
    names = [str(v.name) for v in variables]
    if len(set(names)) == len(names):
        return names
    paths = [str(getattr(v, "path", v.name)).split("/") for v in variables]
    for depth in range(2, max(map(len, paths)) + 1):
        names = ["/".join(path[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name}#{index}" for index, name in enumerate(names)]


def is_model(layer: Any) -> bool:
    """Whether a layer is a model that is read through."""
    found = type(layer)
    return found.__name__ in ("Functional", "Sequential") and found.__module__.split(".")[0] == "keras"


def kind_of(entry: Mapping[str, Any]) -> str:
    """`Call.kind` of what Keras wrote of a layer."""
    module, name = str(entry.get("module") or ""), str(entry["class_name"])
    registered = str(entry.get("registered_name") or "")
    if ">" in registered:
        return f"custom:{registered}"
    if module.startswith("keras.src.ops"):
        return f"ops.{name}"
    if module.startswith("keras.src.applications"):
        return f"applications.{name}"
    if module == "keras" or module.startswith(("keras.layers", "keras.src.models")):
        return name
    return f"custom:{name}"


class _Reader:
    """Walks configurations, the inner ones where they are called, and numbers the calls of each layer."""

    def __init__(self) -> None:
        self._layers: dict[str, Call] = {}
        self._counts: Counter[str] = Counter()
        self._calls: list[Call] = []
        self._shapes: dict[TensorKey, Shape] = {}

    def finish(self, outputs: list[TensorKey]) -> Topology:
        by_call: dict[tuple[str, int], dict[int, Shape]] = {}
        for key, shape in self._shapes.items():
            by_call.setdefault((key.layer, key.call), {})[key.index] = shape
        calls = tuple(
            replace(
                call,
                input_shapes=tuple(self._shapes.get(key, ()) for key in call.inputs),
                output_shapes=by_call.get((call.name, call.index), {}),
            )
            for call in self._calls
        )
        return Topology(calls, tuple(outputs), self._shapes)

    def read(
        self, model: Any, config: Mapping[str, Any], prefix: str, sources: list[TensorKey] | None
    ) -> list[TensorKey]:
        """Write down one use of a model that reads `sources`; the keys of its outputs."""
        if "input_layers" in config:
            return self._functional(model, config, prefix, sources)
        return self._sequential(model, config, prefix, sources)

    def _functional(
        self, model: Any, config: Mapping[str, Any], prefix: str, sources: list[TensorKey] | None
    ) -> list[TensorKey]:
        layers = {layer.name: layer for layer in model.layers}
        entries = {entry["name"]: entry for entry in config["layers"]}
        results: dict[tuple[str, int], Callable[[int], TensorKey]] = {}

        def key_of(history: Any) -> TensorKey:
            return results[history[0], history[1]](history[2])

        for index, (name, _, _) in enumerate(leaves(config["input_layers"])):
            source = None if sources is None else sources[index]
            key = self._input(entries[name], prefix + name, source)
            self._shape(key, model.inputs[index].shape)
            results[name, 0] = always(key)
        waiting = [(e, i) for e in config["layers"] for i in range(len(e["inbound_nodes"]))]
        while waiting:
            later = []
            for entry, index in waiting:
                node = entry["inbound_nodes"][index]
                tensors = [t["config"] for t in find((node["args"], node["kwargs"]), is_tensor)]
                read = [(tensor["keras_history"], tensor["shape"]) for tensor in tensors]
                first_come = index and (entry["name"], index - 1) not in results
                if first_come or any((h[0], h[1]) not in results for h, _ in read):
                    later.append((entry, index))
                    continue
                for history, shape in read:
                    self._shape(key_of(history), shape)
                arguments = with_keys(node["args"], key_of)
                keywords = with_keys(node["kwargs"], key_of)
                layer = layers.get(entry["name"])
                results[entry["name"], index] = self._use(entry, prefix, layer, arguments, keywords)
            if len(later) == len(waiting):
                raise UsageError(f"Model {model.name!r} cannot be taken apart: its layers form a ring.")
            waiting = later
        outputs = []
        for (name, call, index), tensor in zip(leaves(config["output_layers"]), model.outputs, strict=True):
            # Keras counts the uses of a Functional model from 1 here, and only here.
            first = 1 if entries[name]["class_name"] == "Functional" else 0
            outputs.append(results[name, call - first](index))
            self._shape(outputs[-1], tensor.shape)
        return outputs

    def _sequential(
        self, model: Any, config: Mapping[str, Any], prefix: str, sources: list[TensorKey] | None
    ) -> list[TensorKey]:
        layers = {layer.name: layer for layer in model.layers}
        entries = list(config["layers"])
        first = entries.pop(0) if entries and entries[0]["class_name"] == "InputLayer" else None
        first = first or {"class_name": "InputLayer", "module": "keras.layers", "config": {"name": "input"}}
        key = self._input(first, prefix + first["config"]["name"], None if sources is None else sources[0])
        self._shape(key, model.inputs[0].shape)
        for entry in entries:
            name = entry["config"].get("name") or entry["config"]["config"]["name"]
            key = self._use({**entry, "name": name}, prefix, layers[name], (key,), {})(0)
            for index, shape in enumerate(_output_shapes(layers[name])):
                self._shape(replace(key, index=index), shape)
        self._shape(key, model.outputs[0].shape)
        return [key]

    def _use(
        self, entry: Mapping[str, Any], prefix: str, layer: Any, arguments: Any, keywords: Any
    ) -> Callable[[int], TensorKey]:
        """Write down one use of a layer or of a model inside; the keys of its results by index."""
        name = prefix + entry["name"]
        if layer is not None and is_model(layer):
            sources = _sources(entry["config"], arguments, keywords)
            if sources is not None:
                inner = self.read(layer, entry["config"], f"{name}/", sources)
                return lambda index: inner[index]
        if name not in self._layers:
            weights: Variables = ()
            if layer is not None:
                shapes = [tuple(int(n) for n in v.shape) for v in layer.weights]
                weights = tuple(zip(weight_names(layer), shapes, strict=True))
            self._layers[name] = Call(name, kind_of(entry), entry["config"], weights)
        return self._call(self._layers[name], tuple(arguments), dict(keywords))

    def _input(self, entry: Mapping[str, Any], name: str, source: TensorKey | None) -> TensorKey:
        layer = self._layers.setdefault(name, Call(name, "InputLayer", entry["config"]))
        return self._call(layer, () if source is None else (source,), {})(0)

    def _call(
        self, layer: Call, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> Callable[[int], TensorKey]:
        index = self._counts[layer.name]
        self._counts[layer.name] += 1
        inputs = tuple(tensor_keys((arguments, keywords)))
        call = replace(layer, index=index, arguments=arguments, keywords=keywords, inputs=inputs)
        self._calls.append(call)
        return partial(TensorKey, layer.name, index)

    def _shape(self, key: TensorKey, shape: Any) -> None:
        """Keep the shape of which most is known."""
        found = tuple(shape)
        known = self._shapes.get(key, ())
        if not known or found.count(None) < known.count(None):
            self._shapes[key] = found


def always(value: Any) -> Callable[[Any], Any]:
    """A function that gives `value` whatever it is asked."""
    return lambda asked: value


def _sources(config: Mapping[str, Any], arguments: Any, keywords: Any) -> list[TensorKey] | None:
    """What an inner model reads, in the order of its inputs; None where that cannot be said."""
    value = arguments[0] if arguments else keywords.get("inputs")
    structure = config.get("input_layers")
    if isinstance(value, Mapping) != isinstance(structure, dict):
        return None
    if isinstance(structure, dict):
        if set(structure) != set(value):
            return None
        value = [value[name] for name in sorted(structure)]
    found = list(tensor_keys(value))
    expected = 1 if structure is None else len(list(leaves(structure)))
    return found if len(found) == expected else None


def _output_shapes(layer: Any) -> list[Shape]:
    try:
        outputs = layer.output
    except (AttributeError, ValueError):
        return []
    return [tuple(t.shape) for t in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
