"""Opens the base model of a training, strips it to its features, and rebuilds it under the trial's dtype policy.

A published graph contains more than the network (a mirrored view, a prior correction, a temperature, other members of
an ensemble), all of it for its own classes. What remains here is one network, from pixels to the classifier's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from tuning.core.errors import UsageError
from tuning.core.jobs import BaseModel
from tuning.trials.keras_private import all_layers, functional_graph, nodes_in_order, producer, sources

#: Largest momentum of batch norm: with 0.99, or the 0.999 of some published networks, the averages would still be those
#: of the base's own images when the training on a small folder is over.
MOMENTUM = 0.9
_CHANNELS = (1, 3)
_CHOOSE = "take one that maps one image (height, width, 1 or 3 channels) to one vector or one stack of feature maps"

_current: BaseModel | None = None
_opened = False


def use(base: BaseModel | None) -> None:
    """Sets the model that `base_model` opens; called for each job before anything is built."""
    global _current, _opened
    _current, _opened = base, False


def opened() -> bool:
    """Returns whether `base_model` has been called since `use`."""
    return _opened


def base_model() -> keras.Model:
    """Returns the model of `--base` without its classifier; a builder calls this once for each model.

    Its input is an image with pixels 0…255, of the size and channels given by its `input_shape`; its output is a vector
    or feature maps, in the trial's compute type. All its layers are trainable and new: another call makes another
    model. Batch norm's momentum is at most 0.9.

    Its attribute `classifier` holds the kernel (features, classes) and the bias (classes,), float32, with which the
    classifier knew the classes of the data by their names; for a class that it did not know, the mean over those that
    it did. It is None if the base's classes are unknown, or mostly others. Starting with a trained classifier, instead
    of a random one, spares the features below it large gradients (Kumar et al. 2022, "Fine-Tuning can Distort
    Pretrained Features", section 3.4).

    Raises:
        UsageError: the search or training was not given `--base`.
    """
    global _opened
    if _current is None:
        raise UsageError("this search space starts from a model, but none is given", "give --base MODEL")
    _opened = True
    model = keras.saving.load_model(_current.model, safe_mode=True, compile=False)
    network, factor = stripped(model, _current.member)
    tensor, classifier = taken_apart(network)
    weights = None if _current.outputs is None or classifier is None else classifier.weights_for(_current.outputs)
    network = _rebuilt(keras.Model(network.inputs, tensor))
    image = keras.Input(network.input_shape[1:], name="pixels")
    scale = factor * (1 / 255 if _current.scaling == "0-1" else 1.0)
    x = layers.Rescaling(scale, name="base_scale")(image)
    base = keras.Model(image, network(x), name="base")
    base.classifier = weights
    return base


@dataclass(frozen=True)
class Classifier:
    """The layer of a network that has one output per class, and the factor on its outputs behind it."""

    layer: Any
    factor: float

    @property
    def classes(self) -> int:
        """Returns the number of classes; 0 if the layer is not dense, whose weights other classes cannot use."""
        return int(self.layer.units) if isinstance(self.layer, layers.Dense) else 0

    def weights_for(self, outputs: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the kernel and bias for other classes, given the number of the output for each of them, or None.

        None if there are fewer classes.
        """
        known = [output for output in outputs if output is not None]
        if self.classes <= max(known):
            return None
        kernel, *bias = (self.factor * weights.astype(np.float32) for weights in self.layer.get_weights())
        parts = (kernel, bias[0] if bias else np.zeros(self.layer.units, np.float32))
        first, second = (
            np.stack([part[..., known].mean(-1) if one is None else part[..., one] for one in outputs], axis=-1)
            for part in parts
        )
        return first, second


def stripped(model: keras.Model, member: int | None = None) -> tuple[keras.Model, float]:
    """Returns (the network inside a published graph, the factor on its pixels there).

    Any other model is returned unchanged: a graph is taken apart only if it consists of whole networks that get the
    image itself, and of layers without weights.
    """
    factor = 1.0
    while (inner := _inner(model, member)) is not None:
        model, more = inner
        factor *= more
    return model, factor


def _inner(model: keras.Model, member: int | None) -> tuple[keras.Model, float] | None:
    if isinstance(model, keras.Sequential) or not hasattr(model, "layers"):
        return None
    networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not networks or any(layer.weights for layer in model.layers if not isinstance(layer, keras.Model)):
        return None
    if len(networks) > 1:
        chosen = [network for network in networks if network.name == f"member_{member or 1}"]
        if not chosen:
            return None
        networks = chosen
    for node in nodes_in_order(model):
        if node.operation is networks[0]:
            before = producer(node.input_tensors[0])
            if isinstance(before, layers.InputLayer):
                return networks[0], 1.0
            # Members of an ensemble may take another pixel range than the first one.
            if networks[0].name.startswith("member_") and type(before) is layers.Rescaling:
                return networks[0], float(before.scale)
    return None


def features(network: keras.Model) -> Any:
    """Returns the input tensor of a network's classifier; the network's output if it has no classifier.

    A classifier is a dense layer or a 1×1 convolution with one output per class, and the layers without weights after
    it. It may be at the end of a model nested in the network.
    """
    return taken_apart(network)[0]


def taken_apart(network: keras.Model) -> tuple[Any, Classifier | None]:
    """Returns (the input tensor of a network's classifier, the classifier); (the network's output, None) without."""
    output = functional_graph(network).outputs[0]
    if len(output.shape) != 2:
        return output, None
    tensor, factor = output, 1.0
    while True:
        layer, given = producer(tensor), sources(tensor)
        if len(given) != 1:
            return output, None
        if isinstance(layer, keras.Model):
            return _inner_features(layer, given[0], output)
        if _classifies(layer, output.shape[-1]):
            break
        if getattr(layer, "weights", ()):
            return output, None
        if isinstance(layer, layers.Rescaling):
            factor *= float(layer.scale)
        tensor = given[0]
    tensor = given[0]
    while isinstance(producer(tensor), layers.Dropout):
        tensor = sources(tensor)[0]
    return tensor, Classifier(layer, factor)


def _inner_features(model: keras.Model, given: Any, output: Any) -> tuple[Any, Classifier | None]:
    """Returns the classifier's input, and the classifier, of a model nested in a network; `output` and None without."""
    graph = functional_graph(model)
    if len(graph.outputs) != 1:
        return output, None
    inner, classifier = taken_apart(model)
    if inner is graph.outputs[0]:
        return output, None
    return given if inner is graph.inputs[0] else keras.Model(graph.inputs, inner)(given), classifier


def _classifies(layer: Any, classes: int) -> bool:
    if isinstance(layer, layers.Dense):
        return layer.units == classes
    return isinstance(layer, layers.Conv2D) and layer.filters == classes and tuple(layer.kernel_size) == (1, 1)


def _rebuilt(model: keras.Model) -> keras.Model:
    """Returns a copy of the model with all layers trainable and under the current dtype policy."""
    policy = keras.config.dtype_policy().name
    fresh = type(model).from_config(_under(model.get_config(), policy))
    fresh.set_weights(model.get_weights())
    for layer in all_layers(fresh):
        if isinstance(layer, layers.Normalization):
            # It computes with values derived from its weights.
            layer.finalize_state()
    return fresh


def _under(config: Any, policy: str) -> Any:
    """Returns a model's configuration with this dtype policy, all layers trainable, and momentum limited."""
    if isinstance(config, (list, tuple)):
        return type(config)(_under(part, policy) for part in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return policy
    result = {name: _under(value, policy) for name, value in config.items()}
    if "trainable" in result:
        result["trainable"] = True
    if isinstance(result.get("momentum"), float) and "moving_mean_initializer" in result:
        result["momentum"] = min(result["momentum"], MOMENTUM)
    return result


def check(model: keras.Model) -> None:
    """Refuses a model that cannot be used as a base.

    Raises:
        UsageError: its layers cannot be told apart, its input is not one image, or its output is not a vector or
            feature maps.
    """
    if not isinstance(model, keras.Model) or not nodes_in_order(model):
        raise UsageError(f"the base is a {type(model).__name__}, whose layers cannot be told apart", _CHOOSE)
    inputs, outputs = model.inputs, model.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise UsageError(f"the base has {len(inputs)} inputs and {len(outputs)} outputs", _CHOOSE)
    shape = tuple(inputs[0].shape[1:])
    if len(shape) != 3 or shape[-1] not in _CHANNELS:
        raise UsageError(f"the base takes inputs of shape {shape}", _CHOOSE)
    if len(outputs[0].shape) not in (2, 4):
        raise UsageError(f"the base puts out shape {tuple(outputs[0].shape[1:])}", _CHOOSE)
