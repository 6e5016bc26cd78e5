"""Which rule a kind of layer has: those of Keras' own layers, and those that were registered for others."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from compressor.graph.rules import (
    attention,
    elementwise,
    recurrent,
    reshaping,
    weighted,
)
from compressor.graph.rules.base import Outputs, Rule, in_words
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call, kind_of
from profiler.errors import UsageError
from profiler.plugins import register_plugins

_INSIDE: Mapping[str, Rule] = {
    **weighted.RULES,
    **elementwise.RULES,
    **reshaping.RULES,
    **attention.RULES,
}
"""Rules of what may stand inside ``TimeDistributed``."""


def _time_distributed(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """The same layer at every step: what it does to channels, it does without the axis of time."""
    kind = kind_of(call.config["layer"])
    rule = _INSIDE.get(kind)
    if rule is None or (kind == "BatchNormalization" and len(call.input_shapes[0]) < 3):
        inside = "a model" if kind in ("Sequential", "Functional") else in_words(kind)
        raise Frozen(f"no rule for {inside} inside it")
    shapes = tuple((shape[0], *shape[2:]) for shape in call.input_shapes)
    results = {index: (shape[0], *shape[2:]) for index, shape in call.output_shapes.items()}
    inner = call.inner(
        "layer",
        {name: (name, shape) for name, shape in call.weights},
        input_shapes=shapes,
        output_shapes=results,
    )
    return rule(inner, inputs, recorder)


RULES: Mapping[str, Rule] = {**_INSIDE, **recurrent.RULES, "TimeDistributed": _time_distributed}
"""Rules of Keras' own layers by kind (`Call.kind`)."""

_registered: dict[str, Rule] = {}


def register_rule(layer: type | str, rule: Rule) -> None:
    """Register how a custom Keras layer passes channels on, so that its channels can be removed.

    Without a rule a custom layer is left whole, with all that flows into and out of it. A rule is registered before
    the network is loaded: in Python, in the data file (``task.py``), or by an entry point of the group
    ``edgetime.rules`` of an installed package, whose name is the layer's and whose object is the rule.

    Parameters
    ----------
    layer
        The layer's class, or the name under which Keras saves it (``package>Name`` for a class that was registered
        with ``keras.saving.register_keras_serializable(package)``, else the name of the class).
    rule
        ``rule(call, inputs, recorder) -> outputs``. `call` is one use of the layer (`Call`: its ``config``, its
        ``variables`` with their shapes, its ``input_shapes``), `inputs` the channels of each tensor that it reads (an
        int array of ids [channels] each), `recorder` where to write down what the weights are (`Recorder`). It
        returns the channels of the output, or a tuple of those of several. It raises `Frozen` with a reason where it
        cannot tell. The layer's configuration must hold the number of channels that the layer makes
        (`Recorder.count`), since the smaller layer is made from it.

    Raises
    ------
    UsageError
        The layer has a rule already: one of Keras' own, or one that was registered elsewhere.

    See Also
    --------
    compressor.testing.check_rule : the suite that every rule must pass.

    Examples
    --------
    A dense layer with one factor for each of its outputs:

    >>> from compressor.graph import register_rule
    >>> def scaled_dense(call, inputs, recorder):
    ...     out = recorder.new(call.config["units"])
    ...     recorder.count(call, "units", out)
    ...     recorder.axis(call, "kernel", 0, inputs[0], "in")
    ...     recorder.axis(call, "kernel", 1, out, "out")
    ...     recorder.axis(call, "factor", 0, out, "scale")
    ...     return out
    >>> register_rule("mine>ScaledDense", scaled_dense)
    """
    kind = _kind_of(layer)
    taken = rule_of(kind)
    if taken is not None and _place(taken) != _place(rule):
        name = kind.removeprefix("custom:")
        whose = "the rules of Keras' own layers" if kind in RULES else _place(taken)[0]
        raise UsageError(
            f"The layer {name} has a rule already, from {whose}: register one rule for each layer, or rename the layer."
        )
    _registered[kind] = rule


@functools.cache
def load_rules() -> None:
    """Register the rules of installed packages, once; those that fail are named in a warning."""
    taken = [*RULES, *(kind.removeprefix("custom:") for kind in _registered)]
    register_plugins("edgetime.rules", register_rule, taken)


def rule_of(kind: str) -> Rule | None:
    """The rule of a kind of layer (`Call.kind`); None where there is none."""
    return RULES.get(kind) or _registered.get(kind)


def _kind_of(layer: type | str) -> str:
    if isinstance(layer, str):
        return layer if layer in RULES else f"custom:{layer}"
    import keras

    own = layer.__module__.split(".")[0] == "keras"
    return layer.__name__ if own else f"custom:{keras.saving.get_registered_name(layer)}"


def _place(rule: Rule) -> tuple[str, str]:
    """Where a rule is defined: a data file that is run twice registers the same rule twice."""
    return str(getattr(rule, "__module__", "")), str(getattr(rule, "__qualname__", type(rule).__qualname__))
