"""A twin of a model whose channels are switched by a mask for each sample, while it trains.

Masks act where channels are read (the ``in`` axes of weights, `ChannelGraph.readers`), as in
`compressor.graph.masked`: a channel whose mask is 0 carries nothing, whatever biases and normalisations
make of it on its way. Three ways to do that, by the kind of reader:

- Convolutions and dense layers: what they read is multiplied by the mask of its channels.
- Recurrent layers: the same for their inputs; the hidden state is multiplied where the recurrent weights read
  it, not where it is carried on.
- Other layers (attention, wrappers, those of models inside the model): the entries of their weights that read
  the channels are multiplied. Weights are the same for all samples, so these channels take the mask of the
  first one; `MaskedTwin.shared` says which they are.

Layers that divide by a mean or a deviation over channels (layer normalisation) take it over those that are
switched on.

Scaling a reader's entries of weights by numbers is the same as a mask of these numbers: so what a mask of
expectations does at inference can be folded into the weights (`folded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from compressor.graph import ChannelGraph, along, inside, layers_of, normalise_masked, weight_names
from compressor.training import run

LayerWeights = Mapping[str, list[NDArray[Any]]]
"""By the layer's address (`compressor.graph.layers_of`) what its `get_weights` gives."""

_READ_AT_THE_INPUT = frozenset(
    [f"{kind}{rank}D" for kind in ("Conv", "SeparableConv") for rank in (1, 2, 3)]
    + [f"Conv{rank}DTranspose" for rank in (1, 2, 3)]
    + ["Dense"]
)
_RECURRENT = frozenset(["GRU", "LSTM", "SimpleRNN"])


class MaskedTwin:
    """A model that takes masks beside its rows. Made by `masked_twin`.

    Attributes
    ----------
    model
        The Keras model that holds the weights; its layers have the original's names.
    channels
        How many removable channels there are, over all groups in their order.
    shared
        For each whether its mask must be the same for all samples of a batch [channels].
    variables
        Its weights by the layer's address and the name of the weight, as in `compressor.graph.ChannelAxis`.
    """

    def __init__(
        self, model: Any, switch: _Switch, shared: NDArray[np.bool_], variables: Mapping[tuple[str, str], Any]
    ) -> None:
        self.model = model
        self.channels = len(shared)
        self.shared = shared
        self.variables = dict(variables)
        self._switch = switch

    def __call__(self, rows: Any, masks: Any, training: bool) -> Any:
        """Outputs for rows [batch, ...] with masks [batch, channels], or [1, channels] for the same one everywhere.

        Rows and outputs are by name where there are several inputs or outputs.
        """
        self._switch.value = tf.pad(masks, [[0, 0], [0, 1]], constant_values=1.0)
        try:
            return run(self.model, rows, training=training)
        finally:
            self._switch.value = None

    def weights(self) -> dict[str, list[NDArray[Any]]]:
        """What the layers have learned."""
        return {name: layer.get_weights() for name, layer in layers_of(self.model) if layer.weights}


def masked_twin(model: Any, graph: ChannelGraph) -> MaskedTwin:
    """Make a twin with the same weights.

    Parameters
    ----------
    model
        A Sequential or Functional `keras.Model`; it is not touched.
    graph
        `compressor.graph.build_graph(model)`.
    """
    switch, plan = _Switch(), _Plan(model, graph)
    addresses = {id(layer): name for name, layer in layers_of(model)}
    copied: dict[int, str] = {}  # a layer of a model inside may have the name of one outside

    def made(layer: Any) -> Any:
        copy = layer.__class__.from_config(layer.get_config())
        name = addresses.get(id(layer), "")
        if name in plan.in_state:
            copy = _recurrent(copy, switch, plan.in_state[name])
        if name in plan.in_weights:
            _switch_weights(copy, switch, plan.in_weights[name])
        if name in plan.statistics:
            path, numbers = plan.statistics[name]
            normalise_masked(inside(copy, path), partial(switch.counted, numbers))
        copied[id(copy)] = name
        return copy

    def called(layer: Any, *values: Any, **options: Any) -> Any:
        name = copied.get(id(layer), "")
        if name in plan.at_input:
            values = (_ChannelMask(switch, plan.at_input[name])(values[0]), *values[1:])
        return layer(*values, **options)

    functional = (
        keras.Model(model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else model
    )
    twin = keras.models.clone_model(functional, clone_function=made, call_function=called, recursive=True)
    new, variables = dict(layers_of(twin)), {}
    for name, layer in layers_of(model):
        if layer.weights:
            new[name].set_weights(layer.get_weights())
            pairs = zip(weight_names(layer), new[name].weights, strict=True)
            variables.update({(name, variable): value for variable, value in pairs})
    return MaskedTwin(twin, switch, plan.shared, variables)


def folded(weights: LayerWeights, model: Any, graph: ChannelGraph, scale: NDArray[Any]) -> LayerWeights:
    """Weights in which what reads a channel is multiplied by a number, as a mask would do.

    Parameters
    ----------
    weights
        Of a model of the same layers as `model` (`MaskedTwin.weights`).
    scale
        For each removable channel [channels].
    """
    whole = np.append(np.asarray(scale, dtype=np.float32), np.float32(1))
    layers = dict(layers_of(model))
    result = {name: list(values) for name, values in weights.items()}
    for axis in graph.readers:
        index = weight_names(layers[axis.layer]).index(axis.variable)
        factor = whole[graph.positions(axis.channels)]  # -1, what always stays, takes the last one
        value = result[axis.layer][index]
        result[axis.layer][index] = value * along(factor, axis.axis, value.ndim)
    return result


class _Plan:
    """Where masks act, by the address of the layer: at its input, in its state, in its weights; with the
    numbers of the channels there."""

    def __init__(self, model: Any, graph: ChannelGraph) -> None:
        layers = dict(layers_of(model))
        self.shared = np.zeros(sum(group.width for group in graph.groups.values()), dtype=bool)
        self.at_input: dict[str, NDArray[np.int64]] = {}
        self.in_state: dict[str, NDArray[np.int64]] = {}
        self.in_weights: dict[str, list[tuple[int, int, NDArray[np.int64]]]] = {}
        self.statistics: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]] = {}
        for axis in graph.readers:
            name, layer, numbers = axis.layer, layers[axis.layer], graph.positions(axis.channels)
            kind = "" if "/" in name else type(layer).__name__
            if kind in _RECURRENT and axis.variable == "recurrent_kernel":
                self.in_state[name] = numbers
            elif kind in _READ_AT_THE_INPUT or kind in _RECURRENT:
                self.at_input[name] = numbers[:: getattr(layer, "depth_multiplier", None) or 1]
            else:
                index = weight_names(layer).index(axis.variable)
                self.in_weights.setdefault(name, []).append((index, axis.axis, numbers))
                self.shared[numbers[numbers >= 0]] = True
        for item in graph.statistics:
            self.statistics[item.layer] = item.path, graph.positions(item.channels)


class _Switch:
    """Where the masks of the call that is running stand, with a column of ones behind them."""

    def __init__(self) -> None:
        self.value: Any = None

    def of(self, numbers: NDArray[np.int64], like: Any) -> Any:
        """The masks of these channels [batch, numbers]; those that always stay (-1) have 1."""
        columns = np.where(numbers < 0, self.value.shape[1] - 1, numbers)
        return tf.cast(tf.gather(self.value, columns, axis=1), like.dtype)

    def counted(self, numbers: NDArray[np.int64], like: Any) -> Any:
        """1 for those of these channels that are switched on, else 0; None where no masks are given."""
        return None if self.value is None else tf.cast(self.of(numbers, like) > 0, like.dtype)


class _ChannelMask(keras.layers.Layer):
    """Multiplies the last axis by the masks of its channels."""

    def __init__(self, switch: _Switch, numbers: NDArray[np.int64], **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self._the_switch, self._numbers = switch, numbers

    def call(self, inputs: Any) -> Any:
        """As it is, where no masks are given."""
        if self._the_switch.value is None:
            return inputs
        masks = self._the_switch.of(self._numbers, inputs)
        middle = [1] * (len(inputs.shape) - 2)
        return inputs * tf.reshape(masks, [tf.shape(masks)[0], *middle, len(self._numbers)])


class _MaskedCell(keras.layers.Layer):
    """A recurrent cell whose weights read a masked hidden state."""

    def __init__(self, cell: Any, switch: _Switch, numbers: NDArray[np.int64], **options: Any) -> None:
        super().__init__(**options)
        self.cell = cell
        self.state_size, self.output_size = cell.state_size, cell.output_size
        self._the_switch, self._numbers = switch, numbers

    def build(self, shape: Any) -> None:
        """Make the cell's weights."""
        if not self.cell.built:
            self.cell.build(shape)
            self.cell.built = True

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros."""
        return self.cell.get_initial_state(batch_size=batch_size)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """One step."""
        if self._the_switch.value is None:
            return self.cell(inputs, states, training=training)
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        read = states[0] * self._the_switch.of(self._numbers, states[0])
        if isinstance(self.cell, keras.layers.GRUCell):
            output = _gru_step(self.cell, inputs, states[0], read)
            return output, [output]
        # Here the hidden state is read by the recurrent weights and by nothing else.
        return self.cell(inputs, [read, *states[1:]], training=training)


def _gru_step(cell: Any, inputs: Any, carried: Any, read: Any) -> Any:
    """Keras' own step, where what is carried on is not what the recurrent weights read."""
    units, kernel, after = cell.units, cell.recurrent_kernel, cell.reset_after
    outside = tf.matmul(inputs, cell.kernel)
    inside_bias = 0.0
    if cell.bias is not None:
        outside += cell.bias[0] if after else cell.bias
        inside_bias = cell.bias[1] if after else 0.0
    gates = tf.matmul(read, kernel if after else kernel[:, : 2 * units]) + inside_bias
    update = cell.recurrent_activation(outside[:, :units] + gates[:, :units])
    reset = cell.recurrent_activation(outside[:, units : 2 * units] + gates[:, units : 2 * units])
    recurrent = reset * gates[:, 2 * units :] if after else tf.matmul(reset * read, kernel[:, 2 * units :])
    proposed = cell.activation(outside[:, 2 * units :] + recurrent)
    return update * carried + (1 - update) * proposed


def _recurrent(layer: Any, switch: _Switch, numbers: NDArray[np.int64]) -> Any:
    """A recurrent layer with the hidden state masked where it is read; weights in the same order."""
    return keras.layers.RNN(
        _MaskedCell(layer.cell, switch, numbers),
        return_sequences=layer.return_sequences,
        return_state=layer.return_state,
        go_backwards=layer.go_backwards,
        unroll=layer.unroll,
        zero_output_for_mask=layer.zero_output_for_mask,
        name=layer.name,
    )


def _switch_weights(layer: Any, switch: _Switch, axes: list[tuple[int, int, NDArray[np.int64]]]) -> None:
    """Let a layer compute with weights whose reading entries are multiplied by the first sample's mask.

    Parameters
    ----------
    axes
        Which weight, which of its axes, and the numbers of the channels along it.
    """
    plain = layer.call

    def call(*values: Any, **options: Any) -> Any:
        if switch.value is None:
            return plain(*values, **options)
        scaled: dict[int, Any] = {}
        for index, axis, numbers in axes:
            value = scaled.get(index, tf.convert_to_tensor(layer.weights[index].value))
            shape = along(numbers, axis, len(value.shape)).shape
            scaled[index] = value * tf.reshape(switch.of(numbers, value)[0], shape)
        mapping = [(layer.weights[index], value) for index, value in scaled.items()]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = plain(*values, **options)
        for variable in layer.non_trainable_variables:  # such as the state of a dropout's random numbers
            changed = scope.get_current_value(variable)
            if changed is not None:
                variable.assign(changed)
        return outputs

    layer.call = call
